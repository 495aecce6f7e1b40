import type { ProcessorProfile } from "@hyperwalk/cpu";
import { sha256Hex } from "@hyperwalk/xen";

/** SHA-256 of a profile's data, keys in order: two profiles with the same one give the same results. */
export function profileHash(profile: ProcessorProfile): string {
  return sha256Hex(new TextEncoder().encode(JSON.stringify(inOrder(profile))));
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, inOrder(each)]));
}
