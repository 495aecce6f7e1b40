// Packs every published package and checks the tarballs as a user would get them. Needs a build first.
//   npm run build && npm run check:packages
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const root = fileURLToPath(new URL("..", import.meta.url));
const binDir = join(root, "node_modules", ".bin");
const work = mkdtempSync(join(tmpdir(), "hyperwalk-packages-"));
const consumer = join(work, "consumer");
// esbuild comes with tsup; it is not a dependency of its own.
const esbuild = createRequire(createRequire(import.meta.url).resolve("tsup"))("esbuild");

let failures = 0;

function report(what, problem) {
  if (problem) failures++;
  console.log(problem ? `FAIL  ${what}\n${problem.trim().replace(/^/gm, "      ")}` : `ok    ${what}`);
}

/** The output of a failed command, or undefined when it succeeded. */
function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", CI: "1" },
  });
  if (status === 0) return undefined;
  return [`${command} ${args.join(" ")}: exit ${status ?? error}`, stdout, stderr].filter(Boolean).join("\n");
}

/** The build replaces names by numbers and starts from cached code: its answer must be the source's, to the byte. */
function checkAgainstSource() {
  const source = [join(binDir, "tsx"), "--conditions=@hyperwalk/source", "packages/lab/src/cli.ts"];
  const built = [join(consumer, "node_modules", ".bin", "hyperwalk")];
  for (const machine of ["epyc-9124", "skylake-sp"]) {
    const args = ["compare", "hypercall-bench", "--machine", machine, "--iterations", "40", "--json"];
    const [expected, actual] = [source, built].map(([command, ...before]) =>
      spawnSync(command, [...before, ...args], { cwd: root, encoding: "utf8" }),
    );
    if (expected.status !== 0 || actual.status !== 0 || expected.stdout !== actual.stdout)
      return `${machine}: exit ${expected.status} and ${actual.status}, ${expected.stdout.length} and ${actual.stdout.length} characters\n${expected.stderr}${actual.stderr}`;
  }
  return undefined;
}

/** The scripts that draw a report's charts come from where npm has put them. */
function checkReport() {
  const command = join(consumer, "node_modules", ".bin", "hyperwalk");
  const [input, page] = [join(work, "document.json"), join(work, "report.html")];
  const args = ["compare", "runstate-loop", "--iterations", "4", "--json"];
  const { stdout, stderr } = spawnSync(command, args, { cwd: consumer, encoding: "utf8" });
  writeFileSync(input, stdout);
  const problem = run(command, ["report", input, "-o", page], consumer);
  if (problem) return `${problem}\n${stderr}`;
  const text = readFileSync(page, "utf8");
  const missing = ["vega", "vega-lite", "vega-embed"].filter((name) => !text.includes(`/*! ${name} `));
  if (missing.length) return `not in the page: ${missing.join(", ")}`;
  return text.length < 3e6 ? undefined : `${text.length} characters`;
}

/** A newcomer's first scenario and sweep: a guest's module, threads, and packages that are ES modules alone. */
function checkSweep() {
  const command = join(consumer, "node_modules", ".bin", "hyperwalk");
  const folder = join(work, "experiment");
  const scenario = join(folder, "sweep.yml");
  const problem =
    run(command, ["init", folder], consumer) ?? run(command, ["run", join(folder, "scenario.yml")], consumer);
  if (problem) return problem;
  const few = readFileSync(scenario, "utf8").replace("iterations: 1024", "iterations: 4");
  writeFileSync(scenario, few.replace(/^ {4}machine\.set.*\n/m, ""));
  const swept = run(command, ["sweep", scenario, "--output", join(folder, "results")], consumer);
  if (swept) return swept;
  const rows = readFileSync(join(folder, "results", "results.jsonl"), "utf8")
    .trim()
    .split("\n");
  return rows.length === 6 ? undefined : `${rows.length} points`;
}

function pack(dir) {
  const source = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));
  if (!existsSync(join(dir, "dist")))
    return { name: source.name, problem: "no dist: run `npm run build` first" };
  const out = join(work, source.name.replaceAll("/", "+"));
  mkdirSync(out);
  const problem = run(join(binDir, "pnpm"), ["pack", "--pack-destination", out], dir);
  if (problem) return { name: source.name, problem };
  const tarball = join(out, readdirSync(out)[0]);
  const extracted = run("tar", ["-xzf", tarball, "-C", out], root);
  return { name: source.name, tarball, content: join(out, "package"), problem: extracted };
}

