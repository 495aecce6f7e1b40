import { existsSync } from "node:fs";
import type { Children } from "./child.js";
import { imageOf, measureFirst, measureLater } from "./guest-speed.js";
import { absent, barsLine, line } from "./line.js";
import { median, spread } from "./median.js";
import { NativeLoops } from "./native-loops.js";

/** One guest whose speed is measured. */
interface SpeedGuest {
  /** What stands before its figure. */
  readonly name: string;
  /** Path of its image. */
  readonly image: string;
  readonly cmdline: string;
  /** Is it the boot that is measured, from the first instruction? */
  readonly boot: boolean;
  /** Million guest instructions a second with full timing: what has to be reached first, and after that. */
  readonly bars: readonly number[];
  /** The same in a functional fast-forward. */
  readonly functionalBar: number;
}

/** Loops of `bench/guests/loops.c` with iterations that make some fifty million guest instructions each. */
export const LOOPS: readonly (readonly [string, number])[] = [
  ["integer", 3_000_000],
  ["memory", 20_000],
  ["calls", 20_000],
];
/** System calls of the wide guest that make some twenty million guest instructions. */
export const WIDE_STEPS = 45_000;

const HOT_BARS = [20, 35];
const WIDE_BARS = [15];
const HOT_FUNCTIONAL_BAR = 70;
const WIDE_FUNCTIONAL_BAR = 35;

const GUESTS: readonly SpeedGuest[] = [
  ...LOOPS.map(([loop, iterations]) => ({
    name: `${loop} loop`,
    image: imageOf("loops.elf"),
    cmdline: `loop=${loop} iterations=${iterations}`,
    boot: false,
    bars: HOT_BARS,
    functionalBar: HOT_FUNCTIONAL_BAR,
  })),
  {
    name: "wide code",
    image: imageOf("wide.elf"),
    cmdline: `steps=${WIDE_STEPS}`,
    boot: false,
    bars: WIDE_BARS,
    functionalBar: WIDE_FUNCTIONAL_BAR,
  },
  {
    name: "boot of the largest guest (wide.elf), decoding included",
    image: imageOf("wide.elf"),
    cmdline: "steps=2000",
    boot: true,
    bars: WIDE_BARS,
    functionalBar: WIDE_FUNCTIONAL_BAR,
  },
];

/**
 * Compiled C under the simulated Xen, with the whole timing model on: million guest instructions per host second, and
 * how many times slower than the same C, compiled for this machine. Then the same guests in a functional fast-forward.
 */
export async function guestLoops(children: Children): Promise<void> {
  const native = await NativeLoops.compile();
  if (typeof native === "string") absent("native speed of the same C", native);
  for (const guest of GUESTS) {
    if (!existsSync(guest.image)) {
      absent(guest.name, `${guest.image} is absent`);
      continue;
    }
    // A boot is over before a first system is compiled.
    const alone = guest.boot ? undefined : await measureFirst(children, guest, "full");
    const which = guest.boot ? "boot" : "later";
    const measured = await measureLater(children, guest, which, "full");
    const speed = median((alone ?? measured).mips);
    barsLine(guest.name, `${spread((alone ?? measured).mips, 1)} MIPS`, guest.bars, "MIPS", speed);
    line(
      "  calibration loop beside it",
      `${spread((alone ?? measured).host, 0)} M steps/s`,
      "none",
      undefined,
    );
    if (alone) line("  later systems of a process", `${spread(measured.mips, 1)} MIPS`, "none", undefined);
    const functional = guest.boot
      ? await measureLater(children, guest, which, "functional")
      : await measureFirst(children, guest, "functional");
    if (functional.checksum !== measured.checksum)
      throw new Error(`${guest.name}: with timing off the guest computed ${functional.checksum}`);
    line(
      "  functional fast-forward",
      `${spread(functional.mips, 1)} MIPS`,
      `>= ${guest.functionalBar} MIPS`,
      median(functional.mips) >= guest.functionalBar,
    );
    const loop = /loop=(\w+) iterations=(\d+)/.exec(guest.cmdline);
    if (typeof native === "string" || !loop) continue;
    const own = await native.run(loop[1], Number(loop[2]));
    if (own.checksum !== measured.checksum)
      throw new Error(`${loop[1]}: the guest computed ${measured.checksum}, this machine ${own.checksum}`);
    const ratio = measured.instructions / (speed * 1e6) / own.seconds;
    line("  against the same C on this machine", `${ratio.toFixed(0)} times slower`, "none", undefined);
  }
  if (typeof native !== "string") native.close();
}
