import { LegacyTables, LongModeTables, PaeTables, Pte } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { HypervisorBench, type HypervisorBenchOptions } from "./hypervisor-bench.ts";

const CR0_LONG = (1 << 31) | (1 << 16) | 1;
const CR4_PSE = 0x10;
const CR4_PAE = 0x20;
const CR4_SMAP = 1 << 21;
const EFER_LONG = 0xd00;
const FLAGS = Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty;
const LINEAR = 0x40000000; // 1 GiB, below 2^31 so that legacy formats reach it too
const PAGE = LINEAR / 4096;
const TARGET = 0x800; // guest frame 2 MiB × 4

/** A guest in long mode whose page at LINEAR maps to frame TARGET by a leaf of this size. */
function longMode(leaf: "4k" | "2m" | "1g", options: HypervisorBenchOptions = {}) {
  const bench = new HypervisorBench(options);
  let next = 16;
  const tables = new LongModeTables({
    memory: bench.memory,
    allocate: () => next++,
    locate: (gfn) => bench.p2m.translate(gfn),
  });
  tables.map(PAGE, leaf === "1g" ? 0 : TARGET, leaf, FLAGS);
  tables.map(PAGE + 0x200000, 0x1000, "4k", FLAGS); // 8 GiB further: for straddling, two neighbours
  tables.map(PAGE + 0x200001, 0x1200, "4k", FLAGS);
  bench.setControl(CR0_LONG, tables.rootFrame * 4096, CR4_PAE, EFER_LONG);
  return { bench, tables };
}

describe("counts of one copy within a page", () => {
  it.each([
    ["4k", "4k", 6, 4, 24],
    ["4k", "2m", 6, 4, 18],
    ["4k", "1g", 6, 4, 12],
    ["2m", "4k", 5, 3, 20],
    ["2m", "2m", 5, 3, 15],
    ["2m", "1g", 5, 3, 10],
    ["1g", "4k", 4, 2, 16],
    ["1g", "2m", 4, 2, 12],
    ["1g", "1g", 4, 2, 8],
  ] as const)("long mode, guest leaf %s, p2m leaf %s", (leaf, p2mPage, lookups, pteReads, tableReads) => {
    const { bench } = longMode(leaf, { p2mPage, guestFrames: 262144 });
    const count = bench.measure(() => expect(bench.linear.copyToGuest(LINEAR + 0x100, 0, 48)).toBe(0));
    expect(count).toMatchObject({ lookups, pteReads, tableReads, bytes: 48 });
  });

  it.each(["4k", "2m", "1g"] as const)("physical, p2m leaf %s", (p2mPage) => {
    const bench = new HypervisorBench({ p2mPage, guestFrames: 262144 });
    const count = bench.measure(() => expect(bench.physical.copyToGuest(0x800100, 0, 48)).toBe(0));
    expect(count).toMatchObject({
      lookups: 1,
      pteReads: 0,
      tableReads: p2mPage === "4k" ? 4 : p2mPage === "2m" ? 3 : 2,
    });
  });

  it("PAE", () => {
    const bench = new HypervisorBench();
    let next = 16;
    const tables = new PaeTables({
      memory: bench.memory,
      allocate: () => next++,
      locate: (gfn) => bench.p2m.translate(gfn),
    });
    tables.map(PAGE, TARGET, "4k", FLAGS);
    bench.setControl(CR0_LONG, tables.rootFrame * 4096, CR4_PAE, 0x800);
    const count = bench.measure(() => expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(0));
    expect(count).toMatchObject({ lookups: 5, tableReads: 20 });
  });

  it("2-level, 4 KiB and 4 MiB leaves", () => {
    const bench = new HypervisorBench();
    let next = 16;
    const tables = new LegacyTables({
      memory: bench.memory,
      allocate: () => next++,
      locate: (gfn) => bench.p2m.translate(gfn),
    });
    tables.map(PAGE, TARGET, "4k", FLAGS);
    bench.setControl(CR0_LONG, tables.rootFrame * 4096, CR4_PSE, 0);
    const small = bench.measure(() => expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(0));
    expect(small).toMatchObject({ lookups: 4, pteReads: 2, tableReads: 16 });
    bench.memory.writeU32(
      bench.p2m.translate(tables.rootFrame) * 4096 + 0x101 * 4,
      0x800000 | FLAGS | Pte.PageSize,
    );
    const large = bench.measure(() => expect(bench.linear.copyToGuest(LINEAR + 0x400000, 0, 4)).toBe(0));
    expect(large).toMatchObject({ lookups: 3, pteReads: 1 });
    expect(bench.guest.readU32(0x800000)).toBe(bench.linear.buffer.getUint32(0, true));
  });

  it("paging off", () => {
    const bench = new HypervisorBench();
    bench.setControl(1, 0, 0, 0);
    const count = bench.measure(() => expect(bench.linear.copyToGuest(0x5000, 0, 4)).toBe(0));
    expect(count).toMatchObject({ lookups: 1, pteReads: 0, tableReads: 4 });
  });

  it("doubles when the buffer straddles a page", () => {
    const { bench } = longMode("4k");
    const at = 0x40000ff0; // 0x240000ff0 = LINEAR + 8 GiB + 0xff0
    const count = bench.measure(() => expect(bench.linear.copyToGuest(at, 2, 48)).toBe(0));
    expect(count).toMatchObject({ lookups: 12, pteReads: 8, tableReads: 48, bytes: 48 });
  });
});

