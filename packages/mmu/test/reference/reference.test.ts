import { FaultKind } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bench } from "./bench.js";
import { type Seen, Sequence } from "./sequence.js";
import { PROFILES, sequences, sequencesWithTiming } from "./sequences.js";

const seen: Seen = { outcomes: new Set(), stale: 0, accesses: 0, logged: 0, untimed: [0, 0] };

describe("the Mmu does what the manuals permit, on every access, fault and flag", () => {
  test.each(Object.entries(PROFILES))("caches: %s", { timeout: 60_000 }, (_name, profile) => {
    const bench = new Bench(profile);
    fc.assert(
      fc.property(sequences, ({ seed, steps }) => {
        new Sequence(seed, bench, seen).run(steps);
      }),
      { numRuns: 250 },
    );
  });

  test("also with timing switched off and on", { timeout: 60_000 }, () => {
    const bench = new Bench(PROFILES["one array for all page sizes"]);
    fc.assert(
      fc.property(sequencesWithTiming, ({ seed, steps }) => {
        new Sequence(seed, bench, seen).run(steps);
      }),
      { numRuns: 400 },
    );
    for (const accesses of seen.untimed) expect(accesses).toBeGreaterThan(200);
  });

  test("and the sequences come upon every kind of outcome, stale translations and the log", () => {
    // The reference model has no reverse map: what that finds out is asked in reverse-map.test.ts.
    const kinds = Object.values(FaultKind).filter((kind) => kind !== FaultKind.NotValidated);
    for (const kind of kinds) expect([...seen.outcomes]).toContain(kind);
    expect(seen.stale).toBeGreaterThan(0);
    expect(seen.logged).toBeGreaterThan(0);
  });
});
