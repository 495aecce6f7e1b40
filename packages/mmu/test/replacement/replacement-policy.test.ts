import { Arena, REPLACEMENT_POLICIES, RecencyClock, type ReplacementName } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const NAMES = Object.keys(REPLACEMENT_POLICIES) as ReplacementName[];

/** Stamps of one set in an array of their own, `stride` apart from `first`. */
function marksOf(stamps: readonly number[], first: number, stride: number): Int32Array {
  const marks = new Int32Array(first + stamps.length * stride).fill(0x7fffffff);
  stamps.forEach((stamp, way) => {
    marks[first + way * stride] = stamp;
  });
  return marks;
}

const stampsOfSet = fc.integer({ min: 1, max: 72 }).chain((ways) =>
  fc.shuffledSubarray(
    Array.from({ length: 200 }, (_, i) => i + 1),
    { minLength: ways, maxLength: ways },
  ),
);

describe.each(NAMES)("%s", (name) => {
  test("carries its name", () => {
    expect(REPLACEMENT_POLICIES[name](1).name).toBe(name);
  });

  test("answers with a way of the set, wherever the stamps lie, and leaves them alone", () => {
    fc.assert(
      fc.property(
        stampsOfSet,
        fc.integer({ min: 0, max: 9 }),
        fc.constantFrom(1, 2, 8),
        (stamps, first, stride) => {
          const marks = marksOf(stamps, first, stride);
          const before = marks.slice();
          const way = REPLACEMENT_POLICIES[name](3).victim(marks, first, stamps.length, stride);
          expect(Number.isInteger(way) && way >= 0 && way < stamps.length).toBe(true);
          expect(marks).toEqual(before);
        },
      ),
    );
  });

  test("never evicts the way that was touched last", () => {
    if (name === "random") return;
    fc.assert(
      fc.property(stampsOfSet, (stamps) => {
        fc.pre(stamps.length > 1);
        const way = REPLACEMENT_POLICIES[name](3).victim(marksOf(stamps, 0, 2), 0, stamps.length, 2);
        expect(stamps[way]).not.toBe(Math.max(...stamps));
      }),
    );
  });

  test("the same history gives the same victims, also from a snapshot on", () => {
    const marks = marksOf([4, 2, 3, 1, 8, 6, 7, 5], 0, 1);
    const draw = (policy: ReturnType<(typeof REPLACEMENT_POLICIES)[typeof name]>, count: number): number[] =>
      Array.from({ length: count }, () => policy.victim(marks, 0, 8, 1));
    const a = REPLACEMENT_POLICIES[name](9);
    const b = REPLACEMENT_POLICIES[name](9);
    expect(draw(a, 20)).toEqual(draw(b, 20));
    const saved = a.snapshot();
    const continued = draw(a, 20);
    const c = REPLACEMENT_POLICIES[name](1);
    c.restore(saved);
    expect(draw(c, 20)).toEqual(continued);
  });

  test("renormalised stamps lead to the same victim", () => {
    fc.assert(
      fc.property(stampsOfSet, (stamps) => {
        const arena = new Arena(1 << 16);
        const clock = new RecencyClock(arena);
        const first = arena.reserve(stamps.length * 4) >>> 2;
        const policy = REPLACEMENT_POLICIES[name](5);
        clock.track(first, 1, stamps.length, 1, policy);
        arena.i32.set(stamps, first);
        const saved = policy.snapshot();
        const before = policy.victim(arena.i32, first, stamps.length, 1);
        clock.renormalise();
        policy.restore(saved);
        expect(policy.victim(arena.i32, first, stamps.length, 1)).toBe(before);
        const after = [...arena.i32.subarray(first, first + stamps.length)];
        expect(Math.max(...after)).toBe(stamps.length);
        expect(arena.i32[clock.at]).toBeGreaterThan(stamps.length);
      }),
      { numRuns: 30 },
    );
  });
});

