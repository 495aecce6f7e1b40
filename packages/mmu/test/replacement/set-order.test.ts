import { Arena, TreeOrder, TreePlru } from "@hyperwalk/mmu";
import fc from "fast-check";
import { expect, test } from "vitest";

test("tree bits choose the ways that tree-plru chooses from stamps, for even and uneven trees", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 32 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.tuple(fc.nat(2), fc.integer({ min: -20, max: 31 })), { maxLength: 200 }),
      (ways, stride, touches) => {
        const sets = 3;
        const arena = new Arena(1 << 16);
        const order = new TreeOrder(arena, arena.reserve(sets * stride * 4) >>> 2, stride, ways);
        const policy = new TreePlru();
        const stamps = new Int32Array(sets * ways);
        let stamp = 0;
        for (const [set, touch] of touches) {
          const way = touch < 0 ? order.victim(set) : touch % ways;
          if (touch < 0) expect(way).toBe(policy.victim(stamps, set * ways, ways, 1));
          order.touch(set, way, ++stamp);
          stamps[set * ways + way] = stamp;
        }
      },
    ),
  );
});

test("more ways than a word has bits for are refused", () => {
  const arena = new Arena(1 << 16);
  expect(() => new TreeOrder(arena, arena.reserve(64) >>> 2, 1, 33)).toThrow(RangeError);
});
