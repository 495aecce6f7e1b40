import type { Children } from "./child.js";
import { line } from "./line.js";
import { median, spread } from "./median.js";

const BARS = { linear: 200_000, physaddr: 350_000, fastabi: 600_000 } as const;

interface Rates {
  readonly perSecond: number[];
}

/** Simulated hypercalls per host second, from the guest's loop through the whole model and back. */
export async function hypercallRate(children: Children): Promise<void> {
  for (const abi of ["linear", "physaddr", "fastabi"] as const) {
    const bar = BARS[abi];
    const first = await children.runEach<Rates>("hypercall-rate", [abi, "first"]);
    const perSecond = first.flatMap((run) => run.perSecond);
    line(
      `hypercalls/s end to end, ${abi}`,
      `${spread(perSecond, 0)} /s`,
      `>= ${bar} /s`,
      median(perSecond) >= bar,
    );
    const later = await children.run<Rates>("hypercall-rate", [abi, "later"]);
    line("  later comparisons of a process", `${spread(later.perSecond, 0)} /s`, "none", undefined);
  }
}