/** One set that is touched and refilled; `victim` is asked for each refill. */
function replay(name: ReplacementName, ways: number, touches: readonly number[]): number[] {
  const policy = REPLACEMENT_POLICIES[name](1);
  const marks = new Int32Array(ways);
  let stamp = 0;
  const victims: number[] = [];
  for (let way = 0; way < ways; way++) marks[way] = ++stamp;
  for (const touch of touches) {
    if (touch >= ways) {
      const way = policy.victim(marks, 0, ways, 1);
      victims.push(way);
      marks[way] = ++stamp;
    } else marks[touch] = ++stamp;
  }
  return victims;
}

const history = fc.tuple(
  fc.constantFrom(2, 4, 8, 16, 32, 64),
  fc.array(fc.integer({ min: 0, max: 95 }), { maxLength: 300 }),
);

test("lru is a list that moves what is touched to its end, for narrow and wide sets", () => {
  fc.assert(
    fc.property(history, ([ways, touches]) => {
      const order = Array.from({ length: ways }, (_, i) => i);
      const expected: number[] = [];
      for (const touch of touches) {
        const way = touch >= ways ? order[0] : touch;
        if (touch >= ways) expected.push(way);
        order.splice(order.indexOf(way), 1);
        order.push(way);
      }
      expect(replay("lru", ways, touches)).toEqual(expected);
    }),
  );
});

test("lru survives a renormalisation between two victims of a wide set", () => {
  const arena = new Arena(1 << 16);
  const clock = new RecencyClock(arena);
  const ways = 64;
  const first = arena.reserve(ways * 4) >>> 2;
  const policy = REPLACEMENT_POLICIES.lru(1);
  clock.track(first, 1, ways, 1, policy);
  // Stamps far apart, so that ranks after the renormalisation collide with stamps noted before it.
  for (let way = 0; way < ways; way++) arena.i32[first + way] = way < 2 ? way + 1 : 2 * way;
  expect(policy.victim(arena.i32, first, ways, 1)).toBe(0);
  arena.i32[first] = 1000;
  arena.i32[first + 1] = 1001;
  clock.renormalise();
  expect(policy.victim(arena.i32, first, ways, 1)).toBe(2);
});

test("tree-plru equals a tree of bits", () => {
  fc.assert(
    fc.property(history, ([ways, touches]) => {
      const bits = new Uint8Array(2 * ways);
      const touchBits = (way: number): void => {
        for (let node = way + ways; node > 1; node >>= 1) bits[node >> 1] = (node & 1) ^ 1;
      };
      for (let way = 0; way < ways; way++) touchBits(way);
      const expected: number[] = [];
      for (const touch of touches) {
        let way = touch;
        if (touch >= ways) {
          let node = 1;
          while (node < ways) node = 2 * node + bits[node];
          way = node - ways;
          expected.push(way);
        }
        touchBits(way);
      }
      expect(replay("tree-plru", ways, touches)).toEqual(expected);
    }),
  );
});

test("tree-plru spares the log2(ways) ways that were touched last", () => {
  // Each touch elsewhere turns at most one of the nodes above a way towards it.
  fc.assert(
    fc.property(fc.constantFrom(2, 4, 8, 16, 32, 64), fc.infiniteStream(fc.nat()), (ways, draws) => {
      const stamps = Array.from({ length: ways }, (_, i) => i + 1);
      for (let i = ways - 1; i > 0; i--) {
        const other = draws.next().value % (i + 1);
        [stamps[i], stamps[other]] = [stamps[other], stamps[i]];
      }
      const way = REPLACEMENT_POLICIES["tree-plru"](1).victim(marksOf(stamps, 0, 1), 0, ways, 1);
      expect(stamps[way]).toBeLessThanOrEqual(ways - Math.log2(ways));
    }),
  );
});

test("random reaches every way about equally often and depends on its seed", () => {
  const marks = new Int32Array(12);
  const draw = (seed: number): number[] => {
    const policy = REPLACEMENT_POLICIES.random(seed);
    return Array.from({ length: 12000 }, () => policy.victim(marks, 0, 12, 1));
  };
  const counts = new Int32Array(12);
  for (const way of draw(7)) counts[way]++;
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  expect(draw(7)).not.toEqual(draw(8));
  expect(draw(0).slice(0, 4)).not.toEqual([0, 0, 0, 0]);
});
