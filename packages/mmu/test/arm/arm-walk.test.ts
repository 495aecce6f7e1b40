import {
  ArmStage1,
  ArmStage1Tables,
  ArmStage2,
  describeFault,
  frameOfPar,
  MmuCounter,
  Par,
} from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { address, GUEST_MACHINE, GUEST_RAM, NORMAL, NORMAL2, testElement } from "./element.js";

const LEVELS = { "4k": 3, "2m": 2, "1g": 1 } as const;
const SIZES = ["4k", "2m", "1g"] as const;
/** Aligned to a gigabyte in both spaces, so that every size fits. */
const PAGE = 0x40000;

/** Maps all of the guest's RAM (its tables are in it) in stage 2, and one page in stage 1. */
function mapped(
  size1: (typeof SIZES)[number],
  size2: (typeof SIZES)[number],
  options: Parameters<typeof testElement>[0] = {},
) {
  const element = testElement(options);
  const count = { "4k": 0x40000, "2m": 512, "1g": 1 }[size2];
  if (size2 === "4k") {
    // Only what is used: the data page and the last 16 MiB with the tables.
    element.stage2.mapRange(GUEST_RAM, GUEST_MACHINE, 512, "4k", NORMAL2);
    element.stage2.mapRange(GUEST_RAM + 0x3f000, GUEST_MACHINE + 0x3f000, 512, "4k", NORMAL2);
  } else element.stage2.mapRange(GUEST_RAM, GUEST_MACHINE, count, size2, NORMAL2);
  element.stage1.map(PAGE, GUEST_RAM, size1, NORMAL);
  return element;
}

describe("references of a cold Arm walk are (a+1)(b+1)-1", () => {
  const geometries = [
    { vaBits: 48, ipaBits: 48, startLevel: 0, first1: 0 },
    { vaBits: 48, ipaBits: 40, startLevel: 1, first1: 0 },
    { vaBits: 39, ipaBits: 48, startLevel: 0, first1: 1 },
    { vaBits: 39, ipaBits: 42, startLevel: 1, first1: 1 },
    { vaBits: 42, ipaBits: 44, startLevel: 0, first1: 0 },
  ] as const;
  for (const { vaBits, ipaBits, startLevel, first1 } of geometries)
    for (const size1 of SIZES)
      for (const size2 of SIZES)
        it(`${vaBits}-bit VA, ${size1}; ${ipaBits}-bit IPA from level ${startLevel}, ${size2}`, () => {
          const { mmu, ledger } = mapped(size1, size2, { vaBits, ipaBits, startLevel });
          const par = mmu.at(address(PAGE), false);
          expect(frameOfPar(par)).toBe(GUEST_MACHINE);
          const a = LEVELS[size1] - first1 + 1;
          const b = LEVELS[size2] - startLevel + 1;
          expect(mmu.counters[MmuCounter.WalkReferences]).toBe((a + 1) * (b + 1) - 1);
          expect(mmu.counters[MmuCounter.GuestReferences]).toBe(a);
          const walked = ledger.rows().filter(({ cause }) => cause === "walk");
          expect(walked.reduce((sum, { ticks }) => sum + ticks, 0)).toBe(ledger.clock[0]);
        });

  it("is 24 where everything has four levels", () => {
    const { mmu } = mapped("4k", "4k");
    mmu.at(address(PAGE), false);
    expect(mmu.counters[MmuCounter.WalkReferences]).toBe(24);
  });

  it("is a in EL2's own tables", () => {
    for (const size of SIZES) {
      const { mmu, memory } = testElement();
      let next = 0x8000;
      const host = new ArmStage1Tables({ memory, allocate: () => next++ });
      host.map(PAGE, GUEST_MACHINE, size, NORMAL);
      mmu.setHost({ rootFrame: host.rootFrame, inputBits: 48 });
      expect(mmu.read("el2", address(PAGE, 8))).toBe(memory.frameOffset(GUEST_MACHINE) + 8);
      expect(mmu.counters[MmuCounter.WalkReferences]).toBe(LEVELS[size] + 1);
    }
  });

  it("makes none the second time, and a few with warm walk caches", () => {
    const { mmu, stage1 } = mapped("4k", "2m");
    stage1.map(PAGE + 1, GUEST_RAM + 1, "4k", NORMAL);
    mmu.at(address(PAGE), false);
    mmu.counters.fill(0);
    mmu.at(address(PAGE), false);
    expect(mmu.counters[MmuCounter.Walks]).toBe(0);
    mmu.at(address(PAGE + 1), false);
    // The level 3 table is known by its machine frame, and the 2 MiB of stage 2 by the cache of intermediate addresses.
    expect(mmu.counters[MmuCounter.WalkReferences]).toBe(1);
  });

  it("walks stage 2 again for 4 KiB pages, which the cache of intermediate addresses does not keep", () => {
    const kept = mapped("4k", "4k", { ipaCacheSmallest: "4k" });
    const dropped = mapped("4k", "4k");
    for (const { mmu } of [kept, dropped]) {
      mmu.at(address(PAGE), false);
      mmu.tlbi({ op: "vmalle1" });
      mmu.counters.fill(0);
      mmu.at(address(PAGE), false);
    }
    expect(kept.mmu.counters[MmuCounter.WalkReferences]).toBe(4);
    // Four stage 1 reads, and for four tables and the page the last stage 2 level (its upper ones are cached).
    expect(dropped.mmu.counters[MmuCounter.WalkReferences]).toBe(4 + 5);
  });
});

