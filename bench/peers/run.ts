// npm run bench:peers: the bench's guests under Bochs and QEMU, where they are installed, beside hyperwalk. Million guest
// instructions per second of processor time, start-up subtracted; medians with extremes. `-- wide memory` takes some of the
// guests only.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../packages/lab/src/cli/usage-error.js";
import { scriptArguments } from "../../scripts/command-line.js";
import { Children } from "../child.js";
import { LOOPS, WIDE_STEPS } from "../guest-loops.js";
import { imageOf } from "../guest-speed.js";
import { median, spread } from "../median.js";
import { findBochs } from "./bochs.js";
import type { Emulator } from "./emulator.js";
import { cmdlineOf, type PeerGuest } from "./guest.js";
import { ownSpeed } from "./own-speed.js";
import { peerSpeed } from "./peer-speed.js";
import { findQemu } from "./qemu.js";

const GUESTS: readonly PeerGuest[] = [
  ...LOOPS.map(([loop, iterations]) => ({
    name: `${loop} loop`,
    image: imageOf("loops.elf"),
    option: `loop=${loop} iterations`,
    iterations,
  })),
  { name: "wide code", image: imageOf("wide.elf"), option: "steps", iterations: WIDE_STEPS },
];
const { positionals: wanted } = scriptArguments(
  "bench:peers",
  {},
  {
    usage: "[guest…]",
    check: (texts) => {
      const unknown = texts.find((text) => !GUESTS.some(({ name }) => name.startsWith(text)));
      if (unknown !== undefined)
        throw new UsageError(
          "argument <guest>",
          `no guest's name starts with "${unknown}"`,
          GUESTS.map(({ name }) => name).join(", "),
        );
    },
  },
);
const chosen = GUESTS.filter(
  ({ name }) => wanted.length === 0 || wanted.some((start) => name.startsWith(start)),
);

function row(engine: string, mips: readonly number[], beside: string): void {
  console.log(`  ${engine.padEnd(36)} ${`${spread(mips, 1)} MIPS`.padEnd(36)} ${beside}`.trimEnd());
}

const directory = mkdtempSync(join(tmpdir(), "hyperwalk-peers-"));
const children = new Children();
try {
  const [first] = GUESTS;
  const found = [...(await findQemu()), await findBochs(directory, [first.image, cmdlineOf(first, 0)])];
  console.log(`${cpus()[0].model}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`);
  for (const one of found) if ("missing" in one) console.log(`${one.name} is absent: ${one.missing}`);
  const emulators = found.filter((one): one is Emulator => !("missing" in one));
  for (const guest of chosen) {
    console.log(`\n${guest.name}`);
    const own = await ownSpeed(children, guest);
    const speed = median(own.mips);
    row("hyperwalk, full timing", own.mips, "");
    for (const emulator of emulators) {
      const { mips, ticksPerInstruction } = await peerSpeed(emulator, guest, own);
      const ratio = `${(median(mips) / speed).toFixed(2)} times full timing`;
      const inside = `${ticksPerInstruction.toFixed(3)} ${emulator.counts} an instruction, by the guest's clock`;
      row(emulator.name, mips, `${ratio}; ${inside}`);
    }
  }
} finally {
  children.close();
  rmSync(directory, { recursive: true, force: true });
}
