import { describe, expect, it, vi } from "vitest";
import { FuzzFailure } from "./fuzz-kind.js";
import { KINDS, runCase, runKind } from "./kinds.js";

vi.setConfig({ testTimeout: 120_000 }); // simulated work, however slow the host

const SEED = 20;
const CASES = 3;

describe("hostile input: no untyped error, no budget overrun, a ledger that adds up", () => {
  it.each(KINDS.map(({ name }, kind) => [name, kind] as const))("%s", (_name, kind) => {
    for (let i = 0; i < CASES; i++) {
      const number = i * KINDS.length + kind;
      expect(runCase(SEED, number), `case ${number} of seed ${SEED}`).toBeUndefined();
    }
  });
});

describe("the fuzzer", () => {
  const throwing = (error: Error) => ({
    name: "planted",
    typed: [RangeError],
    run: () => {
      throw error;
    },
  });

  it("tells an error that is an answer from one that is not", () => {
    expect(runKind(throwing(new RangeError("no")), 1, 0)).toBeUndefined();
    expect(runKind(throwing(new TypeError("x is undefined")), 1, 0)).toBeInstanceOf(TypeError);
    expect(runKind(throwing(new FuzzFailure("overrun")), 1, 0)).toBeInstanceOf(FuzzFailure);
  });

  it("gives the same numbers for the same case, and others for another", () => {
    const words = (seed: number, number: number) => {
      const seen: number[] = [];
      const kind = {
        name: "recorder",
        typed: [],
        run: (random: { word(): number }) => void seen.push(random.word()),
      };
      runKind(kind, seed, number);
      return seen;
    };
    expect(words(1, 2)).toEqual(words(1, 2));
    expect(words(1, 2)).not.toEqual(words(1, 3));
    expect(words(1, 2)).not.toEqual(words(2, 2));
  });
});