describe("PAR_EL1", () => {
  it("holds the address and says inner shareable write-back memory", () => {
    const { mmu } = mapped("2m", "1g");
    const par = mmu.at(address(PAGE + 5, 0x123), false);
    expect(par & Par.Fault).toBe(0n);
    expect((par >> 12n) & 0xfffffffffn).toBe(BigInt(GUEST_MACHINE + 5));
    expect(par >> 56n).toBe(0xffn);
    expect((par >> 7n) & 3n).toBe(3n);
  });

  const stop = (par: bigint) => ({
    status: Number((par >> 1n) & 0x3fn),
    stage2: (par & Par.Stage2) !== 0n,
    onWalk: (par & Par.OnWalk) !== 0n,
    failed: (par & Par.Fault) !== 0n,
  });
  const at1 = (status: number) => ({ status, stage2: false, onWalk: false, failed: true });
  const at2 = (status: number, onWalk: boolean) => ({ status, stage2: true, onWalk, failed: true });

  it("names the level at which stage 1 has no valid descriptor", () => {
    for (let level = 0; level <= 3; level++) {
      const { mmu, stage1 } = mapped("4k", "1g");
      const found = stage1.path(PAGE)[level];
      stage1.store({ ...found, lo: 0, hi: 0 });
      expect(stop(mmu.at(address(PAGE), false))).toEqual(at1(0x04 + level));
    }
  });

  it("names stage 2's level, and whether the page or a stage 1 table was not there", () => {
    for (let level = 0; level <= 3; level++) {
      const { mmu, stage2 } = mapped("4k", "4k");
      const found = stage2.path(GUEST_RAM)[level];
      stage2.store({ ...found, lo: 0, hi: 0 });
      // Above level 2, page and tables share the descriptor that is gone: the first table read meets it.
      expect(stop(mmu.at(address(PAGE), false))).toEqual(at2(0x04 + level, level < 2));
    }
  });

  it("tells access flag and permission faults of either stage", () => {
    const flagless1 = mapped("2m", "2m");
    flagless1.stage1.map(PAGE, GUEST_RAM, "2m", NORMAL & ~ArmStage1.AccessFlag);
    expect(stop(flagless1.mmu.at(address(PAGE), false))).toEqual(at1(0x08 + 2));

    const flagless2 = mapped("4k", "2m");
    flagless2.stage2.map(GUEST_RAM, GUEST_MACHINE, "2m", NORMAL2 & ~ArmStage2.AccessFlag);
    expect(stop(flagless2.mmu.at(address(PAGE), false))).toEqual(at2(0x08 + 2, false));

    const readOnly1 = mapped("4k", "2m");
    readOnly1.stage1.map(PAGE, GUEST_RAM, "4k", NORMAL | ArmStage1.ReadOnly);
    expect(stop(readOnly1.mmu.at(address(PAGE), false)).failed).toBe(false);
    // Once from the TLB, once from the tables: the same fault.
    expect(stop(readOnly1.mmu.at(address(PAGE), true))).toEqual(at1(0x0c + 3));
    readOnly1.mmu.tlbi({ op: "vmalle1" });
    expect(stop(readOnly1.mmu.at(address(PAGE), true))).toEqual(at1(0x0c + 3));

    const readOnly2 = mapped("4k", "2m");
    readOnly2.stage2.map(GUEST_RAM, GUEST_MACHINE, "2m", NORMAL2 & ~ArmStage2.Write);
    expect(stop(readOnly2.mmu.at(address(PAGE), false)).failed).toBe(false);
    expect(stop(readOnly2.mmu.at(address(PAGE), true))).toEqual(at2(0x0c + 2, false));
    expect(describeFault(readOnly2.mmu.fault)).toBe("stage 2 permission fault, level 2");
  });

  it("knows one privilege level in EL2's own tables: XN counts, PXN and AP[1] do not", () => {
    const { mmu, memory } = testElement();
    let next = 0x8000;
    const host = new ArmStage1Tables({ memory, allocate: () => next++ });
    mmu.setHost({ rootFrame: host.rootFrame, inputBits: 48 });
    const attributes = [
      NORMAL | ArmStage1.User,
      NORMAL | ArmStage1.PrivilegedExecuteNever,
      NORMAL | ArmStage1.UserExecuteNever,
    ];
    attributes.forEach((attribute, i) => {
      host.map(PAGE + i, GUEST_MACHINE + i, "4k", attribute);
    });
    const fetched = attributes.map((_, i) => mmu.fetch("el2", address(PAGE + i)) >= 0);
    expect(fetched).toEqual([true, true, false]);
    expect(describeFault(mmu.fault)).toBe("stage 1 permission fault, level 3");
    const table = host.path(PAGE)[1];
    const above = (bit: number) => {
      host.store({ ...table, hi: table.hi | bit });
      mmu.tlbi({ op: "alle2" });
      return mmu.fetch("el2", address(PAGE)) >= 0;
    };
    expect(above(ArmStage1.TablePrivilegedExecuteNever | ArmStage1.TableNoUser)).toBe(true);
    expect(above(ArmStage1.TableUserExecuteNever)).toBe(false);
  });

  it("gathers read-only from a table above", () => {
    const { mmu, stage1 } = mapped("4k", "2m");
    const table = stage1.path(PAGE)[1];
    stage1.store({ ...table, hi: table.hi | ArmStage1.TableReadOnly });
    expect(stop(mmu.at(address(PAGE), true))).toEqual(at1(0x0c + 3));
  });

  it("faults at level 0 outside both halves, beyond the IPA size, and where walks are disabled", () => {
    const { mmu, stage1, stage2 } = mapped("4k", "2m", { vaBits: 39, ipaBits: 40, startLevel: 1 });
    expect(stop(mmu.at(1n << 40n, false))).toEqual(at1(0x04));
    expect(stop(mmu.at((1n << 64n) - (1n << 40n), false))).toEqual(at1(0x04));
    stage1.map(0, 2 ** 28, "4k", NORMAL);
    expect(stop(mmu.at(0n, false))).toEqual(at2(0x04, false));
    const base = { rootFrame: stage1.rootFrame, inputBits: 39, disabled: true };
    const { rootFrame, startLevel } = stage2;
    mmu.setGuest(
      { enabled: true, lower: base, upper: base, asid: 2, outputBits: 48 },
      { rootFrame, ipaBits: 40, startLevel, vmid: 7 },
    );
    expect(stop(mmu.at(address(PAGE), false))).toEqual(at1(0x04));
  });

  it("tells an output address beyond IPS and a table where no RAM is", () => {
    const wide = mapped("4k", "2m");
    wide.stage1.map(PAGE, 2 ** 33, "4k", NORMAL);
    wide.mmu.setGuest(
      {
        enabled: true,
        lower: { rootFrame: wide.stage1.rootFrame, inputBits: 48 },
        upper: null,
        asid: 3,
        outputBits: 44,
      },
      { rootFrame: wide.stage2.rootFrame, ipaBits: 48, startLevel: wide.stage2.startLevel, vmid: 7 },
    );
    expect(stop(wide.mmu.at(address(PAGE), false))).toEqual(at1(0x00 + 3));
    const gone = mapped("4k", "2m");
    // The level 3 table is where stage 2 leads beyond the 4 GiB of RAM.
    gone.stage1.store({ ...gone.stage1.path(PAGE)[2], lo: (0x90000 << 12) | 3, hi: 0 });
    gone.stage2.map(0x90000, 0x200000, "2m", NORMAL2);
    expect(stop(gone.mmu.at(address(PAGE), false))).toEqual(at1(0x14 + 3));
  });

  it("of AT S1E1R is the intermediate physical address, stage 2 of the page unasked", () => {
    const { mmu, stage2 } = mapped("4k", "4k");
    stage2.unmap(GUEST_RAM);
    expect(frameOfPar(mmu.at(address(PAGE), false, 1))).toBe(GUEST_RAM);
    expect(stop(mmu.at(address(PAGE), false))).toEqual(at2(0x07, false));
  });
});

