import type { Children } from "./child.js";
import { line } from "./line.js";

/** Garbage collections while a warm guest runs: the bar is none. */
export async function collections(children: Children): Promise<void> {
  for (const abi of ["linear", "physaddr", "fastabi"]) {
    const { from, to, hypercalls, stdout } = await children.run<{
      from: number;
      to: number;
      hypercalls: number;
    }>("measured-loop", [abi], ["--trace-gc", "--expose-gc"]);
    // V8 stamps a line with milliseconds since its start, which is somewhat after the process's.
    const stamps = [...stdout.matchAll(/^\[\d+:0x[0-9a-f]+\]\s+(\d+) ms: /gm)].map((match) =>
      Number(match[1]),
    );
    const inside = stamps.filter((at) => at >= from && at <= to).length;
    line(
      `collections in a measured loop, ${abi}`,
      `${inside} in ${hypercalls} hypercalls (${stamps.length} in the process)`,
      "0",
      inside === 0,
    );
  }
}
