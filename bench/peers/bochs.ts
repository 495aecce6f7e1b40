import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadPvhImage } from "@hyperwalk/xen";
import { execute } from "../child.js";
import type { Emulator, Found } from "./emulator.js";
import { timeGuest } from "./guest-process.js";
import { onPath } from "./on-path.js";
import { ROM_ADDRESS, resetRom } from "./reset-rom.js";
import { startInfo } from "./start-info.js";

const START_INFO = 0x1000;
/** Ways to have no window, best first; packages have some of them. `rfb` would listen on a port. */
const DISPLAYS = ["nogui", "term"];

/**
 * Bochs. It boots neither PVH nor ELF, but puts files into memory, so that firmware of our own (`reset-rom.ts`) is all
 * that it takes: no BIOS, no disk.
 *
 * @param directory for its configuration and images
 * @param probe path of an image and a command line to try it with
 */
export async function findBochs(directory: string, probe: readonly [string, string]): Promise<Found> {
  const command = onPath("bochs");
  if (!command)
    return { name: "Bochs", missing: "no bochs on PATH (Debian, Ubuntu: apt install bochs bochs-term)" };
  const { stdout, stderr } = await execute(command, ["--help"]);
  const name = `Bochs ${/Emulator (\S+)/.exec(stdout + stderr)?.[1] ?? "of unknown version"}`;
  const why: string[] = [];
  for (const display of DISPLAYS) {
    const emulator = describe(command, name, display, directory);
    try {
      await timeGuest(emulator.invocation(...probe));
      return emulator;
    } catch (error) {
      why.push(`${display}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  return { name, missing: `it runs with no display (apt install bochs-term): ${why.join("; ")}` };
}

function describe(command: string, name: string, display: string, directory: string): Emulator {
  return {
    name,
    factor: 1,
    counts: "instructions",
    invocation(image, cmdline) {
      const { entry, segments } = loadPvhImage(readFileSync(image));
      const files = [...segments, startInfo(START_INFO, cmdline)].map(({ address, bytes }, i) => {
        const file = join(directory, `memory-${i}`);
        writeFileSync(file, bytes);
        return `optramimage${i + 1}: file=${file}, address=0x${address.toString(16)}`;
      });
      const rom = join(directory, "rom");
      writeFileSync(rom, resetRom(entry, START_INFO));
      const configuration = join(directory, "bochsrc");
      const lines = [
        `display_library: ${display}`,
        `romimage: file=${rom}, address=0x${ROM_ADDRESS.toString(16)}`,
        ...files,
        "megs: 64",
        "cpu: model=corei7_haswell_4770, count=1, ips=100000000",
        "clock: sync=none",
        "port_e9_hack: enabled=1",
        "pci: enabled=0",
        // It would open a sound device.
        "plugin_ctrl: speaker=0",
        `log: ${join(directory, "log")}`,
        "panic: action=report",
        "error: action=report",
      ];
      writeFileSync(configuration, `${lines.join("\n")}\n`);
      return {
        command,
        args: ["-q", "-f", configuration],
        // Builds with a debugger wait for it; the others do not read.
        input: "continue\n",
        environment: { TERM: "dumb" },
      };
    },
  };
}
