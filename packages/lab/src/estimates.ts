import type { EstimateUsed } from "./result.js";
import type { SimulatedSystem } from "./simulated-system.js";

/** The estimates that a system's figures rest on. */
export function estimatesUsed(system: Pick<SimulatedSystem, "estimates">): EstimateUsed[] {
  return system.estimates().map(({ key, value, unit, range, source }) => ({
    key,
    value,
    unit,
    range: range ?? null,
    source,
  }));
}

/** Union of the estimates of several runs or documents, by key. */
export function mergeEstimates(lists: readonly (readonly EstimateUsed[])[]): EstimateUsed[] {
  const byKey = new Map<string, EstimateUsed>();
  for (const each of lists.flat()) byKey.set(each.key, each);
  return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}