describe("instructions of one copy, against the counts", () => {
  const within = (value: number, target: number, share: number) => Math.abs(value - target) / target < share;

  it("SVM: linear 4825, physical 1165; look-up 507 and 449", () => {
    const { bench } = longMode("4k");
    const linear = bench.measure(() => bench.linear.copyToGuest(LINEAR, 0, 48));
    const physical = bench.measure(() => bench.physical.copyToGuest(0x800000, 0, 48));
    expect(within(linear.instructions, 4825, 0.005)).toBe(true);
    expect(within(physical.instructions, 1165, 0.005)).toBe(true);
    for (const [p2mPage, target] of [
      ["4k", 507],
      ["2m", 449],
    ] as const) {
      const b = new HypervisorBench({ p2mPage });
      expect(b.measure(() => b.p2m.putPage(b.p2m.lookup(TARGET))).instructions).toBe(target);
    }
  });

  it("VMX: linear 5650-5710, physical 1230-1280 over the same base", () => {
    const { bench } = longMode("4k", { vendor: "intel", mmioHandlers: 3 });
    const linear = bench.measure(() => bench.linear.copyToGuest(LINEAR, 0, 48)).instructions;
    const physical = bench.measure(() => bench.physical.copyToGuest(0x800000, 0, 48)).instructions;
    expect(linear).toBeGreaterThan(5650 * 0.97);
    expect(linear).toBeLessThan(5710 * 1.03);
    expect(physical).toBeGreaterThan(1230 * 0.97);
    expect(physical).toBeLessThan(1280 * 1.03);
  });

  it("a domain with one MMIO handler stays near both counts", () => {
    const { bench } = longMode("4k", { mmioHandlers: 1 });
    const linear = bench.measure(() => bench.linear.copyToGuest(LINEAR, 0, 48)).instructions;
    expect(linear).toBe(4823 - 160);
  });
});

