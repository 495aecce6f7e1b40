import { FaultKind, NptTables, Pte, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Attention, Dirty, Segment, State } from "../../src/cpu-state.js";
import { StopReason } from "../../src/execution-engine.js";
import {
  DescriptorTableAccess,
  Intercept,
  ioInfo,
  RegisterAccess,
  registerInfo,
} from "../../src/guest-mode.js";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { epyc9124 } from "../../src/profiles/index.js";
import {
  CleanBit,
  General1,
  General2,
  msrBit,
  Svm,
  SvmExitCode,
  VIntrBit,
  VmcbOffset,
} from "../../src/svm/index.js";
import { EventKind } from "../../src/virtualized-processor.js";
import { type GuestScript, ScriptedProcessor } from "./scripted-processor.js";

const EFER_LONG = 0x1000 | 0x500 | 1;
const EVENT_VALID = 1 << 31;
const RAX = State.Gpr;
const RSP = State.Gpr + 8;

let processor: ScriptedProcessor;
let svm: Svm;
let npt: NptTables;
let iopm: number;
let msrpm: number;

/** A 64-bit guest with paging, ring 0, everything clean after the first run only if a test says so. */
function setUp(vmcbFrame = 100): Svm {
  npt = new NptTables({ memory: processor.memory, allocate: () => processor.allocate() });
  npt.mapRange(0, 1024, 1024, "4k", Pte.Present | Pte.Write | Pte.User);
  iopm = 200;
  msrpm = 210;
  const made = new Svm(processor, { vmcbFrame, host: processor.host });
  fill(made);
  return made;
}

function fill(made: Svm): void {
  const { vmcb } = made;
  vmcb.set(VmcbOffset.General1Intercepts, 1 << General1.Intr);
  vmcb.set(VmcbOffset.General2Intercepts, (1 << General2.Vmrun) | (1 << General2.Vmmcall));
  vmcb.set64(VmcbOffset.IopmBase, iopm * 4096, 0);
  vmcb.set64(VmcbOffset.MsrpmBase, msrpm * 4096, 0);
  vmcb.set(VmcbOffset.Asid, 7);
  vmcb.set(VmcbOffset.NestedControl, 1);
  vmcb.set64(VmcbOffset.NCr3, npt.rootFrame * 4096, 0);
  vmcb.setSegment(VmcbOffset.Cs, 8, 0xa9b, 0xffffffff, 0, 0);
  for (const at of [VmcbOffset.Es, VmcbOffset.Ss, VmcbOffset.Ds])
    vmcb.setSegment(at, 16, 0xc93, 0xffffffff, 0, 0);
  vmcb.setSegment(VmcbOffset.Gdtr, 0, 0, 0x3f, 0x1000, -1);
  vmcb.setSegment(VmcbOffset.Idtr, 0, 0, 0xfff, 0x2000, -1);
  vmcb.set64(VmcbOffset.Efer, EFER_LONG, 0);
  vmcb.set64(VmcbOffset.Cr0, 0x80010011 | 0, 0);
  vmcb.set64(VmcbOffset.Cr3, 0x5000, 0);
  vmcb.set64(VmcbOffset.Cr4, 0x20, 0);
  vmcb.set64(VmcbOffset.Dr6, 0xffff0ff0 | 0, 0);
  vmcb.set64(VmcbOffset.Dr7, 0x400, 0);
  vmcb.set64(VmcbOffset.Rflags, 2, 0);
  vmcb.set64(VmcbOffset.Rip, 0x100000, 0);
  vmcb.set64(VmcbOffset.Rsp, 0x9000, 0);
}

beforeEach(() => {
  processor = new ScriptedProcessor(epyc9124);
  svm = setUp();
});

function enter(script?: GuestScript, on: Svm = svm) {
  if (script !== undefined) processor.script = script;
  return on.enter(1e9, 1e15);
}

const hypercall: GuestScript = (_, guest) => {
  expect(guest.interceptInstruction(Intercept.Vmmcall, 0, 3)).toBe(true);
  return undefined;
};