/** Entry points an application imports: every key of `exports` but ./package.json. */
function entryPoints({ name, manifest }) {
  return Object.keys(manifest.exports)
    .filter((key) => key !== "./package.json")
    .map((key) => name + key.slice(1));
}

function checkManifest({ content, manifest }) {
  const text = readFileSync(join(content, "package.json"), "utf8");
  if (text.includes("workspace:")) return `the packed manifest still has a workspace: range\n${text}`;
  const missing = ["LICENSE", "README.md", "dist", "src"].filter((file) => !existsSync(join(content, file)));
  const bins = Object.values(manifest.bin ?? {}).filter((file) => !existsSync(join(content, file)));
  if (missing.length || bins.length) return `not in the tarball: ${[...missing, ...bins].join(", ")}`;
  return undefined;
}

/** Bundles an installed entry for the browser and evaluates it without any Node global. */
async function checkBrowserClean(entry) {
  try {
    const { outputFiles } = await esbuild.build({
      stdin: {
        contents: `import * as entry from ${JSON.stringify(entry)}; globalThis.entry = entry;`,
        resolveDir: consumer,
      },
      bundle: true,
      format: "iife",
      platform: "browser",
      target: "es2022",
      write: false,
      logLevel: "silent",
    });
    const shared = { WebAssembly, TextDecoder, TextEncoder, URL, structuredClone, console, performance };
    vm.runInNewContext(outputFiles[0].text, shared, { timeout: 20_000 });
    return undefined;
  } catch (error) {
    return error.errors?.map((e) => `${e.location?.file ?? ""}: ${e.text}`).join("\n") ?? String(error.stack);
  }
}

const packages = readdirSync(join(root, "packages"))
  .map((dir) => join(root, "packages", dir))
  .filter((dir) => existsSync(join(dir, "package.json")))
  .map(pack);

for (const each of packages) {
  report(`${each.name}: pnpm pack`, each.problem);
  if (each.problem) continue;
  each.manifest = JSON.parse(readFileSync(join(each.content, "package.json"), "utf8"));
  report(`${each.name}: packed manifest and files`, checkManifest(each));
  report(
    `${each.name}: publint --strict`,
    run(join(binDir, "publint"), ["run", each.tarball, "--strict"], root),
  );
  report(
    `${each.name}: are the types wrong`,
    run(join(binDir, "attw"), [each.tarball, "--no-definitely-typed", "--format", "ascii"], root),
  );
}

const packed = packages.filter((each) => each.manifest);
mkdirSync(consumer);
writeFileSync(join(consumer, "package.json"), '{ "name": "consumer", "private": true }\n');
const installed = run(
  "npm",
  ["install", "--no-audit", "--no-fund", "--prefer-offline", ...packed.map((each) => each.tarball)],
  consumer,
);
report("clean consumer: npm install of the tarballs", installed);

if (!installed) {
  writeFileSync(
    join(consumer, "both.mjs"),
    `import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const names = (m) => Object.keys(m).filter((k) => k !== "default" && k !== "module.exports").sort().join(" ");
for (const entry of process.argv.slice(2)) {
  const esm = names(await import(entry));
  const cjs = names(require(entry));
  if (esm !== cjs) throw new Error(entry + " exports differ\\n  import:  " + esm + "\\n  require: " + cjs);
}
`,
  );
  for (const each of packed) {
    const entries = entryPoints(each);
    report(`${each.name}: import and require agree`, run("node", ["both.mjs", ...entries], consumer));
    for (const entry of entries) report(`${entry}: browser-clean`, await checkBrowserClean(entry));
    for (const bin of Object.keys(each.manifest.bin ?? {}))
      report(
        `${each.name}: ${bin} --help`,
        run(join(consumer, "node_modules", ".bin", bin), ["--help"], consumer),
      );
  }
  report("hyperwalk: the installed command prints what the source prints", checkAgainstSource());
  report("hyperwalk: the installed command writes reports", checkReport());
  report("hyperwalk: the installed command begins, runs and sweeps scenarios", checkSweep());
}

rmSync(work, { recursive: true, force: true });
console.log(failures === 0 ? "packages: all checks passed" : `packages: ${failures} checks failed`);
process.exitCode = failures === 0 ? 0 : 1;
