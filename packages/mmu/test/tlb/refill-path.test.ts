import { Arena, Kind, RecencyClock, Rights, type TlbGeometry, TlbHierarchy } from "@hyperwalk/mmu";
import fc from "fast-check";
import { expect, test } from "vitest";
import { hasRefillPath, REFILLED, refillPath } from "../../src/tlb/refill-path.js";

const FIRST: readonly TlbGeometry[] = [
  { entries: 32, ways: 32, pages: ["4k", "2m", "1g"], replacement: "lru" },
];
const SECOND: readonly TlbGeometry[] = [
  { entries: 96, ways: 8, pages: ["4k", "2m"], replacement: "lru" },
  { entries: 8, ways: 8, pages: ["1g"], replacement: "lru" },
];

/** Tells what was lost, as those who rely on entries are told. */
class Watching {
  readonly lostOnes: number[] = [];
  settle(): void {}
  lost(watchers: number): void {
    this.lostOnes.push(watchers);
  }
}

function make(limit: number, inOneFunction: boolean) {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena, limit);
  const side = new TlbHierarchy(arena, clock, FIRST, SECOND, 1);
  const watching = new Watching();
  side.first.rely(watching);
  const path = refillPath(arena.i32, arena.f64, side, clock);
  /** First-level entry or -1, and whether it came from the second level. */
  const lookUp = (pageLo: number, space: number, tag: number): readonly [number, boolean] => {
    if (inOneFunction) {
      const entry = path(pageLo, 0, space, tag);
      return entry < 0 ? [-1, false] : [entry & ~REFILLED, entry >= REFILLED];
    }
    const held = side.first.find(pageLo, 0, space, tag);
    if (held >= 0) return [held, false];
    const copied = side.refill(pageLo, 0, space, tag);
    return [copied, copied >= 0];
  };
  return { arena, clock, side, watching, lookUp };
}

const page = fc.oneof(
  fc.nat(70),
  fc.nat(70),
  fc.integer({ min: 0, max: 40 }).map((n) => n << 9),
);
const operation = fc.record({
  kind: fc.constantFrom("access", "access", "access", "access", "access", "dropPage", "dropSpace", "watch"),
  page,
  size: fc.constantFrom(Kind.Page4K, Kind.Page4K, Kind.Page4K, Kind.Page2M, Kind.Page1G),
  space: fc.constantFrom(0x1000, 0x1000, 0x1000, 0x1001, 0x2000),
  tag: fc.constantFrom(0, 0, 0, 1),
  rare: fc.nat(40),
});

test.each([2 ** 30, 200])(
  "one function finds and refills as asking the levels one by one does (recency limit %i)",
  (limit) => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 1200, size: "max" }), (operations) => {
        const [one, rule] = [make(limit, true), make(limit, false)];
        for (const { kind, page, size, space, tag, rare } of operations) {
          const seen = [one, rule].map(({ arena, clock, side, lookUp }) => {
            if (kind === "dropPage") side.dropPage(page, 0, space >>> 12, rare > 20 ? -1 : 0, tag, rare > 30);
            else if (kind === "dropSpace") {
              if (rare === 0) side.dropSpace(space >>> 12, -1, tag, true);
            } else {
              const [entry, copied] = lookUp(page, space, tag);
              if (entry < 0) {
                // Sometimes global, and sometimes a piece of a larger page of the guest.
                const rights = (rare === 1 ? Rights.Global : 0) | (rare === 2 && size === 0 ? 1 << 16 : 0);
                return [side.fill(size, page, 0, space, tag, rights, 1000 + page), false];
              }
              arena.i32[entry + 1] = clock.next();
              if (kind === "watch") side.first.array.watch(entry, 1 << (rare & 7));
              return [entry - side.first.arrays[0].first, copied, side.first.arrays[0].frameFor(entry, page)];
            }
            return [];
          });
          expect(seen[0]).toEqual(seen[1]);
        }
        expect(one.side.snapshot()).toEqual(rule.side.snapshot());
        expect(one.watching.lostOnes).toEqual(rule.watching.lostOnes);
      }),
      { numRuns: 60 },
    );
  },
);

test("the function serves first levels of one fully associative array of all sizes, and no others", () => {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena);
  const known = (first: readonly TlbGeometry[]) =>
    hasRefillPath(new TlbHierarchy(arena, clock, first, SECOND, 1));
  expect(known(FIRST)).toBe(true);
  expect(known([{ ...FIRST[0], ways: 16 }])).toBe(false);
  expect(known([{ ...FIRST[0], replacement: "tree-plru" }])).toBe(false);
  expect(known([{ ...FIRST[0], pages: ["4k", "2m"] }])).toBe(false);
  expect(
    known([
      { ...FIRST[0], pages: ["4k", "2m"] },
      { ...FIRST[0], pages: ["1g"] },
    ]),
  ).toBe(false);
});
