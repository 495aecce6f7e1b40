import { FaultKind, LongModeTables, MMU_COUNTERS, MmuCounter, PagingMode, Pte } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OPEN } from "./address-space.js";
import { GUEST_BASE, RAM_FRAMES, SMALL, TestMachine } from "./machine.js";

/** Linear pages 0..n-1 in scattered frames. */
function paged(pages = 8, attributes = OPEN): TestMachine & { tables: LongModeTables } {
  const m = new TestMachine();
  const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
  for (let i = 0; i < pages; i++) tables.map(i, GUEST_BASE + 7 * i, "4k", attributes);
  m.mmu.activate(m.context({ paging: PagingMode.FourLevel, rootFrame: tables.rootFrame }));
  return Object.assign(m, { tables });
}

/** Bytes of linear memory, by physical addresses. */
function bytesAt(m: TestMachine, linear: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const page = (linear + i) >>> 12;
    return m.memory.readU8((GUEST_BASE + 7 * page) * 4096 + ((linear + i) & 4095));
  });
}

describe("accesses", () => {
  test("any aligned or misaligned access of 1 to 64 bytes sees and changes exactly its bytes", () => {
    const m = paged();
    for (let i = 0; i < 8 * 4096; i++)
      m.memory.writeU8((GUEST_BASE + 7 * (i >>> 12)) * 4096 + (i & 4095), i * 31);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 8 * 4096 - 64 }),
        fc.integer({ min: 1, max: 64 }),
        fc.nat(255),
        (a, n, v) => {
          const expected = bytesAt(m, a, n);
          const read = m.mmu.read(a, 0, n);
          expect([...m.arena.u8.subarray(read, read + n)]).toEqual(expected);
          const [before, after] = a === 0 ? [0, 0] : [bytesAt(m, a - 1, 1)[0], bytesAt(m, a + n - 1, 1)[0]];
          const write = m.mmu.write(a, 0, n);
          expect([...m.arena.u8.subarray(write, write + n)]).toEqual(expected);
          m.arena.u8.fill(v, write, write + n);
          expect(m.mmu.writePending).toBe((a & 4095) + n > 4096 ? 1 : 0);
          m.mmu.commitWrite();
          expect(bytesAt(m, a, n)).toEqual(new Array(n).fill(v));
          if (a > 0) expect(bytesAt(m, a - 1, 1)[0]).toBe(before);
          void after;
        },
      ),
    );
    expect(m.charged).toBe(m.ledger.clock[0]);
  });

  test("a write that faults on its second page leaves nothing pending, and CR2 names that page", () => {
    const m = paged(1);
    expect(m.mmu.write(4092, 0, 8)).toBe(-1);
    expect(m.mmu.writePending).toBe(0);
    expect(m.mmu.fault).toMatchObject({ kind: FaultKind.PageFault, errorCode: 2, linearLo: 4096 });
    expect(m.mmu.write(4092, 0, 4)).toBeGreaterThanOrEqual(0);
  });

  test("an access over the top of the lower half is not canonical; 32-bit addresses wrap", () => {
    const m = paged(1);
    m.tables.map(2 ** 35 - 1, GUEST_BASE, "4k", OPEN);
    expect(m.mmu.read(-4, 0x7fff, 8)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({ kind: FaultKind.NonCanonical, linearLo: 0, linearHi: 0x8000 });
    m.mmu.activate(m.context({ paging: PagingMode.None }));
    m.memory.writeU8(0, 77);
    // The last page below 4 GiB, then page 0.
    const at = m.mmu.read(-1, 0, 2);
    expect(m.arena.u8[at + 1]).toBe(77);
  });

  test("no RAM: the frame is in the fault, and nothing is cached of it", () => {
    const m = new TestMachine();
    m.mmu.activate(m.context({}));
    expect(m.mmu.read((RAM_FRAMES << 12) | 8, RAM_FRAMES >>> 20, 4)).toBe(-1);
    expect(m.mmu.fault).toMatchObject({ kind: FaultKind.NoRam, gfn: RAM_FRAMES, gfnOffset: 8 });
    expect(m.mmu.fetch(RAM_FRAMES << 12, RAM_FRAMES >>> 20)).toBe(-1);
    expect(m.mmu.probe(4096, 0)).toBe(1);
  });

  test("the direct map of the seams: physical p at 0xffff8300_00000000 + p, in 1 GiB leaves", () => {
    const m = new TestMachine();
    const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
    const first = Number(0xffff_8300_0000_0000n >> 12n);
    tables.mapRange(first, 0, 8, "1g", OPEN);
    m.mmu.activate(m.context({ paging: 4, rootFrame: tables.rootFrame }));
    for (const frame of [0, 1, 0x3ffff, 0x40000, 0x123456, RAM_FRAMES - 1]) {
      const at = m.mmu.write((frame << 12) | 0x18, ((0xffff8300 | 0) + (frame >>> 20)) | 0, 8);
      expect(at).toBe(m.memory.frameOffset(frame) + 0x18);
    }
    expect(m.counters[MmuCounter.Walks]).toBe(4);
  });
});