describe("VMRUN", () => {
  it("loads the guest's state and gives it back at #VMEXIT", () => {
    let seen: number[] = [];
    svm.vmcb.set64(VmcbOffset.Rax, 0x11, 0x22);
    const exit = enter((p, guest) => {
      const w = p.words;
      seen = [
        w[State.RipLo],
        w[RSP],
        w[RAX],
        w[RAX + 1],
        w[State.Cr3Lo],
        w[State.EferLo],
        w[State.GuestMode],
      ];
      w[RAX] = 0x33;
      w[State.RipLo] = 0x100100;
      return hypercall(p, guest);
    });
    expect(seen).toEqual([0x100000, 0x9000, 0x11, 0x22, 0x5000, EFER_LONG, 1]);
    expect(exit).toMatchObject({ kind: ExitKind.Hypercall, code: 0x81, instructionLength: 3 });
    const { vmcb } = svm;
    expect(vmcb.read("Rax")).toBe(0x22_0000_0033n);
    expect(vmcb.read("Rip")).toBe(0x100100n);
    expect(vmcb.read("NRip")).toBe(0x100103n);
    expect(vmcb.read("ExitCode")).toBe(0x81n);
    expect(processor.words[State.GuestMode]).toBe(0);
    expect(processor.guestMode).toBeNull();
    expect(processor.mmu.context).toBe(processor.host);
    expect(svm.gif).toBe(0);
  });

  it("unpacks segment attributes and packs them again", () => {
    svm.vmcb.setSegment(VmcbOffset.Es, 0, 0, 0, 0, 0);
    enter((p, guest) => {
      const cs = State.Segments + 8 * Segment.Cs;
      expect(p.words[cs + 1]).toBe(0xa09b);
      expect(p.words[State.Segments + 1] & 0x10000).toBe(0x10000);
      return hypercall(p, guest);
    });
    expect(svm.vmcb.half(VmcbOffset.Cs + 2)).toBe(0xa9b);
    expect(svm.vmcb.half(VmcbOffset.Es + 2)).toBe(0);
  });

  it("makes the guest's address space the active one, under the VMCB's ASID and nested root", () => {
    enter((p, guest) => {
      expect(p.mmu.context).toBe(svm.context);
      expect(svm.context).toMatchObject({ asid: 7, paging: 4, rootFrame: 5, user: false });
      expect(svm.context.secondStage).toMatchObject({
        format: "npt",
        rootFrame: npt.rootFrame,
        tag: 0,
        levels: 4,
      });
      return hypercall(p, guest);
    });
  });

  it("charges entry and exit in phases of their own", () => {
    enter(hypercall);
    const since = processor.ledger.snapshot();
    enter();
    const rows = processor.ledger.rows(since);
    const cell = (phase: string, cause: string) =>
      rows.find((row) => row.phase === phase && row.cause === cause)?.ticks;
    expect(cell("vm-entry", "entry-hardware")).toBe(epyc9124.timing.vmentry.value * TICKS_PER_CYCLE);
    expect(cell("vm-exit", "exit-hardware")).toBe(epyc9124.timing.vmexit.value * TICKS_PER_CYCLE);
    // Second round: every line of the VMCB is in L1, so nothing else is charged.
    expect(rows).toHaveLength(2);
    expect(processor.ledger.phaseDepth).toBe(0);
  });

  it("pays for VMCB lines that left the cache", () => {
    enter(hypercall);
    svm.vmcb.markAllClean();
    processor.mmu.flushCaches();
    const since = processor.ledger.snapshot();
    enter((p, guest) => {
      p.words[State.Dirty] |= Dirty.Segments; // the line at 400h, which VMRUN left alone
      return hypercall(p, guest);
    });
    const dram = processor.ledger.rows(since).filter((row) => row.cause === "dram");
    expect(dram.map((row) => row.phase).sort()).toEqual(["vm-entry", "vm-exit"]);
  });

  it("applies the TSC offset to the guest only", () => {
    svm.vmcb.set64(VmcbOffset.TscOffset, -1000, -1);
    enter((p, guest) => {
      expect(p.state.tscOffset).toBe(-1000);
      return hypercall(p, guest);
    });
    expect(processor.state.tscOffset).toBe(0);
  });

  it("carries the virtual TPR in CR8 both ways", () => {
    svm.vmcb.set64(VmcbOffset.VIntr, 5 | VIntrBit.Masking, 0);
    enter((p, guest) => {
      expect(p.words[State.Cr8]).toBe(5);
      p.words[State.Cr8] = 9;
      return hypercall(p, guest);
    });
    expect(svm.vmcb.word(VmcbOffset.VIntr)).toBe(9 | VIntrBit.Masking);
  });

  it("carries the interrupt shadow and reports the guest's IF", () => {
    svm.vmcb.set64(VmcbOffset.InterruptShadow, 1, 0);
    svm.vmcb.set64(VmcbOffset.Rflags, 0x202, 0);
    enter((p, guest) => {
      expect(p.words[State.InterruptShadow]).toBe(1);
      return hypercall(p, guest);
    });
    expect(svm.vmcb.word(VmcbOffset.InterruptShadow)).toBe(3);
  });
});

describe("clean bits", () => {
  it("let VMRUN use the processor's copy instead of memory", () => {
    enter(hypercall);
    svm.vmcb.markAllClean();
    svm.vmcb.store(VmcbOffset.Cr3, 0x7000);
    enter((p, guest) => {
      expect(p.words[State.Cr3Lo]).toBe(0x5000);
      return hypercall(p, guest);
    });
    expect(svm.vmcb.word(VmcbOffset.Cr3)).toBe(0x5000); // #VMEXIT writes what ran
  });

  it("make VMRUN read what is marked dirty", () => {
    enter(hypercall);
    svm.vmcb.markAllClean();
    svm.vmcb.set64(VmcbOffset.Cr3, 0x7000, 0);
    const { syncs } = processor;
    enter((p, guest) => {
      expect(p.words[State.Cr3Lo]).toBe(0x7000);
      expect(svm.context.rootFrame).toBe(7);
      return hypercall(p, guest);
    });
    expect(processor.syncs).toBe(syncs + 1);
  });

  it("spare the recomputation of the address space", () => {
    enter(hypercall);
    svm.vmcb.markAllClean();
    const { syncs } = processor;
    enter();
    expect(processor.syncs).toBe(syncs);
  });

  it("cover intercepts too", () => {
    enter(hypercall);
    svm.vmcb.markAllClean();
    svm.vmcb.store(VmcbOffset.General2Intercepts, 1 << General2.Vmrun);
    enter(hypercall);
    svm.vmcb.markAllClean();
    svm.vmcb.set(VmcbOffset.General2Intercepts, 1 << General2.Vmrun);
    enter((_, guest) => {
      expect(guest.interceptInstruction(Intercept.Vmmcall, 0, 3)).toBe(false);
      return StopReason.Budget;
    });
  });

  it("mean nothing on the first run, after another guest, and after forget()", () => {
    svm.vmcb.store(VmcbOffset.CleanBits, CleanBit.All);
    enter((p, guest) => {
      expect(p.words[State.Cr3Lo]).toBe(0x5000);
      return hypercall(p, guest);
    });
    const first = svm;
    const other = setUp(101);
    other.vmcb.set64(VmcbOffset.Cr3, 0x8000, 0);
    enter(hypercall, other);
    first.vmcb.markAllClean();
    enter((p, guest) => {
      expect(p.words[State.Cr3Lo]).toBe(0x5000);
      return hypercall(p, guest);
    }, first);
    first.vmcb.markAllClean();
    first.vmcb.store(VmcbOffset.Cr3, 0x9000);
    first.forget();
    enter((p, guest) => {
      expect(p.words[State.Cr3Lo]).toBe(0x9000);
      return hypercall(p, guest);
    }, first);
  });

  it("keep the lines of clean groups out of VMRUN", () => {
    enter(hypercall);
    svm.vmcb.markAllClean();
    processor.mmu.flushCaches();
    const since = processor.ledger.snapshot();
    let entry = 0;
    enter((p, guest) => {
      for (const row of p.ledger.rows(since)) if (row.cause === "dram") entry += row.ticks;
      return hypercall(p, guest);
    });
    // Five lines: 040h, 080h, 0C0h, 540h, 5C0h.
    const { dramLatency, l1d, overlap } = processor.profile.memory;
    expect(entry).toBe(5 * (dramLatency - l1d.latency) * (1 - overlap.load) * TICKS_PER_CYCLE);
  });
});

