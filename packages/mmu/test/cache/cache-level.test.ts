import {
  Arena,
  type CacheGeometry,
  CacheLevel,
  REPLACEMENT_POLICIES,
  RecencyClock,
  type ReplacementName,
} from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const REPLACEMENTS = Object.keys(REPLACEMENT_POLICIES) as ReplacementName[];
const SHAPES: Record<string, Omit<CacheGeometry, "replacement">> = {
  "64 sets, 8 ways": { bytes: 32768, ways: 8, latency: 4 },
  "48 sets, 12 ways": { bytes: 36864, ways: 12, latency: 4 },
  "16 sets, 4 ways": { bytes: 4096, ways: 4, latency: 4 },
  "1 set, 16 ways": { bytes: 1024, ways: 16, latency: 4 },
  "2 sets, 40 ways": { bytes: 5120, ways: 40, latency: 4 },
  "5 sets, 3 ways": { bytes: 960, ways: 3, latency: 4 },
  "direct mapped": { bytes: 1024, ways: 1, latency: 4 },
};
const GEOMETRIES: Record<string, CacheGeometry> = Object.fromEntries(
  Object.entries(SHAPES).flatMap(([name, shape]) =>
    REPLACEMENTS.map((replacement) => [`${name}, ${replacement}`, { ...shape, replacement }]),
  ),
);

interface Made {
  readonly level: CacheLevel;
  readonly clock: RecencyClock;
  /** The clock's counter. */
  readonly arenaClock: () => number;
}

function make(geometry: CacheGeometry, generations = true): Made {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena);
  const level = new CacheLevel(arena, clock, geometry, 1, generations);
  return { level, clock, arenaClock: () => arena.i32[clock.at] };
}

/** @returns what each operation found and evicted */
function replay({ level, clock }: Made, operations: readonly Operation[]): number[][] {
  return operations.map(({ kind, frame, line }) => {
    if (kind === "remove") return [level.remove(frame, line) ? 1 : 0];
    const way = level.find(frame, line);
    if (way < 0) {
      level.fill(frame, line, kind === "dirty", clock.next());
      if (level.evictedFrame < 0) return [-1];
      return [-1, level.evictedFrame, level.evictedLine, level.evictedDirty ? 1 : 0];
    }
    level.touch(way, clock.next());
    if (kind === "dirty") level.markDirty(way);
    return [way];
  });
}

const FRAMES = [0, 1, 2, 3, 9, 2 ** 20, 2 ** 26, 2 ** 26 + 1, 2 ** 30 + 3, 2 ** 39 + 1, 2 ** 40 - 1];
const operation = fc.record({
  kind: fc.constantFrom("use", "use", "use", "dirty", "remove"),
  frame: fc.constantFrom(...FRAMES),
  line: fc.integer({ min: 0, max: 63 }),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

describe.each(Object.entries(GEOMETRIES))("%s", (_name, geometry) => {
  test.each([true, false])("holds what a list of sets would hold, generations %s", (generations) => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const { level, clock } = make(geometry, generations);
        // Line identity to recency; sets by the line number's remainder.
        const model = new Map<number, { dirty: boolean; used: number }>();
        let time = 0;
        for (const { kind, frame, line } of operations) {
          const identity = frame * 64 + line;
          const set = (n: number): number => n % level.sets;
          const way = level.find(frame, line);
          expect(way >= 0).toBe(model.has(identity));
          if (way >= 0) expect(Math.floor(way / level.ways)).toBe(set(identity));
          if (kind === "remove") {
            const held = model.get(identity);
            expect(level.remove(frame, line)).toBe(held !== undefined);
            if (held !== undefined) expect(level.evictedDirty).toBe(held.dirty);
            model.delete(identity);
          } else if (way >= 0) {
            level.touch(way, clock.next());
            if (kind === "dirty") level.markDirty(way);
            const held = model.get(identity)!;
            held.used = ++time;
            held.dirty ||= kind === "dirty";
            expect(level.isDirty(way)).toBe(held.dirty);
          } else {
            const rivals = [...model].filter(([other]) => set(other) === set(identity));
            const filled = level.fill(frame, line, kind === "dirty", clock.next());
            expect(level.find(frame, line)).toBe(filled);
            if (rivals.length < level.ways) expect(level.evictedFrame).toBe(-1);
            else {
              const left = level.evictedFrame * 64 + level.evictedLine;
              expect(set(left)).toBe(set(identity));
              expect(level.evictedDirty).toBe(model.get(left)?.dirty);
              if (geometry.replacement === "lru")
                expect(left).toBe(rivals.sort((a, b) => a[1].used - b[1].used)[0][0]);
              model.delete(left);
            }
            model.set(identity, { dirty: kind === "dirty", used: ++time });
          }
          expect(level.occupancy).toBe(model.size);
          expect(level.occupancy).toBeLessThanOrEqual(level.sets * level.ways);
        }
      }),
      { numRuns: 25 },
    );
  });

  test("continues after a snapshot as if nothing had been", () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 300 }),
        fc.array(operation, { maxLength: 300 }),
        (before, after) => {
          const a = make(geometry);
          const b = make(geometry);
          replay(a, before);
          b.level.restore(a.level.snapshot());
          while (b.arenaClock() < a.arenaClock()) b.clock.next();
          expect(replay(b, after)).toEqual(replay(a, after));
          expect(b.level.snapshot()).toEqual(a.level.snapshot());
        },
      ),
      { numRuns: 10 },
    );
  });
});

