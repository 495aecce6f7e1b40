import type { EstimateUsed } from "./result.js";

/** Union of the estimates of several runs or documents, by key. */
export function mergeEstimates(lists: readonly (readonly EstimateUsed[])[]): EstimateUsed[] {
  const byKey = new Map<string, EstimateUsed>();
  for (const each of lists.flat()) byKey.set(each.key, each);
  return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}
