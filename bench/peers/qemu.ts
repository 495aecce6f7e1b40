import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { execute } from "../child.js";
import type { Emulator, Found } from "./emulator.js";
import { onPath } from "./on-path.js";

const PROGRAM = "qemu-system-x86_64";
const CACHE_MODEL = "libcache.so";

/** QEMU's TCG, alone and with its cache-model plugin; it boots PVH ELF images itself (`-kernel`). */
export async function findQemu(): Promise<Found[]> {
  const command = onPath(PROGRAM);
  if (!command)
    return [
      { name: "QEMU TCG", missing: `no ${PROGRAM} on PATH (Debian, Ubuntu: apt install qemu-system-x86)` },
    ];
  const { stdout } = await execute(command, ["--version"]);
  const version = /version (\S+)/.exec(stdout)?.[1] ?? "of unknown version";
  const plain = emulator(command, `QEMU ${version} TCG`, 10, []);
  const plugin = findPlugin(command);
  const name = `QEMU ${version} TCG with ${CACHE_MODEL}`;
  return plugin === undefined
    ? [
        plain,
        {
          name,
          missing: `the package has no plugins; build contrib/plugins of QEMU ${version} and name their directory in QEMU_PLUGINS`,
        },
      ]
    : [plain, emulator(command, name, 1, ["-plugin", `file=${plugin}`])];
}

function emulator(command: string, name: string, factor: number, options: readonly string[]): Emulator {
  return {
    name,
    factor,
    counts: "host cycles",
    invocation: (image, cmdline) => ({
      command,
      args: [
        ...["-accel", "tcg", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none"],
        // Bytes that the guest writes to port 0xe9.
        ...["-debugcon", "stdio", "-kernel", image, "-append", cmdline, ...options],
      ],
      input: "",
      environment: {},
    }),
  };
}

/** The cache model, where packages of QEMU put plugins or where QEMU_PLUGINS says. */
function findPlugin(command: string): string | undefined {
  const prefix = dirname(dirname(realpathSync(command)));
  const libraries = ["lib", "lib64", "libexec"]
    .map((name) => join(prefix, name))
    .filter((at) => existsSync(at));
  // Debian and its like have a directory for each architecture.
  const nested = libraries.flatMap((at) =>
    readdirSync(at)
      .filter((name) => name.endsWith("-linux-gnu"))
      .map((name) => join(at, name)),
  );
  const places = [...libraries, ...nested].flatMap((at) => [join(at, "qemu", "plugins"), join(at, "qemu")]);
  return [process.env.QEMU_PLUGINS ?? "", ...places]
    .map((at) => join(at, CACHE_MODEL))
    .find((file) => existsSync(file));
}
