import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Children } from "./child.js";
import { absent, line } from "./line.js";
import { median, spread } from "./median.js";
import { NativeLoops } from "./native-loops.js";

const BAR_MIPS = 20;
/** Iterations that make some fifty million guest instructions each. */
const LOOPS: readonly (readonly [string, number])[] = [
  ["integer", 3_000_000],
  ["memory", 20_000],
  ["calls", 20_000],
];

interface Measured {
  readonly mips: number[];
  readonly seconds: number[];
  readonly checksum: string;
}

/**
 * Compiled C under the simulated Xen, with the whole timing model on: million guest instructions per host second, and
 * how many times slower than the same C, compiled for this machine.
 */
export async function guestLoops(children: Children): Promise<void> {
  const image = fileURLToPath(new URL("./guests/loops.elf", import.meta.url));
  if (!existsSync(image)) return absent("guest instructions per second", "bench/guests/loops.elf is absent");
  const native = await NativeLoops.compile();
  if (typeof native === "string") absent("native speed of the same C", native);
  for (const [loop, iterations] of LOOPS) {
    const measured = await children.run<Measured>("guest-loop", [image, loop, String(iterations)]);
    const speed = median(measured.mips);
    line(`${loop} loop`, `${spread(measured.mips, 1)} MIPS`, `>= ${BAR_MIPS} MIPS`, speed >= BAR_MIPS);
    if (typeof native === "string") continue;
    const own = await native.run(loop, iterations);
    if (own.checksum !== measured.checksum)
      throw new Error(`${loop}: the guest computed ${measured.checksum}, this machine ${own.checksum}`);
    const ratio = median(measured.seconds) / own.seconds;
    line(`  against the same C on this machine`, `${ratio.toFixed(0)} times slower`, "none", undefined);
  }
  if (typeof native !== "string") native.close();
}
