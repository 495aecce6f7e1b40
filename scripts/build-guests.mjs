// Builds the C guests: `npm run guests`; `-- --check` rebuilds and compares with the committed images instead.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

// The committed images come from this compiler; another major version may give other, equally good, bytes.
const GCC_MAJOR = "12";
const root = fileURLToPath(new URL("..", import.meta.url));
const check = process.argv.includes("--check");

const COMMON = "examples/guests/common";
const FLAGS = [
  "-std=gnu11",
  "-O2",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-m64",
  "-ffreestanding",
  "-fno-builtin",
  "-nostdlib",
  "-nostdinc",
  "-mno-red-zone",
  "-mcmodel=kernel",
  "-fno-pic",
  "-no-pie",
  "-mgeneral-regs-only",
  "-fcf-protection=none",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-tree-loop-distribute-patterns",
  "-g0",
];
const GUESTS = [
  {
    image: "examples/guests/hypercall-bench/hypercall-bench.elf",
    sources: ["examples/guests/hypercall-bench/main.c", "examples/guests/hypercall-bench/benchmark.c"],
    regions: 1,
    module: { path: "packages/guest-sdk/src/images/hypercall-bench.gen.ts", name: "hypercallBenchImage" },
  },
  { image: "test/guests/fastabi-check.elf", sources: ["test/guests/fastabi-check.c"], regions: 1 },
  { image: "bench/guests/loops.elf", sources: ["bench/guests/main.c", "bench/guests/loops.c"], regions: 3 },
  { image: "bench/guests/wide.elf", sources: ["bench/guests/wide.c"], regions: 5 },
];

/** Guests of one assembly file, in variants by what it is given as PAGING. */
const PLAIN = [
  { image: "test/guests/self-check-unpaged.elf", source: "test/guests/self-check.S", paging: 0 },
  { image: "test/guests/self-check-pse.elf", source: "test/guests/self-check.S", paging: 2 },
  { image: "test/guests/self-check-pae.elf", source: "test/guests/self-check.S", paging: 3 },
];

function gccMajor() {
  try {
    return execFileSync("gcc", ["-dumpversion"], { encoding: "utf8" }).trim().split(".")[0];
  } catch {
    return undefined;
  }
}

/** The linked, stripped image of one guest. Paths are relative, so that no byte depends on where the checkout is. */
function build(guest, scratch) {
  const run = (program, args) =>
    execFileSync(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  const include = execFileSync("gcc", ["-print-file-name=include"], { encoding: "utf8" }).trim();
  const options = [
    ...FLAGS,
    `-DIMAGE_REGIONS=${guest.regions}`,
    "-isystem",
    include,
    `-I${COMMON}`,
    "-Ipackages/guest-sdk/include",
  ];
  const common = [
    "start.S",
    "command-line.c",
    "console.c",
    "exceptions.c",
    "page-tables.c",
    "start-info.c",
    "xen.c",
  ];
  const objects = [...common.map((name) => `${COMMON}/${name}`), ...guest.sources].map((source, i) => {
    const object = join(scratch, `${i}.o`);
    run("gcc", [...options, "-c", source, "-o", object]);
    return object;
  });
  const script = join(scratch, "guest.lds");
  run("gcc", [
    "-E",
    "-P",
    "-x",
    "c",
    `-DIMAGE_REGIONS=${guest.regions}`,
    `-I${COMMON}`,
    `${COMMON}/guest.lds.S`,
    "-o",
    script,
  ]);
  const image = join(scratch, "guest.elf");
  // Page size 4 KiB: the file stays small, and segments load at the addresses the script says.
  run("ld", [
    "-m",
    "elf_x86_64",
    "-nostdlib",
    "--build-id=none",
    "-z",
    "max-page-size=4096",
    "-z",
    "noexecstack",
    "--no-warn-rwx-segments",
    "-T",
    script,
    "-o",
    image,
    ...objects,
  ]);
  run("strip", ["--strip-all", "-R", ".comment", image]);
  return readFileSync(image);
}

/** The same for a plain 32-bit guest at 1 MiB. */
function buildPlain(guest, scratch) {
  const run = (program, args) =>
    execFileSync(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  const object = join(scratch, "guest.o");
  const image = join(scratch, "guest.elf");
  run("gcc", ["-m32", "-c", `-DPAGING=${guest.paging}`, guest.source, "-o", object]);
  run("ld", [
    ..."-m elf_i386 -nostdlib --build-id=none -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments".split(
      " ",
    ),
    ..."-N -Ttext 0x100000 --section-start=.note.xen=0x110000 -e start -o".split(" "),
    image,
    object,
  ]);
  run("strip", ["--strip-all", image]);
  return readFileSync(image);
}

/** The image as a TypeScript module, for browsers and for users of the npm package. */
function moduleText(guest, bytes) {
  const { name } = guest.module;
  const lines = bytes
    .toString("base64")
    .match(/.{1,112}/g)
    .map((line) => `  "${line}",`);
  return `// Generated from ${guest.image}; do not edit. Regenerate with: npm run guests

import { decodeBase64 } from "./base64.js";

const BASE64: readonly string[] = [
${lines.join("\n")}
];

/** The PVH ELF image of ${guest.image.replace(/\/[^/]*$/, "")}; a new copy on every call. */
export function ${name}(): Uint8Array {
  return decodeBase64(BASE64);
}
`;
}

const found = gccMajor();
if (found === undefined || (check && found !== GCC_MAJOR)) {
  console.log(
    `guests: skipped, ${found === undefined ? "no gcc" : `gcc ${found}`} here and the images are from gcc ${GCC_MAJOR}`,
  );
  process.exit(check ? 0 : 1);
}
let stale = 0;
for (const guest of [...GUESTS, ...PLAIN]) {
  const scratch = mkdtempSync(join(tmpdir(), "hyperwalk-guest-"));
  try {
    const bytes = guest.paging === undefined ? build(guest, scratch) : buildPlain(guest, scratch);
    const outputs = [{ path: guest.image, bytes }];
    if (guest.module) outputs.push({ path: guest.module.path, bytes: Buffer.from(moduleText(guest, bytes)) });
    for (const { path, bytes: wanted } of outputs) {
      if (!check) writeFileSync(join(root, path), wanted);
      else if (!readFileSync(join(root, path)).equals(wanted)) {
        console.error(`guests: ${path} is not what its source gives; run npm run guests`);
        stale++;
      }
      console.log(`guests: ${path}, ${wanted.length} bytes${check ? " compared" : ""}`);
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
process.exit(stale === 0 ? 0 : 1);
