import type { Children } from "./child.js";
import { line } from "./line.js";
import { median, spread } from "./median.js";

const BAR = 200_000;

/** Simulated hypercalls per host second, from the guest's loop through the whole model and back. */
export async function hypercallRate(children: Children): Promise<void> {
  for (const abi of ["linear", "physaddr", "fastabi"]) {
    const { perSecond } = await children.run<{ perSecond: number[] }>("hypercall-rate", [abi]);
    line(
      `hypercalls/s end to end, ${abi}`,
      `${spread(perSecond, 0)} /s`,
      `>= ${BAR} /s`,
      median(perSecond) >= BAR,
    );
  }
}
