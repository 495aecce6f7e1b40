import { Errno, OPERATIONS } from "@hyperwalk/xen";
import type { CallResult } from "./result.js";
import type { SimulatedSystem } from "./simulated-system.js";

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Errno).map(([name, value]) => [-value, `-${name}`]),
);

/**
 * Counts, from now on, what an operation returns; where nobody serves it, what its hypercall returns by number.
 * @param operation its name without that of its group
 */
export function countResults(system: SimulatedSystem, operation: string): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  const known = OPERATIONS.find(({ descriptor }) => descriptor.name.endsWith(`.${operation}`));
  system.on?.("hypercall", (event) => {
    if (
      event.operation?.endsWith(`.${operation}`) ||
      (event.operation === undefined && event.number === known?.descriptor.hypercall)
    )
      counts.set(event.result, (counts.get(event.result) ?? 0) + 1);
  });
  return counts;
}

/** It was called, and never succeeded. */
export function failsAlways(counts: ReadonlyMap<number, number>): boolean {
  return counts.size > 0 && [...counts.keys()].every((result) => result < 0);
}

/** The counts as results have them. */
export function sorted(counts: ReadonlyMap<number, number>): readonly CallResult[] {
  return [...counts]
    .sort(([a, many], [b, more]) => more - many || b - a)
    .map(([result, calls]) => ({ result: NAMES.get(result) ?? String(result), calls }));
}
