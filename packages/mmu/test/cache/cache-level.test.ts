import {
  Arena,
  type CacheGeometry,
  FirstLevelCache,
  lineHigh,
  lineLow,
  OuterCache,
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

const KINDS = { "first level": FirstLevelCache, "outer level": OuterCache } as const;
type Kind = keyof typeof KINDS;
const KIND_NAMES = Object.keys(KINDS) as Kind[];

interface Made<K extends Kind> {
  readonly level: InstanceType<(typeof KINDS)[K]>;
  readonly clock: RecencyClock;
  /** The clock's counter. */
  readonly arenaClock: () => number;
}

function make<K extends Kind>(kind: K, geometry: CacheGeometry): Made<K> {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena);
  const level = new KINDS[kind](arena, clock, geometry, 1) as InstanceType<(typeof KINDS)[K]>;
  return { level, clock, arenaClock: () => arena.i32[clock.at] };
}

/** Number of the line that made room, or -1. */
function evictedBy(level: FirstLevelCache | OuterCache): number {
  return level.evicted ? level.evictedHi * 2 ** 32 + (level.evictedLo >>> 0) : -1;
}

/** @returns what each operation found and evicted */
function replay({ level, clock }: Made<Kind>, operations: readonly Operation[]): number[][] {
  return operations.map(({ kind, frame, line }) => {
    if (kind === "remove") return [level.remove(lineLow(frame, line), lineHigh(frame)) ? 1 : 0];
    const way = level.find(lineLow(frame, line), lineHigh(frame));
    if (way < 0) {
      level.fill(lineLow(frame, line), lineHigh(frame), kind === "dirty", clock.next());
      return level.evicted ? [-1, evictedBy(level), level.evictedDirty ? 1 : 0] : [-1];
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
  test.each(KIND_NAMES)("holds what a list of sets would hold: %s", (cache) => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const { level, clock } = make(cache, geometry);
        // Line identity to recency; sets by the line number's remainder.
        const model = new Map<number, { dirty: boolean; used: number }>();
        let time = 0;
        for (const { kind, frame, line } of operations) {
          const identity = frame * 64 + line;
          const set = (n: number): number => n % level.sets;
          const way = level.find(lineLow(frame, line), lineHigh(frame));
          expect(way >= 0).toBe(model.has(identity));
          if (way >= 0) expect(Math.floor(way / level.ways)).toBe(set(identity));
          if (kind === "remove") {
            const held = model.get(identity);
            expect(level.remove(lineLow(frame, line), lineHigh(frame))).toBe(held !== undefined);
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
            const filled = level.fill(lineLow(frame, line), lineHigh(frame), kind === "dirty", clock.next());
            expect(level.find(lineLow(frame, line), lineHigh(frame))).toBe(filled);
            if (rivals.length < level.ways) expect(evictedBy(level)).toBe(-1);
            else {
              const left = evictedBy(level);
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

  test.each(KIND_NAMES)("continues after a snapshot as if nothing had been: %s", (cache) => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 300 }),
        fc.array(operation, { maxLength: 300 }),
        (before, after) => {
          const a = make(cache, geometry);
          const b = make(cache, geometry);
          replay(a, before);
          b.level.restore(a.level.snapshot() as never);
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
  const { level, clock } = make("first level", GEOMETRIES["64 sets, 8 ways, lru"]);
  const way = level.fill(lineLow(5, 3), lineHigh(5), false, clock.next());
  const filled = level.generationOf(way);
  level.touch(way, clock.next());
  expect(level.generationOf(way)).toBe(filled);
  level.markDirty(way);
  const dirty = level.generationOf(way);
  expect(dirty).not.toBe(filled);
  level.markDirty(way);
  expect(level.generationOf(way)).toBe(dirty);
  level.remove(lineLow(5, 3), lineHigh(5));
  const removed = level.generationOf(way);
  expect(new Set([filled, dirty, removed]).size).toBe(3);
  expect(level.fill(lineLow(5, 3), lineHigh(5), false, clock.next())).toBe(way);
  expect([filled, dirty, removed]).not.toContain(level.generationOf(way));
});

test("the line whose 32-bit tag looks like an empty way is told apart", () => {
  const { level, clock } = make("first level", GEOMETRIES["64 sets, 8 ways, lru"]);
  const frame = 2 ** 26 - 1;
  expect(level.find(lineLow(frame, 63), lineHigh(frame))).toBe(-1);
  level.fill(lineLow(frame, 63), lineHigh(frame), false, clock.next());
  expect(level.find(lineLow(frame, 63), lineHigh(frame))).toBeGreaterThanOrEqual(0);
  expect(level.find(lineLow(2 ** 27 - 1, 63), lineHigh(2 ** 27 - 1))).toBe(-1);
  level.removeAll();
  expect(level.find(lineLow(frame, 63), lineHigh(frame))).toBe(-1);
  expect(level.occupancy).toBe(0);
});

test.each(KIND_NAMES)("a snapshot brings back contents, order of eviction and dirt: %s", (kind) => {
  const { level, clock } = make(kind, { bytes: 256, ways: 4, latency: 1, replacement: "lru" });
  for (let frame = 0; frame < 4; frame++)
    level.fill(lineLow(frame + 2 ** 30, 0), lineHigh(frame + 2 ** 30), frame === 1, clock.next());
  const saved = level.snapshot();
  level.removeAll();
  level.fill(lineLow(9, 0), lineHigh(9), true, clock.next());
  level.restore(saved as never);
  expect(level.occupancy).toBe(4);
  expect(level.isDirty(level.find(lineLow(2 ** 30 + 1, 0), lineHigh(2 ** 30 + 1)))).toBe(true);
  level.fill(lineLow(77, 0), lineHigh(77), false, clock.next());
  expect(evictedBy(level)).toBe(2 ** 36);
  const other = make(kind, GEOMETRIES["5 sets, 3 ways, lru"]).level;
  expect(() => other.restore(saved as never)).toThrow(RangeError);
});

test("geometries that make no whole sets are refused", () => {
  for (const kind of KIND_NAMES) {
    expect(() => make(kind, { bytes: 1000, ways: 4, latency: 1, replacement: "lru" })).toThrow(RangeError);
    expect(() => make(kind, { bytes: 4096, ways: 0, latency: 1, replacement: "lru" })).toThrow(RangeError);
  }
});
