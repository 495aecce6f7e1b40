import {
  LeastRecentlyUsed,
  makeReplacement,
  type OwnReplacement,
  REPLACEMENT_POLICIES,
  ReplacementError,
  type ReplacementPolicy,
} from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { SMALL, TestMachine } from "../machine.js";

const own = (name: string, victim: ReplacementPolicy["victim"]): OwnReplacement => ({
  name,
  make: () => ({ name, victim, renormalised: () => {}, snapshot: () => [], restore: () => {} }),
});

/** Misses of reads of so many lines of one set of the first level, round and round. */
function misses(replacement: OwnReplacement | "lru", lines: number): number {
  const m = new TestMachine({ ...SMALL, l1d: { ...SMALL.l1d, replacement } });
  m.mmu.activate(m.context({ paging: 0 }));
  const set = SMALL.l1d.bytes / SMALL.l1d.ways;
  let missed = 0;
  for (let round = 0; round < 8; round++)
    for (let i = 0; i < lines; i++) {
      const before = m.ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0);
      m.mmu.read(0x100000 + i * set, 0, 8);
      const after = m.ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0);
      if (round > 0 && after > before) missed++;
    }
  return missed;
}

describe("a replacement policy of one's own", () => {
  it("decides who makes room", () => {
    // Five lines round and round in four ways: the least recent one is always the next that is wanted.
    const lru = misses("lru", 5);
    const newest = misses(
      own("most-recent", (marks, first, ways, stride) => {
        let at = 0;
        for (let way = 1; way < ways; way++)
          if (marks[first + way * stride] > marks[first + at * stride]) at = way;
        return at;
      }),
      5,
    );
    expect(lru).toBe(7 * 5);
    expect(newest).toBeLessThan(lru / 2);
  });

  it("comes out as the package's own does when it answers the same", () => {
    const same: OwnReplacement = { name: "mine", make: () => new LeastRecentlyUsed() };
    for (const lines of [4, 5, 7]) expect(misses(same, lines)).toBe(misses("lru", lines));
  });

  it("is made once for each array, with a seed", () => {
    const seeds: number[] = [];
    const counted: OwnReplacement = {
      name: "counted",
      make: (seed) => {
        seeds.push(seed);
        return REPLACEMENT_POLICIES.random(seed);
      },
    };
    new TestMachine({
      ...SMALL,
      l1d: { ...SMALL.l1d, replacement: counted },
      l2: { ...SMALL.l2, replacement: counted },
    });
    expect(seeds).toHaveLength(2);
    expect(new Set(seeds).size).toBe(2);
  });

  it.each([4, -1, 1.5, Number.NaN])("answer %d is refused", (answer) => {
    const policy = makeReplacement(
      own("wild", () => answer),
      1,
    );
    const ask = () => policy.victim(new Int32Array(4), 0, 4, 1);
    expect(ask).toThrow(ReplacementError);
    expect(ask).toThrow('"wild"');
  });

  it("may not have a name that is taken; a name that there is not is refused", () => {
    expect(() =>
      makeReplacement(
        own("lru", () => 0),
        1,
      ),
    ).toThrow(ReplacementError);
    expect(() => makeReplacement("fifo" as "lru", 1)).toThrow("lru, tree-plru, random");
  });
});
