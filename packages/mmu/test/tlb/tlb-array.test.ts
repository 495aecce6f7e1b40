import {
  Arena,
  Kind,
  REPLACEMENT_POLICIES,
  RecencyClock,
  type ReplacementName,
  Rights,
  TlbArray,
  type TlbArrayGeometry,
} from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const ALL = [Kind.Page4K, Kind.Page2M, Kind.Page1G];
const REPLACEMENTS = Object.keys(REPLACEMENT_POLICIES) as ReplacementName[];
const SHAPES: Record<string, [entries: number, ways: number]> = {
  "72 fully associative": [72, 72],
  "8 fully associative": [8, 8],
  "64 in 16 sets": [64, 4],
  "18 in 6 sets": [18, 3],
  "16 direct mapped": [16, 1],
  "a single entry": [1, 1],
};
const GEOMETRIES: Record<string, TlbArrayGeometry> = Object.fromEntries(
  Object.entries(SHAPES).flatMap(([name, [entries, ways]]) =>
    REPLACEMENTS.map((replacement) => [
      `${name}, ${replacement}`,
      { entries, ways, kinds: ALL, replacement },
    ]),
  ),
);

function make(geometry: TlbArrayGeometry): { tlb: TlbArray; clock: RecencyClock; arena: Arena } {
  const arena = new Arena(1 << 20);
  const clock = new RecencyClock(arena);
  return { tlb: new TlbArray(arena, clock, geometry, 1), clock, arena };
}

const space = (asid: number, pcid: number): number => (asid << 12) | pcid;
const BITS = [0, 9, 18];

const mapping = fc.record({
  kind: fc.constantFrom(...ALL),
  /** Page number in units of the page size; the upper ones are global. */
  unit: fc.integer({ min: 0, max: 5 }),
  asid: fc.integer({ min: 0, max: 2 }),
  pcid: fc.integer({ min: 0, max: 2 }),
  tag: fc.integer({ min: 0, max: 2 }),
  frame: fc.constantFrom(0, 7, 2 ** 31, 2 ** 39),
});
type Mapping = typeof mapping extends fc.Arbitrary<infer T> ? T : never;
const isGlobal = (m: Mapping): boolean => m.unit >= 4;
/** What tells translations apart: a global one is the same for every PCID. */
const identity = (m: Mapping): string => [m.kind, m.unit, m.asid, m.tag, isGlobal(m) ? "*" : m.pcid].join();

const drop = fc.record({
  drop: fc.constantFrom("space", "tag", "guests", "all", "page"),
  asid: fc.integer({ min: -1, max: 2 }),
  pcid: fc.integer({ min: -1, max: 2 }),
  tag: fc.integer({ min: -1, max: 2 }),
  withGlobal: fc.boolean(),
  page: fc.integer({ min: 0, max: 5 << 18 }),
});
type Drop = typeof drop extends fc.Arbitrary<infer T> ? T : never;

/** The rule of each drop operation, spelled out. */
function selects(d: Drop, m: Mapping): boolean {
  const inSpace =
    (d.asid < 0 || m.asid === d.asid) &&
    (d.tag < 0 || m.tag === d.tag) &&
    (isGlobal(m) ? d.withGlobal : d.pcid < 0 || m.pcid === d.pcid);
  switch (d.drop) {
    case "space":
      return inSpace;
    case "page":
      return d.asid >= 0 && inSpace && Math.floor(d.page / 2 ** BITS[m.kind]) === m.unit;
    case "tag":
      return m.tag !== 0 && (d.tag < 0 || m.tag === d.tag);
    case "guests":
      return m.asid !== 0;
    default:
      return true;
  }
}

function apply(tlb: TlbArray, d: Drop): void {
  if (d.drop === "space") tlb.dropSpace(d.asid, d.pcid, d.tag, d.withGlobal);
  else if (d.drop === "tag") tlb.dropTag(d.tag);
  else if (d.drop === "guests") tlb.dropGuests();
  else if (d.drop === "all") tlb.dropAll();
  else if (d.asid >= 0) tlb.dropPage(d.page, 0, d.asid, d.pcid, d.tag, d.withGlobal);
}

