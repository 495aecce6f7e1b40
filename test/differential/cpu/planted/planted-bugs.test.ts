import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { whyNotNative } from "../native/native-harness.js";
import { hunt } from "./hunt.js";
import { PLANTED_BUGS } from "./planted-bugs.js";
import { ScratchCopy } from "./scratch-copy.js";

const reason = whyNotNative();
const MOST_MS = 180_000;
/** A slice of the list, which `npm run differential:planted` goes through as a whole. */
const SLICE = PLANTED_BUGS.filter((_, i) => i % 4 === 0);

describe.skipIf(reason !== "")(`planted bugs${reason && ` (skipped: ${reason})`}`, () => {
  let copy: ScratchCopy;
  beforeAll(() => {
    copy = new ScratchCopy();
  });
  afterAll(() => copy?.remove());

  it.each(SLICE)(
    "$name: is found",
    (bug) => {
      const takeOut = copy.plant(bug);
      expect(hunt(copy, bug, 1).mismatches).toBeGreaterThan(0);
      takeOut();
    },
    MOST_MS,
  );

  it(
    "are found by what is planted alone",
    () => {
      expect(hunt(copy, SLICE[0], 1).mismatches).toBe(0);
    },
    MOST_MS,
  );
});

describe("the list of planted bugs", () => {
  it("has ten bugs whose places the source has", () => {
    expect(new Set(PLANTED_BUGS.map(({ name }) => name)).size).toBe(10);
    const copy = new ScratchCopy();
    try {
      for (const bug of PLANTED_BUGS) copy.plant(bug)();
    } finally {
      copy.remove();
    }
  });
});
