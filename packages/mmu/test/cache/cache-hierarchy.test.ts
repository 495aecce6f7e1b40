import {
  Arena,
  CacheHierarchy,
  lineHigh,
  lineLow,
  type MemoryProfile,
  REPLACEMENT_POLICIES,
  RecencyClock,
  type ReplacementName,
  ServedBy,
} from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SMALL } from "../machine.js";

type Policy = MemoryProfile["l3"]["policy"];
const POLICIES: Policy[] = ["victim", "non-inclusive", "inclusive"];
const TINY: MemoryProfile = {
  ...SMALL,
  l1i: { bytes: 512, ways: 2, latency: 4, replacement: "lru" },
  l1d: { bytes: 512, ways: 2, latency: 4, replacement: "lru" },
  l2: { bytes: 1024, ways: 4, latency: 14, replacement: "lru" },
};

const REPLACEMENTS = Object.keys(REPLACEMENT_POLICIES) as ReplacementName[];

function make(
  policy: Policy,
  replacement: ReplacementName = "lru",
): { caches: CacheHierarchy; clock: RecencyClock; now: () => number } {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena);
  const profile: MemoryProfile = {
    ...TINY,
    l1i: { ...TINY.l1i, replacement },
    l1d: { ...TINY.l1d, replacement },
    l2: { ...TINY.l2, replacement },
    l3: { bytes: 2048, ways: 4, latency: 50, replacement, policy },
  };
  return { caches: new CacheHierarchy(arena, clock, profile, 1), clock, now: () => arena.i32[clock.at] };
}

const access = fc.record({
  kind: fc.constantFrom("read", "write", "fetch", "flush"),
  frame: fc.integer({ min: 0, max: 7 }),
  line: fc.integer({ min: 0, max: 15 }),
});

const KINDS = POLICIES.flatMap((policy) => REPLACEMENTS.map((replacement) => [policy, replacement] as const));

describe.each(KINDS)("L3 policy %s, replacement %s", (policy, replacement) => {
  test("reports the highest level that has the line, and brings it to L1", () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 300 }), (accesses) => {
        const { caches, clock } = make(policy, replacement);
        const where = (frame: number, line: number): number[] =>
          [caches.l2, caches.l3].map((level) =>
            level.find(lineLow(frame, line), lineHigh(frame)) >= 0 ? 1 : 0,
          );
        for (const { kind, frame, line } of accesses) {
          if (kind === "flush") {
            caches.flushLine(lineLow(frame, line), lineHigh(frame));
            expect(caches.l1d.find(lineLow(frame, line), lineHigh(frame))).toBe(-1);
            expect(caches.l1i.find(lineLow(frame, line), lineHigh(frame))).toBe(-1);
            expect(where(frame, line)).toEqual([0, 0]);
            continue;
          }
          const l1 = kind === "fetch" ? caches.l1i : caches.l1d;
          const [inL2, inL3] = where(frame, line);
          const expected = l1.find(lineLow(frame, line), lineHigh(frame)) >= 0 ? 1 : inL2 ? 2 : inL3 ? 3 : 4;
          const served =
            kind === "fetch"
              ? caches.instruction(lineLow(frame, line), lineHigh(frame), clock.next())
              : caches.data(lineLow(frame, line), lineHigh(frame), kind === "write", clock.next());
          expect(served).toBe(expected);
          expect(l1.find(lineLow(frame, line), lineHigh(frame))).toBe(caches.way);
          if (kind === "write") expect(l1.isDirty(caches.way)).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("data that was written stays dirty until it has left every level", () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 300 }), (accesses) => {
        const { caches, clock } = make(policy, replacement);
        const levels = [caches.l1d, caches.l2, caches.l3];
        const written = new Map<number, [lo: number, hi: number]>();
        for (const { kind, frame, line } of accesses) {
          const before = [...written].filter(([, at]) => levels.some((level) => level.find(...at) >= 0));
          if (kind === "flush") caches.flushLine(lineLow(frame, line), lineHigh(frame));
          else if (kind === "fetch") caches.instruction(lineLow(frame, line), lineHigh(frame), clock.next());
          else caches.data(lineLow(frame, line), lineHigh(frame), kind === "write", clock.next());
          if (kind === "write") written.set(frame * 64 + line, [lineLow(frame, line), lineHigh(frame)]);
          for (const [key, at] of before) {
            const held = levels.filter((level) => level.find(...at) >= 0);
            if (held.length === 0) written.delete(key);
            else expect(held.some((level) => level.isDirty(level.find(...at)))).toBe(true);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test("no level holds more lines than it has ways, none of them twice", () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 300 }), (accesses) => {
        const { caches, clock } = make(policy, replacement);
        for (const { kind, frame, line } of accesses)
          if (kind === "fetch") caches.instruction(lineLow(frame, line), lineHigh(frame), clock.next());
          else caches.data(lineLow(frame, line), lineHigh(frame), kind === "write", clock.next());
        for (const level of [caches.l1i, caches.l1d, caches.l2, caches.l3]) {
          const held = new Map<number, number>();
          for (let f = 0; f < 8; f++)
            for (let l = 0; l < 16; l++) {
              const way = level.find(lineLow(f, l), lineHigh(f));
              if (way < 0) continue;
              expect(held.has(way)).toBe(false);
              held.set(way, f * 64 + l);
            }
          expect(level.occupancy).toBe(held.size);
          expect(held.size).toBeLessThanOrEqual(level.sets * level.ways);
        }
      }),
      { numRuns: 20 },
    );
  });

  test("continues after a snapshot as if nothing had been", () => {
    fc.assert(
      fc.property(
        fc.array(access, { maxLength: 200 }),
        fc.array(access, { maxLength: 200 }),
        (before, after) => {
          const [a, b] = [make(policy, replacement), make(policy, replacement)];
          const replay = (m: typeof a, accesses: typeof before): number[] =>
            accesses.map(({ kind, frame, line }) => {
              if (kind === "fetch")
                return m.caches.instruction(lineLow(frame, line), lineHigh(frame), m.clock.next());
              if (kind !== "flush")
                return m.caches.data(lineLow(frame, line), lineHigh(frame), kind === "write", m.clock.next());
              m.caches.flushLine(lineLow(frame, line), lineHigh(frame));
              return 0;
            });
          replay(a, before);
          b.caches.restore(a.caches.snapshot());
          while (b.now() < a.now()) b.clock.next();
          expect(replay(b, after)).toEqual(replay(a, after));
          expect(b.caches.snapshot()).toEqual(a.caches.snapshot());
        },
      ),
      { numRuns: 15 },
    );
  });

  test("keeps its inclusion rule at every step", () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 300 }), (accesses) => {
        const { caches, clock } = make(policy, replacement);
        for (const { kind, frame, line } of accesses) {
          if (kind === "fetch") caches.instruction(lineLow(frame, line), lineHigh(frame), clock.next());
          else caches.data(lineLow(frame, line), lineHigh(frame), kind === "write", clock.next());
          for (let f = 0; f < 8; f++)
            for (let l = 0; l < 16; l++) {
              const inL1 =
                caches.l1d.find(lineLow(f, l), lineHigh(f)) >= 0 ||
                caches.l1i.find(lineLow(f, l), lineHigh(f)) >= 0;
              const inL2 = caches.l2.find(lineLow(f, l), lineHigh(f)) >= 0;
              const inL3 = caches.l3.find(lineLow(f, l), lineHigh(f)) >= 0;
              if (policy === "victim") {
                expect(inL2 && inL3, "a line is in L2 or in the victim L3, not both").toBe(false);
                expect(inL1 && !inL2, "L2 includes L1").toBe(false);
              }
              if (policy === "inclusive") expect((inL1 || inL2) && !inL3, "L3 includes all").toBe(false);
            }
        }
      }),
      { numRuns: 20 },
    );
  });
});