describe.each(Object.entries(GEOMETRIES))("%s", (_name, geometry) => {
  test("holds what was put until it is dropped or makes room, and drops exactly what is selected", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 5, arbitrary: mapping }, drop), { maxLength: 100 }),
        (steps) => {
          const { tlb, clock } = make(geometry);
          const model = new Map<string, { m: Mapping; entry: number }>();
          for (const step of steps) {
            if ("drop" in step) {
              for (const [id, { m }] of model) if (selects(step, m)) model.delete(id);
              apply(tlb, step);
            } else {
              const { kind, unit, asid, pcid, tag, frame } = step;
              const rights = isGlobal(step) ? Rights.Global : 0;
              const page = unit << BITS[kind];
              const entry = tlb.put(kind, page, 0, space(asid, pcid), tag, rights, frame, 0, clock.next());
              for (const [id, held] of model) if (held.entry === entry) model.delete(id);
              model.set(identity(step), { m: step, entry });
            }
            expect(tlb.occupancy).toBe(model.size);
            for (const kind of ALL)
              for (let unit = 0; unit <= 5; unit++)
                for (let asid = 0; asid <= 2; asid++)
                  for (let pcid = 0; pcid <= 2; pcid++)
                    for (let tag = 0; tag <= 2; tag++) {
                      const held = model.get(identity({ kind, unit, asid, pcid, tag, frame: 0 }));
                      const inside = kind === 0 ? 0 : 5;
                      const found = tlb.findKind(
                        kind,
                        (unit << BITS[kind]) + inside,
                        0,
                        space(asid, pcid),
                        tag,
                      );
                      if (found !== (held?.entry ?? -1)) expect(found).toBe(held?.entry ?? -1);
                      if (held !== undefined && tlb.frameOf(found) !== held.m.frame)
                        expect(tlb.frameOf(found)).toBe(held.m.frame);
                    }
          }
        },
      ),
      { numRuns: 12 },
    );
  });

  test("continues after a snapshot as if nothing had been", () => {
    const steps = fc.array(fc.oneof({ weight: 8, arbitrary: mapping }, drop), { maxLength: 150 });
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const [a, b] = [make(geometry), make(geometry)];
        const replay = (m: typeof a, list: typeof before): number[] =>
          list.map((step) => {
            if ("drop" in step) {
              apply(m.tlb, step);
              return -1;
            }
            const { kind, unit, asid, pcid, tag, frame } = step;
            const page = unit << BITS[kind];
            const held = m.tlb.find(page, 0, space(asid, pcid), tag);
            if (held >= 0) m.tlb.touch(held, m.clock.next());
            const rights = isGlobal(step) ? Rights.Global : 0;
            return m.tlb.put(kind, page, 0, space(asid, pcid), tag, rights, frame, 0, m.clock.next());
          });
        replay(a, before);
        b.tlb.restore(a.tlb.snapshot());
        while (b.arena.i32[b.clock.at] < a.arena.i32[a.clock.at]) b.clock.next();
        expect(replay(b, after)).toEqual(replay(a, after));
        expect(b.tlb.occupancy).toBe(a.tlb.occupancy);
      }),
      { numRuns: 15 },
    );
  });

  test("a full set makes room for the newest", () => {
    const { tlb, clock } = make(geometry);
    const pages = Array.from({ length: 4 * geometry.entries }, (_, i) => i);
    for (const page of pages) {
      const entry = tlb.put(Kind.Page4K, page, 0, 0, 0, 0, page + 100, 0, clock.next());
      expect(tlb.find(page, 0, 0, 0)).toBe(entry);
    }
    expect(tlb.occupancy).toBe(geometry.entries);
    const held = pages.filter((page) => tlb.find(page, 0, 0, 0) >= 0);
    expect(held).toHaveLength(geometry.entries);
    if (geometry.replacement === "lru") expect(held).toEqual(pages.slice(-geometry.entries));
  });

  test("every refill and every drop changes an entry's generation", () => {
    const { tlb, clock, arena } = make(geometry);
    const entry = tlb.put(Kind.Page4K, 1, 0, 0, 0, 0, 1, 0, clock.next());
    const seen = [arena.i32[entry]];
    tlb.touch(entry, clock.next());
    expect(arena.i32[entry]).toBe(seen[0]);
    tlb.drop(entry);
    seen.push(arena.i32[entry]);
    expect(tlb.put(Kind.Page4K, 1, 0, 0, 0, 0, 1, 0, clock.next())).toBe(entry);
    seen.push(arena.i32[entry]);
    expect(tlb.put(Kind.Page4K, 1, 0, 0, 0, 0, 2, 0, clock.next())).toBe(entry);
    seen.push(arena.i32[entry]);
    expect(new Set(seen).size).toBe(4);
  });

  test("a snapshot restores into an array elsewhere in another arena", () => {
    const a = make(geometry);
    for (let i = 0; i < 30; i++)
      a.tlb.put(i % 3, i << 20, i, space(i % 4, i), i % 2, i, i + 2 ** 33, i, a.clock.next());
    const arena = new Arena(1 << 20);
    arena.reserve(12345);
    const clock = new RecencyClock(arena);
    const b = new TlbArray(arena, clock, geometry, 1);
    b.put(0, 1, 1, 1, 1, 1, 1, 1, clock.next());
    b.restore(a.tlb.snapshot());
    expect(b.occupancy).toBe(a.tlb.occupancy);
    for (let i = 0; i < 30; i++) {
      const args = [i << 20, i, space(i % 4, i), i % 2] as const;
      const [ea, eb] = [a.tlb.find(...args), b.find(...args)];
      expect(eb < 0).toBe(ea < 0);
      if (ea >= 0) expect(b.frameOf(eb)).toBe(a.tlb.frameOf(ea));
    }
    b.dropAll();
    expect(b.occupancy).toBe(0);
    expect(b.find(5 << 20, 5, space(1, 5), 1)).toBe(-1);
  });
});