describe("costs", () => {
  const total = (m: TestMachine): number => m.ledger.clock[0] / 256;

  test("a data miss costs its latency beyond L1, less what overlaps", () => {
    const m = new TestMachine();
    m.mmu.activate(m.context({}));
    const cost = (run: () => void): number => {
      const before = total(m);
      run();
      return total(m) - before;
    };
    expect(cost(() => m.mmu.read(0, 0, 8))).toBe((300 - 4) * 0.5);
    expect(cost(() => m.mmu.read(8, 0, 8))).toBe(0);
    expect(cost(() => m.mmu.write(64, 0, 8))).toBe((300 - 4) * 0.25);
    expect(cost(() => m.mmu.fetch(128, 0))).toBe((300 - 4) * 0.75);
    expect(cost(() => m.mmu.fetch(0, 0))).toBe((14 - 4) * 0.75);
    expect(cost(() => m.mmu.read(128, 0, 8))).toBe((14 - 4) * 0.5);
    expect(cost(() => m.mmu.read(60, 0, 8))).toBe(0);
    expect(cost(() => m.mmu.read(250, 0, 8))).toBe((300 - 4) * 0.5 * 2);
    expect(cost(() => m.mmu.flushLine(0, 0))).toBe(0);
    expect(cost(() => m.mmu.read(0, 0, 8))).toBe((300 - 4) * 0.5);
    expect(
      m.ledger
        .rows()
        .map((row) => row.cause)
        .sort(),
    ).toEqual(["dram", "l2"]);
  });

  test("a second-level TLB hit costs its latency, cause tlb; a walk is cause walk", () => {
    const m = paged(20);
    for (let i = 0; i < 9; i++) m.mmu.read(i << 12, 0, 8);
    const before = m.ledger.snapshot();
    m.mmu.read(0, 0, 8); // pushed out of the 8 first-level entries by page 8
    const [row] = m.ledger.rows(before).filter((r) => r.cause === "tlb");
    expect(row.ticks).toBe(7 * 256);
    expect(m.counters[MmuCounter.DtlbSecondLevelHits]).toBe(1);
    expect(m.counters[MmuCounter.Walks]).toBe(9);
  });

  test("activation and invalidation cost nothing by themselves", () => {
    const m = paged();
    m.mmu.read(0, 0, 8);
    const before = total(m);
    m.mmu.activate(m.context({}));
    m.mmu.invalidateAll();
    m.mmu.invalidatePage(0, 0);
    m.mmu.flushCaches();
    expect(total(m)).toBe(before);
    expect(m.counters[MmuCounter.Invalidations]).toBe(2);
  });

  test("charges go to the phase on top of the stack", () => {
    const m = paged();
    m.ledger.enter(m.ledger.registerPhase("copy"));
    m.mmu.read(0, 0, 8);
    m.ledger.leave();
    expect(new Set(m.ledger.rows().map((row) => row.phase))).toEqual(new Set(["copy"]));
  });
});

describe("translation sizes", () => {
  test("a size that no array holds is kept in smaller pieces", () => {
    const m = new TestMachine({
      ...SMALL,
      l1Dtlb: [{ entries: 8, ways: 8, pages: ["4k", "2m"], replacement: "lru" }],
    });
    const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
    tables.map(0, 0, "1g", OPEN);
    m.mmu.activate(m.context({ paging: 4, rootFrame: tables.rootFrame }));
    m.mmu.read(0, 0, 8);
    m.mmu.read(0x1ff000, 0, 8);
    expect(m.counters[MmuCounter.DtlbMisses]).toBe(1);
    m.mmu.read(0x200000, 0, 8);
    // The second level holds the whole gigabyte.
    expect(m.counters[MmuCounter.DtlbSecondLevelHits]).toBe(1);
    expect(m.counters[MmuCounter.Walks]).toBe(1);
  });

  test("a first level without 4 KiB pages is refused", () => {
    const l1Dtlb = [{ entries: 8, ways: 8, pages: ["2m"] as const, replacement: "lru" as const }];
    expect(() => new TestMachine({ ...SMALL, l1Dtlb })).toThrow(RangeError);
  });
});

test("frames beyond 2^31 (8 TiB) are reached like any other", () => {
  const m = new TestMachine();
  const frame = 2 ** 35 + 5;
  m.memory.addRam(frame, 1);
  const tables = new LongModeTables({ memory: m.memory, allocate: m.allocate });
  tables.map(1, frame, "4k", OPEN);
  m.mmu.activate(m.context({ paging: 4, rootFrame: tables.rootFrame }));
  for (let i = 0; i < 3; i++) expect(m.mmu.read(4096, 0, 8)).toBe(m.memory.frameOffset(frame));
  expect(m.mmu.write(4096, 0, 8)).toBe(m.memory.frameOffset(frame));
  expect(m.mmu.probe(4096, 0)).toBe(frame);
});

test("the arena may grow between accesses", () => {
  const m = paged();
  m.memory.writeU32(GUEST_BASE * 4096, 99);
  m.mmu.read(0, 0, 4);
  m.arena.ensure(64 * 1024 * 1024);
  expect(m.arena.view.getUint32(m.mmu.read(0, 0, 4), true)).toBe(99);
  expect(m.counters[MmuCounter.Walks]).toBe(1);
});

test("a page without the present bit anywhere is not found by probe either", () => {
  const m = paged(2, Pte.Write);
  expect(m.mmu.probe(0, 0)).toBe(-1);
  expect(MMU_COUNTERS).toHaveLength(MmuCounter.Length);
  expect(MMU_COUNTERS[MmuCounter.WalkReferences]).toBe("WalkReferences");
});