describe("against an obvious walk", () => {
  type World = ReturnType<typeof testElement>;

  /** Frame of one address by the tables alone, permissions and all; -1 for any fault. */
  function obvious({ memory, stage1, stage2 }: World, page: number, write: boolean): number {
    const descend = (
      input: number,
      root: number,
      start: number,
      locate: (frame: number) => number,
      readable: number,
      writable: (lo: number) => boolean,
    ): number => {
      let table = root;
      for (let level = start; level <= 3; level++) {
        const span = 512 ** (3 - level);
        const index = level === start ? Math.floor(input / span) : Math.floor(input / span) % 512;
        const frame = locate(table);
        if (frame < 0) return -1;
        const at = frame * 4096 + index * 8;
        const word = memory.readU64(at);
        const type = Number(word & 3n);
        if ((type & 1) === 0 || (type === 1 && (level === 0 || level === 3))) return -1;
        table = Number((word >> 12n) & 0xfffffffffn);
        if (type === 3 && level < 3) continue;
        const lo = Number(word & 0xfffn);
        if ((lo & 0x400) === 0 || (lo & readable) !== readable || (write && !writable(lo))) return -1;
        return table - (table % span) + (input % span);
      }
      return -1;
    };
    const toMachine = (frame: number, forWrite: boolean) =>
      descend(
        frame,
        stage2.rootFrame,
        stage2.startLevel,
        (table) => table,
        0x40,
        (lo) => !forWrite || (lo & 0x80) !== 0,
      );
    const ipa = descend(
      page,
      stage1.rootFrame,
      stage1.startLevel,
      (table) => toMachine(table, false),
      0,
      (lo) => (lo & 0x80) === 0,
    );
    return ipa < 0 ? -1 : toMachine(ipa, write);
  }

  const change = fc.record({
    stage: fc.constantFrom(1, 2),
    what: fc.constantFrom("map", "unmap", "read-only", "flagless"),
    size: fc.constantFrom(...SIZES),
    page: fc.integer({ min: 0, max: 1023 }),
    frame: fc.integer({ min: 0, max: 1023 }),
  });

  it("finds the same frame or refuses likewise after any changes and a TLBI of everything", () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 12 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 1023 }), fc.boolean()), { minLength: 1, maxLength: 6 }),
        fc.constantFrom([48, 48, 0] as const, [39, 40, 1] as const, [40, 36, 1] as const),
        (changes, accesses, [vaBits, ipaBits, startLevel]) => {
          const world = mapped("2m", "2m", { vaBits, ipaBits, startLevel });
          const { mmu, stage1, stage2 } = world;
          for (const { stage, what, size, page, frame } of changes) {
            const span = { "4k": 1, "2m": 512, "1g": 0x40000 }[size];
            const tables = stage === 1 ? stage1 : stage2;
            const [input, output] = stage === 1 ? [PAGE, GUEST_RAM] : [GUEST_RAM, GUEST_MACHINE];
            const attributes = stage === 1 ? NORMAL : NORMAL2;
            const other =
              what === "flagless"
                ? attributes & ~ArmStage1.AccessFlag
                : what === "read-only"
                  ? stage === 1
                    ? attributes | ArmStage1.ReadOnly
                    : attributes & ~ArmStage2.Write
                  : attributes;
            const at = input + Math.floor(page / span) * span;
            if (what === "unmap") tables.unmap(at);
            else tables.map(at, output + Math.floor(frame / span) * span, size, other);
          }
          mmu.tlbi({ op: "vmalls12e1" });
          for (const [page, write] of [...accesses, ...accesses]) {
            const frame = frameOfPar(mmu.at(address(PAGE + page), write));
            expect(frame).toBe(obvious(world, PAGE + page, write));
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("charges", () => {
  it("a dependent read pays the whole latency, an ordinary one what is not hidden, and the ledger has it all", () => {
    const { mmu, ledger } = mapped("1g", "1g");
    const amount = (run: () => void) => {
      const before = ledger.clock[0];
      run();
      return (ledger.clock[0] - before) / 256;
    };
    mmu.read("el1", address(PAGE));
    mmu.flushCaches();
    // SMALL: L1 4, DRAM 300 cycles, half of a load's miss hidden.
    expect(amount(() => mmu.read("el1", address(PAGE)))).toBe(148);
    expect(amount(() => mmu.read("el1", address(PAGE), true))).toBe(4);
    mmu.flushCaches();
    expect(amount(() => mmu.read("el1", address(PAGE), true))).toBe(300);
    const sum = ledger.rows().reduce((total, { ticks }) => total + ticks, 0);
    expect(sum).toBe(ledger.clock[0]);
    expect(ledger.rows().some(({ cause }) => cause === "dram")).toBe(true);
  });
});