describe("what a copy does", () => {
  it("moves bytes both ways, and the guest sees them", () => {
    const { bench } = longMode("4k");
    for (let i = 0; i < 100; i++) bench.linear.buffer.setUint8(i, i + 1);
    expect(bench.linear.copyToGuest(LINEAR + 10, 0, 100)).toBe(0);
    expect([...bench.guest.readBytes(TARGET * 4096 + 10, 3)]).toEqual([1, 2, 3]);
    bench.guest.writeBytes(TARGET * 4096 + 20, Uint8Array.of(7, 8, 9));
    expect(bench.linear.copyFromGuest(LINEAR + 20, 0, 3)).toBe(0);
    expect(bench.linear.buffer.getUint8(2)).toBe(9);
  });

  it("returns every reference that it took", () => {
    const { bench } = longMode("4k");
    const mfn = bench.p2m.translate(TARGET);
    expect(bench.host.frameTable.references(mfn)).toBe(1);
    bench.linear.copyToGuest(LINEAR, 0, 48);
    bench.linear.copyToGuest(LINEAR, 5, 48);
    expect(bench.host.frameTable.references(mfn)).toBe(1);
  });

  it("keeps the pages that were copied before a bad one", () => {
    const { bench } = longMode("4k");
    bench.linear.buffer.setUint8(0, 0x5a);
    expect(bench.linear.copyToGuest(LINEAR + 0xfff, 0, 2)).toBe(-Errno.EFAULT);
    expect(bench.guest.readU8(TARGET * 4096 + 0xfff)).toBe(0x5a);
  });

  it("sets accessed and dirty once, by the software walk only", () => {
    const { bench, tables } = longMode("4k");
    tables.setAttributes(PAGE, Pte.Present | Pte.Write);
    expect(bench.linear.copyFromGuest(LINEAR, 0, 4)).toBe(0);
    expect(bench.counters.accessedDirtyUpdates).toBe(1);
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(0);
    expect(bench.counters.accessedDirtyUpdates).toBe(2);
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(0);
    expect(bench.counters.accessedDirtyUpdates).toBe(2);
    expect((tables.entry(PAGE)?.attributes ?? 0) & (Pte.Accessed | Pte.Dirty)).toBe(Pte.Accessed | Pte.Dirty);
  });

  it("charges every tick once", () => {
    const { bench } = longMode("4k");
    bench.linear.copyToGuest(LINEAR, 0, 48);
    bench.physical.copyFromGuest(0x5000, 0, 4);
    expect(bench.ledgerSum()).toBe(bench.ledger.clock[0]);
    expect(bench.ledger.phaseDepth).toBe(0);
  });
});

describe("-EFAULT, with counts as far as it went", () => {
  it("an address that is not mapped", () => {
    const { bench } = longMode("4k");
    const count = bench.measure(() => expect(bench.linear.copyToGuest(0x1000, 7, 4)).toBe(-Errno.EFAULT));
    expect(count).toMatchObject({ lookups: 1 + 1, pteReads: 2, bytes: 0 });
  });

  it("a table, or a page, in a hole of the p2m", () => {
    const { bench, tables } = longMode("4k");
    tables.map(PAGE + 1, 0x300000, "4k", FLAGS);
    expect(bench.linear.copyToGuest(LINEAR + 4096, 0, 4)).toBe(-Errno.EFAULT);
    bench.setControl(CR0_LONG, 0x7ffff000, CR4_PAE, EFER_LONG);
    const count = bench.measure(() => expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(-Errno.EFAULT));
    expect(count).toMatchObject({ lookups: 1, pteReads: 0, tableReads: 0 });
    expect(bench.physical.copyToGuest(0, 0x80000000, 4)).toBe(-Errno.EFAULT);
  });

  it("an address that is not canonical, reserved bits, write protection under WP, user pages under SMAP", () => {
    const { bench, tables } = longMode("4k");
    expect(bench.linear.copyToGuest(0, 0x10000, 4)).toBe(-Errno.EFAULT);
    tables.setAttributes(PAGE, Pte.Present | Pte.Accessed | Pte.Dirty);
    expect(bench.linear.copyFromGuest(LINEAR, 0, 4)).toBe(0);
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(-Errno.EFAULT);
    bench.setControl(CR0_LONG & ~(1 << 16), tables.rootFrame * 4096, CR4_PAE, EFER_LONG);
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(0);
    tables.setAttributes(PAGE, FLAGS | Pte.User);
    bench.setControl(CR0_LONG, tables.rootFrame * 4096, CR4_PAE | CR4_SMAP, EFER_LONG);
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(-Errno.EFAULT);
    bench.registers.rflags |= 0x40000; // AC
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(0);
    bench.setControl(CR0_LONG, tables.rootFrame * 4096, CR4_PAE, 0x500); // NXE off
    tables.setAttributes(PAGE, FLAGS | Pte.NoExecute);
    expect(bench.linear.copyToGuest(LINEAR, 0, 4)).toBe(-Errno.EFAULT);
  });

  it("the local APIC's page, which an MMIO handler claims", () => {
    const bench = new HypervisorBench();
    expect(bench.physical.copyToGuest(0xfee00000 | 0, 0, 4)).toBe(-Errno.EFAULT);
  });
});