describe("whatever the guest changed, the VMCB holds it after #VMEXIT", () => {
  const pairs: readonly (readonly [keyof typeof VmcbOffset, number, number])[] = [
    ["Rax", RAX, 2],
    ["Rsp", RSP, 2],
    ["Rip", State.RipLo, 2],
    ["Cr0", State.Cr0, 1],
    ["Cr2", State.Cr2Lo, 2],
    ["Cr3", State.Cr3Lo, 2],
    ["Cr4", State.Cr4, 1],
    ["Efer", State.EferLo, 1],
    ["Dr6", State.Dr6, 1],
    ["Dr7", State.Dr7, 1],
    ["GPat", State.PatLo, 2],
  ];
  const DIRTY_OF: Readonly<Record<string, number>> = {
    Cr0: Dirty.Control,
    Cr3: Dirty.Control,
    Cr4: Dirty.Control,
    Efer: Dirty.Control,
    Dr6: Dirty.Debug,
    Dr7: Dirty.Debug,
  };
  const tables = [
    [VmcbOffset.Gdtr, State.GdtrLimit],
    [VmcbOffset.Idtr, State.IdtrLimit],
  ] as const;

  it("property", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(pairs.length - 1), fc.integer(), fc.integer()), { maxLength: 12 }),
        fc.array(
          fc.record({
            segment: fc.nat(3),
            selector: fc.nat(0xffff),
            attributes: fc.nat(0xff),
            high: fc.nat(15),
            unusable: fc.boolean(),
            limit: fc.integer(),
            base: fc.tuple(fc.integer(), fc.integer()),
          }),
          { maxLength: 4 },
        ),
        fc.option(fc.tuple(fc.nat(0xffff), fc.integer(), fc.integer())),
        fc.nat(3),
        fc.boolean(),
        (changes, segments, table, cpl, clean) => {
          fill(svm);
          svm.forget();
          enter(hypercall);
          if (clean) svm.vmcb.markAllClean();
          enter((p, guest) => {
            const w = p.words;
            for (const [which, lo, hi] of changes) {
              const [, word, count] = pairs[which];
              w[word] = lo;
              if (count === 2) w[word + 1] = hi;
              w[State.Dirty] |= DIRTY_OF[pairs[which][0]] ?? 0;
            }
            if (segments.length > 0) w[State.Dirty] |= Dirty.Segments;
            if (table !== null) w[State.Dirty] |= Dirty.DescriptorTables;
            for (const s of segments) {
              const at = State.Segments + 8 * s.segment;
              w[at] = s.selector;
              w[at + 1] = s.attributes | (s.high << 12) | (s.unusable ? 0x10000 : 0);
              w[at + 2] = s.limit;
              [w[at + 3], w[at + 4]] = s.base;
            }
            if (table !== null) for (const [, word] of tables) [w[word], w[word + 1], w[word + 2]] = table;
            w[State.Cpl] = cpl;
            return hypercall(p, guest);
          });
          const { vmcb } = svm;
          const w = processor.words;
          for (const [name, word, count] of pairs) {
            expect(vmcb.word(VmcbOffset[name]), name).toBe(w[word]);
            expect(vmcb.wordHi(VmcbOffset[name]), name).toBe(count === 2 ? w[word + 1] : 0);
          }
          for (let s = 0; s < 4; s++) {
            const at = State.Segments + 8 * s;
            const field = VmcbOffset.Es + 16 * s;
            const present = (w[at + 1] & 0x10000) !== 0 ? 0x7f : 0xff;
            expect(vmcb.half(field)).toBe(w[at]);
            expect(vmcb.half(field + 2)).toBe((w[at + 1] & present) | ((w[at + 1] >>> 4) & 0xf00));
            expect([vmcb.word(field + 4), vmcb.word(field + 8), vmcb.word(field + 12)]).toEqual([
              w[at + 2],
              w[at + 3],
              w[at + 4],
            ]);
          }
          for (const [field, word] of tables)
            expect([vmcb.word(field + 4), vmcb.word(field + 8), vmcb.word(field + 12)]).toEqual([
              w[word],
              w[word + 1],
              w[word + 2],
            ]);
          expect(vmcb.byte(VmcbOffset.Cpl)).toBe(cpl);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("intercepts", () => {
  const ask = (event: number, info: number, length = 2, expected = true) => {
    const exit = enter((_, guest) => {
      expect(guest.interceptInstruction(event, info, length)).toBe(expected);
      return expected ? undefined : StopReason.Budget;
    });
    return { ...exit };
  };
  const general1 = (bit: number) => svm.vmcb.set(VmcbOffset.General1Intercepts, 1 << bit);
  const general2 = (bit: number) =>
    svm.vmcb.set(VmcbOffset.General2Intercepts, (1 << General2.Vmrun) | (1 << bit));

  it.each([
    ["CPUID", Intercept.Cpuid, General1.Cpuid, 0x72, ExitKind.Cpuid],
    ["HLT", Intercept.Hlt, General1.Hlt, 0x78, ExitKind.Hlt],
    ["RDTSC", Intercept.Rdtsc, General1.Rdtsc, 0x6e, ExitKind.Other],
    ["RDPMC", Intercept.Rdpmc, General1.Rdpmc, 0x6f, ExitKind.Other],
    ["INVD", Intercept.Invd, General1.Invd, 0x76, ExitKind.Other],
    ["PAUSE", Intercept.Pause, General1.Pause, 0x77, ExitKind.Other],
    ["INVLPG", Intercept.Invlpg, General1.Invlpg, 0x79, ExitKind.Other],
    ["PUSHF", Intercept.Pushf, General1.Pushf, 0x70, ExitKind.Other],
    ["POPF", Intercept.Popf, General1.Popf, 0x71, ExitKind.Other],
    ["IRET", Intercept.Iret, General1.Iret, 0x74, ExitKind.Other],
    ["INT n", Intercept.SoftwareInterrupt, General1.Swint, 0x75, ExitKind.Other],
    ["task switch", Intercept.TaskSwitch, General1.TaskSwitch, 0x7d, ExitKind.Other],
    ["shutdown", Intercept.Shutdown, General1.Shutdown, 0x7f, ExitKind.Shutdown],
  ])("%s leaves by its bit of vector 3", (_, event, bit, code, kind) => {
    general1(bit);
    expect(ask(event, 0)).toMatchObject({ code, kind });
    general1(General1.Smi);
    expect(ask(event, 0, 2, false)).toMatchObject({ kind: ExitKind.EngineStop });
  });

  it.each([
    ["VMMCALL", Intercept.Vmmcall, General2.Vmmcall, 0x81],
    ["RDTSCP", Intercept.Rdtscp, General2.Rdtscp, 0x87],
    ["WBINVD", Intercept.Wbinvd, General2.Wbinvd, 0x89],
    ["MONITOR", Intercept.Monitor, General2.Monitor, 0x8a],
    ["MWAIT", Intercept.Mwait, General2.Mwait, 0x8b],
    ["XSETBV", Intercept.Xsetbv, General2.Xsetbv, 0x8d],
    ["INT1", Intercept.Icebp, General2.Icebp, 0x88],
  ])("%s leaves by its bit of vector 4", (_, event, bit, code) => {
    general2(bit);
    expect(ask(event, 0).code).toBe(code);
    general2(14);
    ask(event, 0, 2, false);
  });

  it("INVLPG gives its linear address", () => {
    general1(General1.Invlpg);
    processor.interceptAddressLo = 0x1234;
    processor.interceptAddressHi = -2;
    expect(ask(Intercept.Invlpg, 0)).toMatchObject({ info1Lo: 0x1234, info1Hi: -2 });
  });

  it("INVPCID leaves by its bit of vector 5", () => {
    svm.vmcb.set(VmcbOffset.General3Intercepts, 4);
    expect(ask(Intercept.Invpcid, 0).code).toBe(0xa2);
  });

  it("never takes VMCALL or a VMX instruction: they are undefined here", () => {
    svm.vmcb.set(VmcbOffset.General1Intercepts, -1);
    svm.vmcb.set(VmcbOffset.General2Intercepts, -1);
    ask(Intercept.Vmcall, 0, 3, false);
    svm = setUp(101);
    ask(Intercept.VmxInstruction, 27, 3, false);
  });

  it.each([
    [0, General2.Vmrun, 0x80],
    [2, General2.Vmload, 0x82],
    [3, General2.Vmsave, 0x83],
    [4, General2.Stgi, 0x84],
    [5, General2.Clgi, 0x85],
    [6, General2.Skinit, 0x86],
  ])("SVM instruction %i leaves", (info, bit, code) => {
    general2(bit);
    expect(ask(Intercept.SvmInstruction, info, 3).code).toBe(code);
  });

  it("INVLPGA leaves by vector 3", () => {
    general1(General1.Invlpga);
    expect(ask(Intercept.SvmInstruction, 7, 3).code).toBe(0x7a);
  });

  it.each(Object.entries(DescriptorTableAccess))("%s leaves", (_, info) => {
    general1(6 + info);
    expect(ask(Intercept.DescriptorTable, info, 4).code).toBe(0x66 + info);
  });

  it("counts PAUSE down by the filter", () => {
    general1(General1.Pause);
    svm.vmcb.set(VmcbOffset.PauseFilterCount, 2);
    const answers: boolean[] = [];
    enter((_, guest) => {
      for (let i = 0; i < 3; i++) answers.push(guest.interceptInstruction(Intercept.Pause, 0, 2));
      return undefined;
    });
    expect(answers).toEqual([false, false, true]);
  });

  it("starts the filter anew when a PAUSE comes later than the threshold", () => {
    general1(General1.Pause);
    svm.vmcb.set(VmcbOffset.PauseFilterCount, 1);
    svm.vmcb.set(VmcbOffset.PauseFilterThreshold, 100);
    const answers: boolean[] = [];
    enter((p, guest) => {
      const pause = (cycles: number): void => {
        p.ledger.charge(0, cycles * TICKS_PER_CYCLE);
        answers.push(guest.interceptInstruction(Intercept.Pause, 0, 2));
      };
      [101, 101, 101, 99].forEach(pause);
      return undefined;
    });
    expect(answers).toEqual([false, false, false, true]);
  });

  it("stale pause counts are used while the clean bit says so", () => {
    general1(General1.Pause);
    enter(hypercall);
    svm.vmcb.markAllClean();
    svm.vmcb.store(VmcbOffset.PauseFilterThreshold, 5 << 16);
    ask(Intercept.Pause, 0);
  });

  describe("control registers", () => {
    it("give the general register and bit 63 for MOV", () => {
      svm.vmcb.set(VmcbOffset.CrIntercepts, (1 << 3) | (1 << (16 + 4)));
      expect(ask(Intercept.CrRead, registerInfo(3, 9, RegisterAccess.MovFrom), 3)).toMatchObject({
        code: 0x03,
        kind: ExitKind.CrAccess,
        info1Lo: 9,
        info1Hi: 1 << 31,
      });
      expect(ask(Intercept.CrWrite, registerInfo(4, 2, RegisterAccess.MovTo), 3)).toMatchObject({
        code: 0x14,
        info1Lo: 2,
      });
      ask(Intercept.CrWrite, registerInfo(3, 0, RegisterAccess.MovTo), 3, false);
    });
    it("give nothing for CLTS and LMSW", () => {
      svm.vmcb.set(VmcbOffset.CrIntercepts, 1 << 16);
      expect(ask(Intercept.CrWrite, registerInfo(0, 0, RegisterAccess.Clts), 2)).toMatchObject({
        code: 0x10,
        info1Lo: 0,
        info1Hi: 0,
      });
    });
    it("selective: only writes that change more than TS and MP", () => {
      general1(General1.Cr0Selective);
      const write = (value: number, expected: boolean) => {
        const answers: boolean[] = [];
        enter((p, guest) => {
          p.words[State.Gpr + 2 * 3] = value;
          answers.push(
            guest.interceptInstruction(Intercept.CrWrite, registerInfo(0, 3, RegisterAccess.MovTo), 3),
          );
          return expected ? undefined : StopReason.Budget;
        });
        expect(answers).toEqual([expected]);
        if (expected) expect(svm.vmcb.read("ExitCode")).toBe(0x65n);
      };
      write(0x80010011 | 0xa | 0, false);
      write(0x80000011 | 0, true);
    });
  });

  it("debug registers", () => {
    svm.vmcb.set(VmcbOffset.DrIntercepts, (1 << 7) | (1 << (16 + 6)));
    expect(ask(Intercept.DrAccess, registerInfo(7, 1, RegisterAccess.MovFrom), 3)).toMatchObject({
      code: 0x27,
      info1Lo: 1,
    });
    expect(ask(Intercept.DrAccess, registerInfo(6, 1, RegisterAccess.MovTo), 3).code).toBe(0x36);
  });

  describe("I/O", () => {
    it("asks the map in memory, for every byte of the access", () => {
      general1(General1.Ioio);
      processor.memory.writeU8(iopm * 4096 + (0x3f8 >> 3), 1 << 3); // port 3FBh
      const exit = ask(Intercept.IoWrite, ioInfo(0x3f8, 4, false, false, false, 3), 1);
      expect(exit).toMatchObject({
        code: 0x7b,
        kind: ExitKind.Io,
        info1Lo: (0x3f8 << 16) | 0x240,
        info2Lo: 0x100001,
      });
      ask(Intercept.IoWrite, ioInfo(0x3f8, 2, false, false), 1, false);
    });
    it("reports direction, string and repeat", () => {
      general1(General1.Ioio);
      processor.memory.writeU8(iopm * 4096 + (0xe9 >> 3), 0xff);
      expect(ask(Intercept.IoRead, ioInfo(0xe9, 1, true, true, false, 3, Segment.Fs), 2).info1Lo).toBe(
        (0xe9 << 16) | (Segment.Fs << 10) | 0x200 | 0x10 | 8 | 4 | 1,
      );
    });
    it("reaches past port FFFFh", () => {
      general1(General1.Ioio);
      processor.memory.writeU8(iopm * 4096 + 8192, 1);
      ask(Intercept.IoRead, ioInfo(0xffff, 2, false, false), 1);
    });
  });

  describe("MSRs", () => {
    const access = (msr: number, write: boolean, expected: boolean) => {
      const exit = enter((p, guest) => {
        p.words[State.Gpr + 2] = msr;
        expect(guest.interceptInstruction(write ? Intercept.Wrmsr : Intercept.Rdmsr, 0, 2)).toBe(expected);
        return expected ? undefined : StopReason.Budget;
      });
      return { ...exit };
    };
    it("asks the map in memory, reads and writes apart", () => {
      general1(General1.Msr);
      const bit = msrBit(0xc0000080);
      expect(bit).toBe(0x800 * 8 + 0x100);
      processor.memory.writeU8(msrpm * 4096 + (bit >> 3), 2 << (bit & 7));
      expect(access(0xc0000080, true, true)).toMatchObject({ code: 0x7c, kind: ExitKind.Wrmsr, info1Lo: 1 });
      access(0xc0000080, false, false);
    });
    it("always leaves for MSRs that the map does not cover", () => {
      general1(General1.Msr);
      expect(access(0x40000000, true, true).kind).toBe(ExitKind.Wrmsr);
      expect(access(0xdeadbeef | 0, false, true)).toMatchObject({ kind: ExitKind.Rdmsr, info1Lo: 0 });
    });
  });

  it("exceptions leave with error code, and #PF with its address", () => {
    svm.vmcb.set(VmcbOffset.ExceptionIntercepts, (1 << 14) | (1 << 6));
    const exit = enter((_, guest) => {
      expect(guest.interceptException(13, 0x10, true, 0, 0)).toBe(false);
      expect(guest.interceptException(14, 0x7, true, 0x1234, 5)).toBe(true);
      return undefined;
    });
    expect(exit).toMatchObject({
      kind: ExitKind.Exception,
      code: 0x4e,
      info1Lo: 7,
      info2Lo: 0x1234,
      info2Hi: 5,
    });
    expect(svm.vmcb.read("NRip")).toBe(0n);
  });
});

describe("nested page faults", () => {
  it("report the guest-physical address and how it was reached", () => {
    const exit = enter((p, guest) => {
      p.mmu.fault.kind = FaultKind.NestedPageFault;
      p.mmu.fault.errorCode = 0x6;
      p.mmu.fault.infoHi = 1;
      p.mmu.fault.gfn = 0x123456;
      p.mmu.fault.gfnOffset = 0x78;
      guest.secondStageFault();
      return undefined;
    });
    expect(exit).toMatchObject({ kind: ExitKind.SecondStageFault, code: SvmExitCode.Npf });
    expect(svm.vmcb.read("ExitInfo1")).toBe(0x1_0000_0006n);
    expect(svm.vmcb.read("ExitInfo2")).toBe(0x1_2345_6078n);
  });

  it("come from the real tables", () => {
    svm.vmcb.set64(VmcbOffset.Cr0, 0x11, 0); // paging off: linear is guest-physical
    svm.vmcb.set64(VmcbOffset.Efer, 0x1000, 0);
    svm.vmcb.set64(VmcbOffset.Cr4, 0, 0);
    enter((p, guest) => {
      expect(p.mmu.read(0x800000, 0, 8)).toBe(-1);
      guest.secondStageFault();
      return undefined;
    });
    expect(svm.vmcb.read("ExitCode")).toBe(0x400n);
    expect(svm.vmcb.read("ExitInfo1")).toBe(0x1_0000_0004n);
    expect(svm.vmcb.read("ExitInfo2")).toBe(0x800000n);
  });

  it("carry the instruction bytes", () => {
    svm.vmcb.set64(VmcbOffset.Cr0, 0x11, 0);
    svm.vmcb.set64(VmcbOffset.Efer, 0x1000, 0);
    svm.vmcb.set64(VmcbOffset.Cr4, 0, 0);
    svm.vmcb.set64(VmcbOffset.Rip, 0x3ffa, 0);
    processor.memory.writeBytes((1024 + 3) * 4096 + 0xffa, new Uint8Array([1, 2, 3, 4, 5, 6]));
    enter((p, guest) => {
      p.mmu.read(0x800000, 0, 8);
      guest.secondStageFault();
      return undefined;
    });
    expect(svm.vmcb.byte(VmcbOffset.GuestInstructionLength)).toBe(6);
    expect([0, 1, 5].map((i) => svm.vmcb.byte(VmcbOffset.GuestInstructionBytes + i))).toEqual([1, 2, 6]);
    svm.vmcb.set64(VmcbOffset.Rip, 0x100000, 0);
    enter(hypercall);
    expect(svm.vmcb.byte(VmcbOffset.GuestInstructionLength)).toBe(0);
  });
});

describe("event injection", () => {
  it("delivers before the first instruction and clears EVENTINJ at exit", () => {
    svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | (3 << 8) | 0x800 | 14, 0x5);
    enter((p, guest) => {
      expect(p.delivered).toEqual([[EventKind.HardwareException, 14, 5, 0]]);
      return hypercall(p, guest);
    });
    expect(svm.vmcb.read("EventInj")).toBe(0n);
    expect(svm.vmcb.read("ExitIntInfo")).toBe(0n);
    enter(hypercall);
    expect(processor.delivered).toHaveLength(1);
  });

  it("reports in EXITINTINFO what was under delivery when the guest left", () => {
    const event = EVENT_VALID | 0x31;
    svm.vmcb.set64(VmcbOffset.EventInj, event, 0);
    processor.onDelivery = (guest) => {
      guest.secondStageFault();
      return true;
    };
    processor.mmu.fault.kind = FaultKind.NestedPageFault;
    const exit = enter(() => expect.unreachable("the guest must not run"));
    expect(exit.kind).toBe(ExitKind.SecondStageFault);
    expect(svm.vmcb.word(VmcbOffset.ExitIntInfo)).toBe(event);
    processor.onDelivery = undefined;
    enter(hypercall);
    expect(svm.vmcb.word(VmcbOffset.ExitIntInfo)).toBe(0);
  });
});

describe("interrupts", () => {
  it("a physical one leaves the guest when intercepted", () => {
    svm.vmcb.set64(VmcbOffset.VIntr, VIntrBit.Masking, 0);
    const exit = enter((p, guest) => {
      svm.raiseInterrupt();
      expect(p.words[State.Attention] & Attention.Interrupt).not.toBe(0);
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
    expect(exit).toMatchObject({ kind: ExitKind.ExternalInterrupt, code: 0x60, instructionLength: 0 });
    expect(processor.words[State.Attention] & Attention.Interrupt).toBe(0);
  });

  it("without V_INTR_MASKING the guest's IF masks physical ones too", () => {
    const exit = enter((p, guest) => {
      svm.raiseInterrupt();
      expect(guest.externalEvent()).toBe(false);
      p.words[State.Flags] = 0x202;
      p.words[State.InterruptShadow] = 1;
      expect(guest.externalEvent()).toBe(false);
      p.words[State.InterruptShadow] = 0;
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
    expect(exit.code).toBe(SvmExitCode.Intr);
  });

  it("a physical one that is not intercepted goes to the guest's IDT", () => {
    svm.vmcb.set(VmcbOffset.General1Intercepts, 0);
    svm.vmcb.set64(VmcbOffset.Rflags, 0x202, 0);
    enter((p, guest) => {
      svm.raiseInterrupt(0x31);
      expect(guest.externalEvent()).toBe(false);
      expect(p.delivered).toEqual([[EventKind.ExternalInterrupt, 0x31, -1, 0]]);
      expect(p.words[State.Attention] & Attention.Interrupt).toBe(0);
      return hypercall(p, guest);
    });
  });

  it("an NMI leaves when intercepted, before an interrupt", () => {
    svm.vmcb.set(VmcbOffset.General1Intercepts, (1 << General1.Nmi) | (1 << General1.Intr));
    svm.vmcb.set64(VmcbOffset.VIntr, VIntrBit.Masking, 0);
    svm.raiseNmi();
    svm.raiseInterrupt(0x31);
    const ask: GuestScript = (_, guest) => {
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    };
    expect(enter(ask).code).toBe(SvmExitCode.Nmi);
    expect(enter(ask).code).toBe(SvmExitCode.Intr);
  });

  it("an NMI that is not intercepted blocks others", () => {
    svm.raiseNmi();
    enter((p, guest) => {
      expect(guest.externalEvent()).toBe(false);
      svm.raiseNmi();
      expect(guest.externalEvent()).toBe(false);
      expect(p.delivered).toEqual([[EventKind.Nmi, 2, -1, 0]]);
      expect(p.words[State.NmiBlocked]).toBe(1);
      return hypercall(p, guest);
    });
  });

  it("INIT leaves when intercepted and waits otherwise", () => {
    svm.raiseInit();
    enter((p, guest) => {
      expect(guest.externalEvent()).toBe(false);
      return hypercall(p, guest);
    });
    svm.vmcb.set(VmcbOffset.General1Intercepts, 1 << General1.Init);
    const exit = enter((_, guest) => {
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
    expect(exit.code).toBe(SvmExitCode.Init);
  });

  it("all wait while the guest has cleared GIF", () => {
    svm.vmcb.set64(VmcbOffset.VIntr, VIntrBit.Masking, 0);
    enter((p, guest) => {
      guest.performs?.(5); // CLGI
      svm.raiseInterrupt();
      expect(guest.externalEvent()).toBe(false);
      guest.performs?.(4); // STGI
      expect(p.words[State.Attention] & Attention.Interrupt).not.toBe(0);
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
  });

  it("a virtual one waits for IF, the shadow and the priority, and is delivered by its vector", () => {
    svm.vmcb.set64(VmcbOffset.VIntr, VIntrBit.Masking | VIntrBit.Irq | (4 << 16), 0x51);
    svm.vmcb.set64(VmcbOffset.Rflags, 2, 0);
    enter((p, guest) => {
      expect(p.words[State.Attention] & Attention.Interrupt).not.toBe(0);
      expect(guest.externalEvent()).toBe(false);
      p.words[State.Flags] = 0x202;
      p.words[State.InterruptShadow] = 1;
      expect(guest.externalEvent()).toBe(false);
      p.words[State.InterruptShadow] = 0;
      p.words[State.Cr8] = 4;
      expect(guest.externalEvent()).toBe(false);
      p.words[State.Cr8] = 3;
      expect(p.delivered).toEqual([]);
      expect(guest.externalEvent()).toBe(false);
      expect(p.delivered).toEqual([[0, 0x51, -1, 0]]);
      return hypercall(p, guest);
    });
    expect(svm.vmcb.word(VmcbOffset.VIntr) & 0x100).toBe(0);
  });

  it("a virtual one leaves instead when VINTR is intercepted", () => {
    svm.vmcb.set(VmcbOffset.General1Intercepts, 1 << General1.VIntr);
    svm.vmcb.set64(VmcbOffset.VIntr, 0x100 | (4 << 16), 0x51);
    svm.vmcb.set64(VmcbOffset.Rflags, 0x202, 0);
    const exit = enter((_, guest) => {
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
    expect(exit.code).toBe(0x64);
    expect(svm.vmcb.word(VmcbOffset.VIntr) & 0x100).toBe(0x100);
    // With V_IRQ taken away nothing waits any more; with it there, the next VMRUN looks for it.
    enter((p, guest) => {
      expect(p.words[State.Attention] & Attention.Interrupt).not.toBe(0);
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
    svm.vmcb.set64(VmcbOffset.VIntr, 0, 0);
    enter((p, guest) => {
      expect(p.words[State.Attention] & Attention.Interrupt).toBe(0);
      return hypercall(p, guest);
    });
  });
});

describe("TLB_CONTROL", () => {
  const SPACE = [7, 8] as const;
  it.each([
    [0, [true, true]],
    [1, [false, false]],
    [3, [false, true]],
    [7, [false, true]],
  ] as const)("%i keeps ASIDs 7, 8: %j", (control, kept) => {
    const { mmu } = processor;
    const contexts = SPACE.map((asid) => {
      const context = mmu.createContext();
      context.asid = asid;
      mmu.activate(context);
      mmu.read(0x3000, 0, 8);
      return context;
    });
    mmu.activate(processor.host);
    svm.vmcb.set(VmcbOffset.TlbControl, control);
    enter(hypercall);
    const missed = contexts.map((context) => {
      mmu.activate(context);
      const before = mmu.counters.slice();
      mmu.read(0x3000, 0, 8);
      return mmu.counters.some((count, i) => count !== before[i]);
    });
    expect(missed).toEqual(kept.map((k) => !k));
    mmu.activate(processor.host);
  });
});

describe("VMEXIT_INVALID", () => {
  const cases: [string, () => void][] = [
    ["EFER.SVME clear", () => svm.vmcb.set64(VmcbOffset.Efer, 0x500, 0)],
    ["EFER reserved bit", () => svm.vmcb.set64(VmcbOffset.Efer, EFER_LONG | 2, 0)],
    ["CR0.NW without CD", () => svm.vmcb.set64(VmcbOffset.Cr0, 0xa0010011 | 0, 0)],
    ["CR0 above 32 bits", () => svm.vmcb.set64(VmcbOffset.Cr0, 0x11, 1)],
    ["CR4 reserved bit", () => svm.vmcb.set64(VmcbOffset.Cr4, 0x20 | (1 << 15), 0)],
    ["DR6 above 32 bits", () => svm.vmcb.set64(VmcbOffset.Dr6, 0, 1)],
    ["DR7 above 32 bits", () => svm.vmcb.set64(VmcbOffset.Dr7, 0x400, 1)],
    ["long mode with paging but no PAE", () => svm.vmcb.set64(VmcbOffset.Cr4, 0, 0)],
    ["long mode with paging but no PE", () => svm.vmcb.set64(VmcbOffset.Cr0, 0x80010010 | 0, 0)],
    ["CS.L and CS.D", () => svm.vmcb.setSegment(VmcbOffset.Cs, 8, 0xe9b, -1, 0, 0)],
    ["no VMRUN intercept", () => svm.vmcb.set(VmcbOffset.General2Intercepts, 2)],
    ["ASID 0", () => svm.vmcb.set(VmcbOffset.Asid, 0)],
    ["ASID beyond NASID", () => svm.vmcb.set(VmcbOffset.Asid, 32768)],
    ["reserved TLB_CONTROL", () => svm.vmcb.set(VmcbOffset.TlbControl, 2)],
    ["injected exception 32", () => svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | (3 << 8) | 32, 0)],
    ["injected exception NMI", () => svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | (3 << 8) | 2, 0)],
    ["reserved event kind", () => svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | (1 << 8), 0)],
  ];
  it.each(cases)("%s", (_, breakIt) => {
    breakIt();
    const before = svm.vmcb.read("Rip");
    const exit = enter(() => expect.unreachable("the guest must not run"));
    expect(exit).toMatchObject({ kind: ExitKind.InvalidState, code: -1 });
    expect(svm.vmcb.read("ExitCode")).toBe(0xffff_ffff_ffff_ffffn);
    expect(svm.vmcb.read("Rip")).toBe(before);
    expect(processor.mmu.context).toBe(processor.host);
    expect(processor.guestMode).toBeNull();
    expect(processor.ledger.phaseDepth).toBe(0);
  });
  it("is gone when the state is mended", () => {
    svm.vmcb.set(VmcbOffset.Asid, 0);
    enter();
    svm.vmcb.set(VmcbOffset.Asid, 1);
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });
});

describe("VMLOAD and VMSAVE", () => {
  it("move the state that VMRUN does not", () => {
    const { vmcb } = svm;
    vmcb.setSegment(VmcbOffset.Tr, 0x40, 0x8b, 0x67, 0x1000, -1);
    vmcb.setSegment(VmcbOffset.Gs, 0, 0xc93, -1, 0x2000, 3);
    vmcb.set64(VmcbOffset.KernelGsBase, 0x3000, -2);
    vmcb.set64(VmcbOffset.Star, 1, 0x00230010);
    vmcb.set64(VmcbOffset.Lstar, 0x4000, -3);
    vmcb.set64(VmcbOffset.Sfmask, 0x47700, 0);
    vmcb.set64(VmcbOffset.SysenterEip, 0x5000, -4);
    enter((p, guest) => {
      expect(p.words[State.LstarLo]).toBe(0);
      return hypercall(p, guest);
    });
    svm.vmload();
    const w = processor.words;
    expect([w[State.KernelGsBaseLo], w[State.KernelGsBaseHi], w[State.StarHi]]).toEqual([
      0x3000, -2, 0x00230010,
    ]);
    expect([w[State.LstarLo], w[State.FmaskLo], w[State.SysenterEipHi]]).toEqual([0x4000, 0x47700, -4]);
    const tr = State.Segments + 8 * Segment.Tr;
    expect([...w.subarray(tr, tr + 5)]).toEqual([0x40, 0x8b, 0x67, 0x1000, -1]);
    w[State.LstarLo] = 0x4444;
    w[State.Segments + 8 * Segment.Gs + 3] = 0x2222;
    svm.vmsave();
    expect(vmcb.word(VmcbOffset.Lstar)).toBe(0x4444);
    expect(vmcb.word(VmcbOffset.Gs + 8)).toBe(0x2222);
    expect(vmcb.half(VmcbOffset.Tr + 2)).toBe(0x8b);
  });
});

describe("a run that stops without a VM exit", () => {
  it("goes on at the next enter, without another VMRUN", () => {
    const exit = enter((p) => {
      p.words[State.RipLo] = 0x100010;
      return StopReason.Budget;
    });
    expect(exit).toMatchObject({ kind: ExitKind.EngineStop, stop: StopReason.Budget });
    expect(processor.mmu.context).toBe(processor.host);
    expect(svm.vmcb.read("Rip")).toBe(0x100000n);
    const since = processor.ledger.snapshot();
    enter((p, guest) => {
      expect(p.words[State.RipLo]).toBe(0x100010);
      expect(p.ledger.rows(since)).toEqual([]);
      return hypercall(p, guest);
    });
    expect(svm.vmcb.read("Rip")).toBe(0x100010n);
  });

  it("can be put into a snapshot and resumed", () => {
    svm.vmcb.set64(VmcbOffset.TscOffset, 500, 0);
    enter(() => StopReason.Budget);
    const saved = svm.snapshot();
    const words = processor.words.slice();
    const again = new Svm(processor, { vmcbFrame: 100, host: processor.host });
    processor.words.set(words);
    again.restore(JSON.parse(JSON.stringify(saved)));
    expect(again.snapshot()).toEqual(saved);
    const exit = enter((p, guest) => {
      expect(p.state.tscOffset).toBe(500);
      expect(p.mmu.context).toBe(again.context);
      expect(again.context.secondStage?.rootFrame).toBe(npt.rootFrame);
      return hypercall(p, guest);
    }, again);
    expect(exit.kind).toBe(ExitKind.Hypercall);
  });
});

describe("a host that has registers", () => {
  it("gets them back from VM_HSAVE_PA", () => {
    const w = processor.words;
    svm = new Svm(processor, { vmcbFrame: 100, host: processor.host, hostSaveFrame: 101 });
    w[State.RipLo] = 0x777;
    w[State.Cr3Lo] = 0x6000;
    w[RSP] = 0x888;
    w[State.Gpr + 2] = 0x999; // RCX is not switched
    w[State.Cr2Lo] = 1;
    enter((p, guest) => {
      expect(p.words[State.RipLo]).toBe(0x100000);
      expect(p.words[State.Gpr + 2]).toBe(0x999);
      p.words[State.Cr2Lo] = 2;
      return hypercall(p, guest);
    });
    expect([w[State.RipLo], w[State.Cr3Lo], w[RSP], w[State.Dr7], w[State.Cr2Lo]]).toEqual([
      0x777, 0x6000, 0x888, 0x400, 2,
    ]);
    expect(processor.memory.readU32(101 * 4096 + 0x578)).toBe(0x777);
    svm.vmcb.markAllClean();
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });
});

describe("set-up errors", () => {
  it("a host that does not map the VMCB is named", () => {
    const bare = processor.mmu.createContext();
    bare.paging = 4;
    bare.rootFrame = 300;
    svm = new Svm(processor, { vmcbFrame: 100, host: bare });
    expect(() => enter(hypercall)).toThrow(expect.objectContaining({ code: "HOST_UNMAPPED" }));
  });
  it("a host without paging is reached by physical address", () => {
    const bare = processor.mmu.createContext();
    svm = new Svm(processor, { vmcbFrame: 100, host: bare });
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });
});

describe("host memory", () => {
  it("is not allocated by enter()", () => {
    processor.script = (_, guest) => {
      guest.interceptInstruction(Intercept.Vmmcall, 0, 3);
      return undefined;
    };
    const rounds = (count: number) => {
      for (let i = 0; i < count; i++) {
        svm.enter(1e9, 1e15);
        svm.vmcb.markAllClean();
      }
    };
    rounds(30_000);
    const before = process.memoryUsage().heapUsed;
    rounds(100_000);
    // The smallest object is 16 bytes; the rest is the test runner's own.
    expect((process.memoryUsage().heapUsed - before) / 100_000).toBeLessThan(8);
  });
});