test("a generation changes on refill, invalidation and the first write, and only then", () => {
  const { level, clock } = make(GEOMETRIES["64 sets, 8 ways, lru"]);
  const way = level.fill(5, 3, false, clock.next());
  const filled = level.generationOf(way);
  level.touch(way, clock.next());
  expect(level.generationOf(way)).toBe(filled);
  level.markDirty(way);
  const dirty = level.generationOf(way);
  expect(dirty).not.toBe(filled);
  level.markDirty(way);
  expect(level.generationOf(way)).toBe(dirty);
  level.remove(5, 3);
  const removed = level.generationOf(way);
  expect(new Set([filled, dirty, removed]).size).toBe(3);
  expect(level.fill(5, 3, false, clock.next())).toBe(way);
  expect([filled, dirty, removed]).not.toContain(level.generationOf(way));
});

test("the line whose 32-bit tag looks like an empty way is told apart", () => {
  const { level, clock } = make(GEOMETRIES["64 sets, 8 ways, lru"]);
  const frame = 2 ** 26 - 1;
  expect(level.find(frame, 63)).toBe(-1);
  level.fill(frame, 63, false, clock.next());
  expect(level.find(frame, 63)).toBeGreaterThanOrEqual(0);
  expect(level.find(2 ** 27 - 1, 63)).toBe(-1);
  level.removeAll();
  expect(level.find(frame, 63)).toBe(-1);
  expect(level.occupancy).toBe(0);
});

test("a snapshot brings back contents, order of eviction and dirt", () => {
  const { level, clock } = make({ bytes: 256, ways: 4, latency: 1, replacement: "lru" });
  for (let frame = 0; frame < 4; frame++) level.fill(frame + 2 ** 30, 0, frame === 1, clock.next());
  const saved = level.snapshot();
  level.removeAll();
  level.fill(9, 0, true, clock.next());
  level.restore(saved);
  expect(level.occupancy).toBe(4);
  expect(level.isDirty(level.find(2 ** 30 + 1, 0))).toBe(true);
  level.fill(77, 0, false, clock.next());
  expect(level.evictedFrame).toBe(2 ** 30);
  const other = make(GEOMETRIES["5 sets, 3 ways, lru"]).level;
  expect(() => other.restore(saved)).toThrow(RangeError);
});

test("geometries that make no whole sets are refused", () => {
  expect(() => make({ bytes: 1000, ways: 4, latency: 1, replacement: "lru" })).toThrow(RangeError);
  expect(() => make({ bytes: 4096, ways: 0, latency: 1, replacement: "lru" })).toThrow(RangeError);
});