test("victim: a line that L2 evicts is served by L3, then again by L2", () => {
  const { caches, clock } = make("victim");
  const read = (frame: number): number =>
    caches.data(lineLow(frame, 0), lineHigh(frame), false, clock.next());
  for (let frame = 0; frame < 5; frame++) expect(read(frame)).toBe(ServedBy.Dram);
  expect(caches.l2.find(lineLow(0, 0), lineHigh(0))).toBe(-1);
  expect(read(0)).toBe(ServedBy.L3);
  expect(caches.l3.find(lineLow(0, 0), lineHigh(0))).toBe(-1);
  expect(read(0)).toBe(ServedBy.L1);
});

test("victim: a dirty line stays dirty on its way down and back", () => {
  const { caches, clock } = make("victim");
  caches.data(lineLow(0, 0), lineHigh(0), true, clock.next());
  for (let frame = 1; frame < 5; frame++)
    caches.data(lineLow(frame, 0), lineHigh(frame), false, clock.next());
  expect(caches.l3.isDirty(caches.l3.find(lineLow(0, 0), lineHigh(0)))).toBe(true);
  caches.data(lineLow(0, 0), lineHigh(0), false, clock.next());
  expect(caches.l2.isDirty(caches.l2.find(lineLow(0, 0), lineHigh(0)))).toBe(true);
});

test("inclusive: a line that L3 evicts leaves L1, though it was just used there", () => {
  const { caches, clock } = make("inclusive");
  const served: number[] = [];
  for (let frame = 1; frame < 5; frame++) {
    caches.data(lineLow(frame, 0), lineHigh(frame), false, clock.next());
    served.push(caches.data(lineLow(0, 0), lineHigh(0), false, clock.next()));
  }
  expect(served).toEqual([ServedBy.Dram, ServedBy.L1, ServedBy.L1, ServedBy.L1]);
  caches.data(lineLow(5, 0), lineHigh(5), false, clock.next());
  // Frame 1 was L3's oldest; frame 0 is next, however often L1 hit it.
  expect(caches.l3.find(lineLow(1, 0), lineHigh(1))).toBe(-1);
  caches.data(lineLow(6, 0), lineHigh(6), false, clock.next());
  expect(caches.data(lineLow(0, 0), lineHigh(0), false, clock.next())).toBe(ServedBy.Dram);
});

test("instructions and data share L2 but not L1", () => {
  const { caches, clock } = make("non-inclusive");
  expect(caches.data(lineLow(1, 2), lineHigh(1), false, clock.next())).toBe(ServedBy.Dram);
  expect(caches.instruction(lineLow(1, 2), lineHigh(1), clock.next())).toBe(ServedBy.L2);
  expect(caches.instruction(lineLow(1, 2), lineHigh(1), clock.next())).toBe(ServedBy.L1);
});
