import { Arena, CacheHierarchy, lineHigh, lineLow, type MemoryProfile, RecencyClock } from "@hyperwalk/mmu";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SMALL } from "../machine.js";

/** The ways of Zen's caches over few sets: every level evicts. */
const profile: MemoryProfile = {
  ...SMALL,
  l1i: { bytes: 1024, ways: 8, latency: 4, replacement: "tree-plru" },
  l1d: { bytes: 1024, ways: 8, latency: 4, replacement: "tree-plru" },
  l2: { bytes: 2048, ways: 8, latency: 14, replacement: "tree-plru" },
  l3: { bytes: 4096, ways: 16, latency: 50, replacement: "tree-plru", policy: "victim" },
};

function make(oneFunction: boolean): { caches: CacheHierarchy; clock: RecencyClock } {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena);
  return { caches: new CacheHierarchy(arena, clock, profile, 1, oneFunction), clock };
}

/** Frames at 256 GiB and right below it are where line numbers need a second word. */
const operation = fc.record({
  kind: fc.constantFrom("read", "read", "read", "write", "write", "fetch", "flush"),
  frame: fc.oneof(
    { weight: 200, arbitrary: fc.nat(3) },
    { weight: 1, arbitrary: fc.constantFrom(0x3ffffff, 0x4000000) },
  ),
  line: fc.nat(63),
});

test("one function does to Zen's caches what asking them one by one does", () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 1500, size: "max" }),
      fc.nat(1500),
      (operations, restoreAt) => {
        const pair = [make(true), make(false)];
        const answers = pair.map(({ caches, clock }) => {
          const seen: number[] = [];
          operations.forEach(({ kind, frame, line }, i) => {
            const lo = lineLow(frame, line);
            const hi = lineHigh(frame);
            if (i === restoreAt) caches.restore(caches.snapshot());
            if (kind === "flush") caches.flushLine(lo, hi);
            else if (kind === "fetch") seen.push(caches.instruction(lo, hi, clock.next()), caches.way);
            else seen.push(caches.data(lo, hi, kind === "write", clock.next()), caches.way);
          });
          return seen;
        });
        expect(answers[0]).toEqual(answers[1]);
        expect(pair[0].caches.snapshot()).toEqual(pair[1].caches.snapshot());
      },
    ),
    { numRuns: 60 },
  );
});

test("the function is in use: caches of this shape answer through it", () => {
  const { caches, clock } = make(true);
  expect(caches.hasDataPath).toBe(true);
  expect(make(false).caches.hasDataPath).toBe(false);
  expect(caches.data(5, 0, false, clock.next())).toBe(4);
});