test("a superpage entry gives the frame of each of its pages", () => {
  const { tlb, clock } = make(GEOMETRIES["72 fully associative, lru"]);
  const big = tlb.insertPage(Kind.Page1G, 0x80000 + 0x12345, 3, 0, 0, 0, 2 ** 33 + 0x12345, clock.next());
  expect(tlb.find(0x80000, 3, 0, 0)).toBe(big);
  expect(tlb.find(0xbffff, 3, 0, 0)).toBe(big);
  expect(tlb.find(0xc0000, 3, 0, 0)).toBe(-1);
  expect(tlb.find(0x80000, 4, 0, 0)).toBe(-1);
  expect(tlb.frameFor(big, 0x80777)).toBe(2 ** 33 + 0x777);
});

test("when sizes overlap, the smallest page answers", () => {
  const { tlb, clock } = make(GEOMETRIES["72 fully associative, lru"]);
  tlb.insertPage(Kind.Page2M, 0x200, 0, 0, 0, 0, 0x1000, clock.next());
  const small = tlb.insertPage(Kind.Page4K, 0x201, 0, 0, 0, 0, 0x7777, clock.next());
  expect(tlb.find(0x201, 0, 0, 0)).toBe(small);
  expect(tlb.frameFor(tlb.find(0x202, 0, 0, 0), 0x202)).toBe(0x1002);
});

test("dropping one page of a fractured guest page drops all its pieces", () => {
  const { tlb, clock } = make(GEOMETRIES["72 fully associative, lru"]);
  const pieceOf2M = 1 << 16; // guest page size field: 2 MiB
  for (const page of [0x200, 0x201, 0x3ff, 0x400])
    tlb.insertPage(Kind.Page4K, page, 0, 0, 0, pieceOf2M, page, clock.next());
  tlb.insertPage(Kind.Page4K, 0x202, 0, 0, 0, 0, 0x202, clock.next());
  tlb.dropPage(0x2aa, 0, 0, -1, -1, true);
  expect([0x200, 0x201, 0x202, 0x3ff, 0x400].map((page) => tlb.find(page, 0, 0, 0) >= 0)).toEqual([
    false,
    false,
    true,
    false,
    true,
  ]);
});

test("impossible geometries are refused; an empty array holds nothing", () => {
  expect(() => make({ entries: 10, ways: 4, kinds: ALL, replacement: "lru" })).toThrow(RangeError);
  expect(() => make({ entries: -4, ways: 4, kinds: ALL, replacement: "lru" })).toThrow(RangeError);
  const { tlb, clock } = make({ entries: 0, ways: 1, kinds: ALL, replacement: "lru" });
  expect(tlb.put(Kind.Page4K, 1, 0, 0, 0, 0, 1, 0, clock.next())).toBe(-1);
  expect(tlb.find(1, 0, 0, 0)).toBe(-1);
});
