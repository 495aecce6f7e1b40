import { MmuCounter } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildSpace, leafAddress, OPEN, PAGE_GFN, type Shape } from "./address-space.js";
import { bytesOf, GUEST_BASE, SMALL, TestMachine } from "./machine.js";

const NESTED: Shape = {
  paging: 4,
  leaf: "4k",
  stage: "npt",
  stageLevels: 4,
  tableLeaf: "4k",
  pageLeaf: "4k",
};
const PAGES = 40;

/** Forty pages over nested tables with all flags set and all memory in place: accesses change nothing but caches. */
function machine(options = {}): TestMachine {
  const m = new TestMachine(SMALL, options);
  m.mmu.activate(buildSpace(m, NESTED, PAGES, OPEN).context);
  for (let page = 0; page <= PAGES; page++) m.memory.frameOffset(GUEST_BASE + PAGE_GFN + page);
  m.mmu.setTimed(false);
  m.mmu.setTimed(true);
  return m;
}

function access(m: TestMachine, page: number, offset: number, kind: number): number {
  const [lo, hi] = leafAddress(NESTED, page);
  if (kind === 0) return m.mmu.fetch(lo | offset, hi);
  return kind === 1 ? m.mmu.read(lo | offset, hi, 8) : m.mmu.write(lo | offset, hi, 8);
}

const accesses = fc.array(
  fc.record({
    page: fc.nat({ max: PAGES - 1 }),
    offset: fc.nat({ max: 4095 }),
    kind: fc.nat({ max: 2 }),
  }),
  { minLength: 20, maxLength: 200 },
);

describe("while timing is off", () => {
  test.each([2 ** 30, 300])(
    "caches, TLBs, counters and clock stay as they are, and go on as if nothing had been (recency limit %i)",
    { timeout: 60_000 },
    (recencyLimit) => {
      fc.assert(
        fc.property(accesses, accesses, accesses, (before, between, after) => {
          const forwarded = machine({ recencyLimit });
          const plain = machine({ recencyLimit });
          for (const { page, offset, kind } of before)
            for (const m of [forwarded, plain]) access(m, page, offset, kind);
          const state = bytesOf(plain);
          forwarded.mmu.setTimed(false);
          for (const { page, offset, kind } of between) {
            if (offset > 4088) continue; // the pages' neighbours are other pages
            expect(access(forwarded, page, offset, kind)).toBeGreaterThanOrEqual(0);
          }
          expect(bytesOf(forwarded)).toEqual(state);
          expect(forwarded.ledger.clock[0]).toBe(plain.ledger.clock[0]);
          forwarded.mmu.setTimed(true);
          for (const { page, offset, kind } of after)
            expect(access(forwarded, page, offset, kind)).toBe(access(plain, page, offset, kind));
          expect(forwarded.ledger.rows()).toEqual(plain.ledger.rows());
          expect([...forwarded.counters]).toEqual([...plain.counters]);
          expect(bytesOf(forwarded)).toEqual(bytesOf(plain));
        }),
        { numRuns: 20 },
      );
    },
  );

  test("lines of the modelled host are neither looked for nor noted", () => {
    const m = machine();
    const [lo, hi] = leafAddress(NESTED, 0);
    const sequence = m.mmu.defineLines([{ lo, hi, write: false }]);
    m.mmu.setTimed(false);
    const state = bytesOf(m);
    m.mmu.noteLines(sequence);
    expect(m.mmu.touchLines(sequence)).toBe(true);
    expect(m.mmu.holdsLines(sequence)).toBe(true);
    expect(bytesOf(m)).toEqual(state);
    m.mmu.setTimed(true);
    expect(m.mmu.touchLines(sequence)).toBe(false);
  });

  test("what empties TLBs and caches goes on emptying them", () => {
    const m = machine();
    for (let i = 0; i < 3; i++) access(m, i, 0, 1);
    m.mmu.setTimed(false);
    const [lo, hi] = leafAddress(NESTED, 1);
    m.mmu.invalidatePage(lo, hi);
    expect(m.mmu.flushLine(...leafAddress(NESTED, 2))).toBe(0);
    m.mmu.setTimed(true);
    const count = (page: number, counter: number): number => {
      const before = m.counters[counter];
      access(m, page, 0, 1);
      return m.counters[counter] - before;
    };
    expect(count(0, MmuCounter.Walks)).toBe(0);
    expect(count(1, MmuCounter.Walks)).toBe(1);
    expect(count(2, MmuCounter.DataDram) + count(2, MmuCounter.DataDram)).toBe(1);
  });

  test("a debug register's watch sees every access", () => {
    const m = machine();
    m.mmu.setTimed(false);
    access(m, 0, 0, 1);
    let seen = 0;
    m.mmu.watch({ note: () => seen++ });
    for (let i = 0; i < 3; i++) access(m, 0, 0, 1 + (i & 1));
    expect(seen).toBe(3);
    m.mmu.watch(null);
    access(m, 0, 0, 1);
    expect(seen).toBe(3);
  });

  test("a write to a frame with decoded code is announced, once it was only read too", () => {
    const m = machine();
    m.mmu.setTimed(false);
    const frame = access(m, 0, 64, 2) & -4096;
    const told: number[] = [];
    m.memory.onCodeWrite = (at) => {
      told.push(at);
      m.memory.codeSlots[at >>> 12] = 0;
    };
    m.mmu.noteCode(frame);
    access(m, 0, 64, 1);
    access(m, 0, 128, 1);
    expect(told).toEqual([]);
    access(m, 0, 64, 2);
    access(m, 0, 64, 2);
    expect(told).toEqual([frame]);
  });

  test.each([
    { paging: 4, leaf: "4k", far: 0 },
    { paging: 4, leaf: "2m", far: 0x5000 },
    { paging: 4, leaf: "1g", far: 0x305000 },
    { paging: 2, leaf: "2m", far: 0x205000 },
  ] as const)("INVLPG anywhere in a page drops all of it: %o", ({ paging, leaf, far }) => {
    const m = new TestMachine(SMALL, {});
    const shape: Shape = { ...NESTED, paging, leaf, stage: "none" };
    const { context } = buildSpace(m, shape, 2, OPEN);
    m.mmu.activate(context);
    m.mmu.setTimed(false);
    const [first] = leafAddress(shape, 0);
    const [second] = leafAddress(shape, 1);
    const read = (at: number): number => m.mmu.read(at | 0, 0, 8);
    const [old, other] = [read(first), read(second)];
    read(first + far);
    expect(old).not.toBe(other);
    // The first leaf now leads where the second does.
    const bytes = paging === 2 ? 4 : 8;
    let table = context.rootFrame * 4096;
    for (let level = paging === 2 ? 2 : { "4k": 4, "2m": 3, "1g": 2 }[leaf]; level > 1; level--)
      if (paging === 4) table = m.memory.readU32(table) & -4096;
    m.memory.writeU32(table, m.memory.readU32(table + bytes));
    m.mmu.invalidatePage(first + far, 0);
    expect(read(first)).toBe(other);
  });
});
