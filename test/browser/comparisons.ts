import { BUILT_IN_GUESTS, compare, PROFILES } from "hyperwalk";

/** The documents that Node and a browser must agree on, as JSON. */
export function comparisonsJson(): string {
  const documents = PROFILES.flatMap((machine) =>
    BUILT_IN_GUESTS.map((guest) => compare({ guest, machine, iterations: 256 })),
  );
  return JSON.stringify(documents);
}
