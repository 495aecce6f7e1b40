import { MmuCounter, PagingMode, Pte } from "@hyperwalk/mmu";
import { describe, expect, test } from "vitest";
import {
  allShapes,
  buildSpace,
  guestDepth,
  leafAddress,
  PAGE_GFN,
  shapeName,
  stageDepths,
} from "../../packages/mmu/test/address-space.js";
import { GUEST_BASE, TestMachine } from "../../packages/mmu/test/machine.js";

const SHAPES = allShapes();
/** A sample for tests that need no complete coverage; 7 is coprime to every dimension's size. */
const SOME_SHAPES = SHAPES.filter((_, i) => i % 7 === 0);

describe("a cold walk reads every level of both dimensions once; a hit none; a walk nearby fewer", () => {
  test.each(SHAPES.map((shape) => [shapeName(shape), shape] as const))("%s", (_name, shape) => {
    const m = new TestMachine();
    const space = buildSpace(m, shape);
    m.mmu.activate(space.context);
    const [lo, hi] = leafAddress(shape, 0);
    const g = guestDepth(shape);
    const [nTable, nPage] = stageDepths(shape);
    expect(m.mmu.read(lo, hi, 8)).toBeGreaterThanOrEqual(0);
    expect(m.mmu.probe(lo, hi)).toBe(shape.stage === "none" ? PAGE_GFN : PAGE_GFN + GUEST_BASE);
    expect(m.counters[MmuCounter.WalkReferences]).toBe(g * (nTable + 1) + nPage);
    if (nTable === nPage) expect(m.counters[MmuCounter.WalkReferences]).toBe((g + 1) * (nPage + 1) - 1);
    expect(m.counters[MmuCounter.GuestReferences]).toBe(g);
    expect(m.counters[MmuCounter.SecondStageReferences]).toBe(g * nTable + nPage);
    expect(m.counters[MmuCounter.Walks]).toBe(1);
    expect(m.counters[MmuCounter.AccessedDirtyUpdates]).toBe(0);

    const cold = m.counters[MmuCounter.WalkReferences];
    m.mmu.read(lo, hi, 8);
    expect(m.counters[MmuCounter.WalkReferences]).toBe(cold);
    expect(m.mmu.read(...leafAddress(shape, 1), 8)).toBeGreaterThanOrEqual(0);
    const hot = m.counters[MmuCounter.WalkReferences] - cold;
    if (cold > 1) expect(hot).toBeLessThan(cold);
    else expect(hot).toBe(cold);
  });
});

test("the same cold walk repeats after everything was invalidated", () => {
  for (const shape of SOME_SHAPES) {
    const m = new TestMachine();
    m.mmu.activate(buildSpace(m, shape).context);
    m.mmu.read(...leafAddress(shape, 0), 8);
    const cold = m.counters[MmuCounter.WalkReferences];
    m.mmu.invalidateAll();
    m.mmu.read(...leafAddress(shape, 0), 8);
    expect(m.counters[MmuCounter.WalkReferences]).toBe(2 * cold);
  }
});

test("the published figures: 24, 15 and 8 at four levels, 35 at five", () => {
  const references = (paging: 4 | 5, leaf: "4k" | "2m" | "1g", stageLevels: 4 | 5): number => {
    const m = new TestMachine();
    const shape = { paging, leaf, stage: "npt", stageLevels, tableLeaf: leaf, pageLeaf: leaf } as const;
    m.mmu.activate(buildSpace(m, shape).context);
    m.mmu.read(...leafAddress(shape, 0), 8);
    return m.counters[MmuCounter.WalkReferences];
  };
  expect(references(4, "4k", 4)).toBe(24);
  expect(references(4, "2m", 4)).toBe(15);
  expect(references(4, "1g", 4)).toBe(8);
  expect(references(5, "4k", 5)).toBe(35);
});

test.each([
  ["4k", 2, "the page table entry, and the nested one of the page"],
  ["2m", 1, "the page table entry alone: the nested TLB has the page"],
  ["1g", 1, "likewise"],
] as const)(
  "warm walk next door over %s second-stage pages: %i references (%s)",
  (pageLeaf, references, _why) => {
    const m = new TestMachine();
    const shape = { paging: 4, leaf: "4k", stage: "ept", stageLevels: 4, tableLeaf: "4k", pageLeaf } as const;
    m.mmu.activate(buildSpace(m, shape, 3).context);
    m.mmu.read(...leafAddress(shape, 0), 8);
    for (let i = 1; i < 3; i++) {
      const before = m.counters[MmuCounter.WalkReferences];
      m.mmu.read(...leafAddress(shape, i), 8);
      expect(m.counters[MmuCounter.WalkReferences] - before).toBe(references);
    }
    expect(m.counters[MmuCounter.PagingStructureHits]).toBe(2);
  },
);

test("setting accessed flags adds no references, one update an entry written", () => {
  const m = new TestMachine();
  const shape = {
    paging: PagingMode.FourLevel,
    leaf: "4k",
    stage: "npt",
    stageLevels: 4,
    tableLeaf: "2m",
    pageLeaf: "1g",
  } as const;
  m.mmu.activate(buildSpace(m, shape, 2, Pte.Present | Pte.Write | Pte.User).context);
  m.mmu.write(...leafAddress(shape, 0), 8);
  expect(m.counters[MmuCounter.WalkReferences]).toBe(4 * 4 + 2);
  expect(m.counters[MmuCounter.AccessedDirtyUpdates]).toBe(1);
});

test("a cold walk costs what its references cost: every reference at the latency of its level", () => {
  for (const shape of SOME_SHAPES) {
    const m = new TestMachine();
    m.mmu.activate(buildSpace(m, shape).context);
    m.mmu.read(...leafAddress(shape, 0), 8);
    const served = (level: number): number => m.counters[MmuCounter.WalkL1 - 1 + level];
    const cycles = 4 * served(1) + 14 * served(2) + 50 * served(3) + 300 * served(4);
    const walk = m.ledger.rows().filter((row) => row.cause === "walk");
    expect(walk.reduce((sum, row) => sum + row.ticks, 0)).toBe(256 * cycles);
    expect(served(1) + served(2) + served(3) + served(4)).toBe(m.counters[MmuCounter.WalkReferences]);
    expect(m.charged).toBe(m.ledger.clock[0]);
  }
});
