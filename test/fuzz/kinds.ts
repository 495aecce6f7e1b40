import { bareCode, pageTables } from "./bare.js";
import type { FuzzKind } from "./fuzz-kind.js";
import { guestCode, hypercalls, images } from "./guests.js";
import { controlStructures, nestedTables } from "./nested.js";
import { pieces } from "./pieces.js";
import { Random } from "./random.js";
import { securePages } from "./secure.js";
import { severalVcpus } from "./several.js";
import { snapshots } from "./snapshots.js";

/** All kinds, in the order in which they take turns. */
export const KINDS: readonly FuzzKind[] = [
  bareCode,
  pageTables,
  controlStructures,
  nestedTables,
  guestCode,
  hypercalls,
  images,
  snapshots,
  severalVcpus,
  pieces,
  securePages,
];

/** Case `number` of a run with this seed: its kind is `number` modulo the kinds. @returns as {@link runKind} does */
export function runCase(seed: number, number: number): unknown {
  return runKind(KINDS[number % KINDS.length], seed, number);
}

/** @returns what is wrong; undefined: nothing */
export function runKind(kind: FuzzKind, seed: number, number: number): unknown {
  try {
    kind.run(new Random(seed, number));
    return undefined;
  } catch (error) {
    return kind.typed.some((type) => error instanceof type) ? undefined : error;
  }
}
