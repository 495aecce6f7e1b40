import { Ept, EptTables, FaultKind, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
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
import { skylakeSp } from "../../src/profiles/index.js";
import { EventKind } from "../../src/virtualized-processor.js";
import {
  adjustControls,
  CAPABILITIES,
  ENTRY_FAILURE,
  EntryControl,
  ExitControl,
  ExtendedPageTableTags,
  FieldKind,
  InstructionError,
  PinControl,
  PrimaryControl,
  SecondaryControl,
  VMCS_FIELDS,
  VmcsField,
  Vmx,
  type VmxOptions,
} from "../../src/vmx/index.js";
import { type GuestScript, ScriptedProcessor } from "../svm/scripted-processor.js";

const VALID = 1 << 31;
const RSP = State.Gpr + 8;
const LONG = 0xd01;

let processor: ScriptedProcessor;
let vmx: Vmx;
let ept: EptTables;
let tags: ExtendedPageTableTags;
let ioA: number;
let ioB: number;
let msrBitmap: number;

function controls(primary = 0, secondary = 0): void {
  const { vmcs } = vmx;
  vmcs.write(
    VmcsField.PrimaryControls,
    adjustControls(
      PrimaryControl.Secondary | PrimaryControl.UseMsrBitmaps | PrimaryControl.UseIoBitmaps | primary,
      CAPABILITIES.primary,
    ),
  );
  vmcs.write(
    VmcsField.SecondaryControls,
    SecondaryControl.EnableEpt | SecondaryControl.EnableVpid | SecondaryControl.UnrestrictedGuest | secondary,
  );
}

/** A 64-bit guest in ring 0 under EPT and a VPID. */
function setUp(vmcsFrame = 100, options: Partial<VmxOptions> = {}): Vmx {
  ept = new EptTables({ memory: processor.memory, allocate: () => processor.allocate() });
  ept.mapRange(0, 1024, 1024, "4k", Ept.All | Ept.WriteBack);
  [ioA, ioB, msrBitmap] = [200, 201, 202];
  vmx = new Vmx(processor, { vmcsFrame, host: processor.host, eptTags: tags, ...options });
  fill();
  return vmx;
}

function fill(): void {
  const { vmcs } = vmx;
  for (const { encoding, kind } of VMCS_FIELDS) if (kind === FieldKind.GuestState) vmcs.write(encoding, 0);
  const w = (field: keyof typeof VmcsField, lo: number, hi = 0) =>
    expect(vmcs.write(VmcsField[field], lo, hi), field).toBe(0);
  w("PinBasedControls", adjustControls(PinControl.ExternalInterruptExiting, CAPABILITIES.pin));
  controls();
  w(
    "ExitControls",
    adjustControls(
      ExitControl.HostAddressSpaceSize |
        ExitControl.SaveEfer |
        ExitControl.LoadEfer |
        ExitControl.SaveDebugControls,
      CAPABILITIES.exit,
    ),
  );
  w(
    "EntryControls",
    adjustControls(
      EntryControl.LoadEfer | EntryControl.Ia32eModeGuest | EntryControl.LoadDebugControls,
      CAPABILITIES.entry,
    ),
  );
  w("Vpid", 7);
  w("EptPointer", ept.rootFrame * 4096 + 0x1e);
  w("IoBitmapA", ioA * 4096);
  w("IoBitmapB", ioB * 4096);
  w("MsrBitmap", msrBitmap * 4096);
  w("VmcsLinkPointer", -1, -1);
  w("Cr4Mask", 0x2000);
  w("GuestCr0", 0x80010031 | 0);
  w("GuestCr3", 0x5000);
  w("GuestCr4", 0x2020);
  w("GuestEfer", LONG);
  w("GuestDr7", 0x400);
  w("GuestRflags", 2);
  w("GuestRip", 0x100000);
  w("GuestRsp", 0x9000);
  w("GuestCsSelector", 8);
  w("GuestCsAccessRights", 0xa09b);
  for (const name of ["Es", "Ss", "Ds", "Fs", "Gs"] as const) {
    w(`Guest${name}Selector`, 16);
    w(`Guest${name}AccessRights`, 0xc093);
    w(`Guest${name}Limit`, -1);
  }
  w("GuestCsLimit", -1);
  w("GuestLdtrAccessRights", 0x10000);
  w("GuestTrAccessRights", 0x8b);
  w("GuestTrLimit", 0x67);
  w("GuestGdtrLimit", 0x3f);
  w("GuestGdtrBase", 0x1000, -1);
  w("GuestIdtrLimit", 0xfff);
  w("GuestIdtrBase", 0x2000, -1);
  w("HostCr0", 0x80050033 | 0);
  w("HostCr3", 0x6000);
  w("HostCr4", 0x20a0);
  w("HostEfer", 0xd01);
  w("HostCsSelector", 0xe008);
  w("HostTrSelector", 0xe040);
  w("HostRip", 0x777, -1);
  w("HostRsp", 0x888, -1);
  w("HostGsBase", 0x999, -1);
}

beforeEach(() => {
  processor = new ScriptedProcessor(skylakeSp);
  tags = new ExtendedPageTableTags();
  setUp();
});

function enter(script?: GuestScript, on: Vmx = vmx) {
  if (script !== undefined) processor.script = script;
  return on.enter(1e9, 1e15);
}

const hypercall: GuestScript = (_, guest) => {
  expect(guest.interceptInstruction(Intercept.Vmcall, 0, 3)).toBe(true);
  return undefined;
};
const read = (name: keyof typeof VmcsField) => vmx.vmcs.readBig(name);

describe("VM entry and exit", () => {
  it("load the guest's state and save it again", () => {
    let seen: number[] = [];
    processor.words[State.Gpr] = 0x11; // RAX is not in the VMCS
    const exit = enter((p, guest) => {
      const w = p.words;
      seen = [w[State.RipLo], w[RSP], w[State.Gpr], w[State.Cr3Lo], w[State.EferLo], w[State.GuestMode]];
      w[State.RipLo] = 0x100100;
      w[RSP] = 0x8ff8;
      return hypercall(p, guest);
    });
    expect(seen).toEqual([0x100000, 0x9000, 0x11, 0x5000, LONG, 1]);
    expect(exit).toMatchObject({ kind: ExitKind.Hypercall, code: 18, instructionLength: 3 });
    expect(read("GuestRip")).toBe(0x100100n);
    expect(read("GuestRsp")).toBe(0x8ff8n);
    expect(read("ExitReason")).toBe(18n);
    expect(read("ExitInstructionLength")).toBe(3n);
    expect(processor.guestMode).toBeNull();
    expect(processor.mmu.context).toBe(processor.host);
    expect(vmx.vmcs.launched).toBe(true);
  });

  it("make the guest's address space the active one, under VPID and EPT pointer", () => {
    enter((p, guest) => {
      expect(p.mmu.context).toBe(vmx.context);
      expect(vmx.context).toMatchObject({ asid: 7, paging: 4, rootFrame: 5 });
      expect(vmx.context.secondStage).toMatchObject({
        format: "ept",
        rootFrame: ept.rootFrame,
        tag: 0,
        accessDirty: false,
      });
      return hypercall(p, guest);
    });
    vmx.vmcs.write(VmcsField.EptPointer, ept.rootFrame * 4096 + 0x5e);
    enter((p, guest) => {
      expect(vmx.context.secondStage?.accessDirty).toBe(true);
      return hypercall(p, guest);
    });
  });

  it("charge the pair that was measured, in phases of their own", () => {
    enter(hypercall);
    enter();
    const since = processor.ledger.snapshot();
    enter();
    const rows = processor.ledger.rows(since);
    expect(rows.map((row) => [row.phase, row.cause])).toEqual([
      ["vm-entry", "entry-hardware"],
      ["vm-exit", "exit-hardware"],
    ]);
    expect(rows[0].ticks + rows[1].ticks).toBe(676 * TICKS_PER_CYCLE);
    expect(processor.ledger.phaseDepth).toBe(0);
  });

  it("show the guest its CR0 and CR4 through the read shadows", () => {
    vmx.vmcs.write(VmcsField.Cr4ReadShadow, 0);
    enter((p, guest) => {
      expect(p.words[State.Cr4]).toBe(0x20);
      p.words[State.Cr4] = 0xa0;
      p.words[State.Dirty] |= Dirty.Control;
      return hypercall(p, guest);
    });
    expect(read("GuestCr4")).toBe(0x20a0n);
  });

  it("take over only what VMWRITE changed", () => {
    enter(hypercall);
    const { syncs } = processor;
    vmx.vmcs.write(VmcsField.GuestRip, 0x100003, 0);
    enter((p, guest) => {
      expect(p.words[State.RipLo]).toBe(0x100003);
      return hypercall(p, guest);
    });
    expect(processor.syncs).toBe(syncs);
    vmx.vmcs.write(VmcsField.GuestCr3, 0x7000);
    enter((p, guest) => {
      expect(vmx.context.rootFrame).toBe(7);
      return hypercall(p, guest);
    });
    expect(processor.syncs).toBe(syncs + 1);
  });

  it("take over everything after another guest, and after forget()", () => {
    enter(hypercall);
    const first = vmx;
    setUp(101);
    vmx.vmcs.write(VmcsField.GuestCr3, 0x8000);
    enter(hypercall);
    enter((p, guest) => {
      expect(p.words[State.Cr3Lo]).toBe(0x5000);
      expect(p.mmu.context).toBe(first.context);
      return hypercall(p, guest);
    }, first);
    first.forget();
    const { syncs } = processor;
    enter(hypercall, first);
    expect(processor.syncs).toBe(syncs + 1);
  });

  it("carry TSC offset, DR7, interrupt shadow and privilege level", () => {
    controls(PrimaryControl.TscOffsetting);
    vmx.vmcs.write(VmcsField.TscOffset, -5, -1);
    vmx.vmcs.write(VmcsField.GuestInterruptibility, 1);
    vmx.vmcs.write(VmcsField.GuestRflags, 0x202);
    enter((p, guest) => {
      expect([p.state.tscOffset, p.words[State.Dr7], p.words[State.InterruptShadow]]).toEqual([-5, 0x400, 1]);
      p.words[State.Dr7] = 0x401;
      p.words[State.Dirty] |= Dirty.Debug;
      p.words[State.Cpl] = 3;
      return hypercall(p, guest);
    });
    expect(processor.state.tscOffset).toBe(0);
    expect(read("GuestDr7")).toBe(0x401n);
    expect(read("GuestInterruptibility")).toBe(1n);
    expect((Number(read("GuestSsAccessRights")) >>> 5) & 3).toBe(3);
    expect(vmx.vmcs.read(VmcsField.GuestRflags)).toBe(0x202);
  });

  it("tell in the entry controls whether the guest left long mode", () => {
    enter((p, guest) => {
      p.words[State.EferLo] = 0;
      p.words[State.Cr0] = 0x31;
      p.words[State.Dirty] |= Dirty.Control;
      return hypercall(p, guest);
    });
    expect(vmx.vmcs.read(VmcsField.EntryControls) & EntryControl.Ia32eModeGuest).toBe(0);
    expect(read("GuestEfer")).toBe(0n);
    vmx.vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });

  it("take PDPTEs from the VMCS for PAE paging under EPT", () => {
    const { vmcs } = vmx;
    vmcs.write(VmcsField.EntryControls, vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest);
    vmcs.write(VmcsField.GuestEfer, 0x800);
    vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
    vmcs.write(VmcsField.GuestPdpte1, 0x9001, 1);
    enter((p, guest) => {
      expect(vmx.context.paging).toBe(3);
      expect([...vmx.context.pdpte]).toEqual([0, 0x1_0000_9001, 0, 0]);
      vmx.context.pdpte[2] = 0x2_ffff_f001;
      p.words[State.Dirty] |= Dirty.Control;
      return hypercall(p, guest);
    });
    expect(read("GuestPdpte2")).toBe(0x2_ffff_f001n);
  });

  it("flush the mappings of VPID 0 when VPIDs are off", () => {
    const { mmu } = processor;
    vmx.vmcs.write(
      VmcsField.SecondaryControls,
      SecondaryControl.EnableEpt | SecondaryControl.UnrestrictedGuest,
    );
    enter(hypercall);
    const walks = () => mmu.counters.slice();
    mmu.read(100 * 4096, 0xffff8300 | 0, 8);
    const before = walks();
    mmu.read(100 * 4096, 0xffff8300 | 0, 8);
    expect(walks()).toEqual(before);
    enter();
    mmu.activate(processor.host);
    const after = walks();
    mmu.read(100 * 4096 + 4096, 0xffff8300 | 0, 8);
    expect(walks()).not.toEqual(after);
  });
});

describe("whatever the guest changed, the VMCS holds it after a VM exit", () => {
  const singles: readonly (readonly [keyof typeof VmcsField, number, number, number])[] = [
    ["GuestRsp", RSP, 2, 0],
    ["GuestRip", State.RipLo, 2, 0],
    ["GuestCr0", State.Cr0, 1, Dirty.Control],
    ["GuestCr3", State.Cr3Lo, 2, Dirty.Control],
    ["GuestEfer", State.EferLo, 1, Dirty.Control],
    ["GuestDr7", State.Dr7, 1, Dirty.Debug],
    ["GuestGdtrLimit", State.GdtrLimit, 1, Dirty.DescriptorTables],
    ["GuestGdtrBase", State.GdtrBaseLo, 2, Dirty.DescriptorTables],
    ["GuestIdtrBase", State.IdtrBaseLo, 2, Dirty.DescriptorTables],
    ["GuestSysenterCs", State.SysenterCs, 1, Dirty.SyscallMsrs],
    ["GuestSysenterEip", State.SysenterEipLo, 2, Dirty.SyscallMsrs],
  ];
  const NAMES = ["Es", "Cs", "Ss", "Ds", "Fs", "Gs", "Ldtr", "Tr"] as const;
  it("property", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(singles.length - 1), fc.integer(), fc.integer()), { maxLength: 12 }),
        fc.array(
          fc.tuple(fc.nat(7), fc.nat(0xffff), fc.nat(0x1ffff), fc.integer(), fc.integer(), fc.integer()),
          { maxLength: 5 },
        ),
        fc.nat(3),
        (changes, segments, cpl) => {
          fill();
          enter(hypercall);
          enter((p, guest) => {
            const w = p.words;
            for (const [which, lo, hi] of changes) {
              const [, word, count, group] = singles[which];
              w[word] = lo;
              if (count === 2) w[word + 1] = hi;
              w[State.Dirty] |= group;
            }
            for (const [segment, ...values] of segments) {
              w.set(values, State.Segments + 8 * segment);
              w[State.Dirty] |= Dirty.Segments;
            }
            w[State.Cpl] = cpl;
            return hypercall(p, guest);
          });
          const { vmcs } = vmx;
          const w = processor.words;
          for (const [name, word, count] of singles) {
            expect(vmcs.read(VmcsField[name]), name).toBe(w[word]);
            expect(vmcs.readHi(VmcsField[name]), name).toBe(count === 2 ? w[word + 1] : 0);
          }
          NAMES.forEach((name, i) => {
            const at = State.Segments + 8 * i;
            const rights = name === "Ss" ? (w[at + 1] & ~0x60) | (cpl << 5) : w[at + 1];
            expect(vmcs.read(VmcsField[`Guest${name}Selector`])).toBe(w[at]);
            expect(vmcs.read(VmcsField[`Guest${name}AccessRights`])).toBe(rights);
            expect(vmcs.read(VmcsField[`Guest${name}Limit`])).toBe(w[at + 2]);
            expect(vmcs.read(VmcsField[`Guest${name}Base`])).toBe(w[at + 3]);
            expect(vmcs.readHi(VmcsField[`Guest${name}Base`])).toBe(w[at + 4]);
          });
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("exits by instruction", () => {
  const ask = (event: number, info: number, expected = true, prepare?: GuestScript) => {
    const exit = enter((p, guest) => {
      prepare?.(p, guest);
      expect(guest.interceptInstruction(event, info, 2)).toBe(expected);
      return expected ? undefined : StopReason.Budget;
    });
    return { ...exit };
  };

  it.each([
    ["CPUID", Intercept.Cpuid, 0, 10, ExitKind.Cpuid],
    ["INVD", Intercept.Invd, 0, 13, ExitKind.Other],
    ["XSETBV", Intercept.Xsetbv, 0, 55, ExitKind.Other],
    ["VMCALL", Intercept.Vmcall, 0, 18, ExitKind.Hypercall],
    ["VMREAD", Intercept.VmxInstruction, 23, 23, ExitKind.Other],
    ["task switch", Intercept.TaskSwitch, 0x28, 9, ExitKind.Other],
    ["triple fault", Intercept.Shutdown, 0, 2, ExitKind.Shutdown],
  ])("%s always leaves", (_, event, info, code, kind) => {
    expect(ask(event, info)).toMatchObject({ code, kind });
  });

  it.each([
    ["HLT", Intercept.Hlt, PrimaryControl.HltExiting, 12],
    ["RDTSC", Intercept.Rdtsc, PrimaryControl.RdtscExiting, 16],
    ["INVLPG", Intercept.Invlpg, PrimaryControl.InvlpgExiting, 14],
    ["RDPMC", Intercept.Rdpmc, PrimaryControl.RdpmcExiting, 15],
    ["MONITOR", Intercept.Monitor, PrimaryControl.MonitorExiting, 39],
    ["MWAIT", Intercept.Mwait, PrimaryControl.MwaitExiting, 36],
    ["PAUSE", Intercept.Pause, PrimaryControl.PauseExiting, 40],
  ])("%s leaves by its control", (_, event, bit, code) => {
    controls(bit);
    expect(ask(event, 0).code).toBe(code);
    controls();
    ask(event, 0, false);
  });

  it("INVLPG gives its linear address", () => {
    controls(PrimaryControl.InvlpgExiting);
    processor.interceptAddressLo = 0x1234;
    processor.interceptAddressHi = -2;
    expect(ask(Intercept.Invlpg, 0)).toMatchObject({ info1Lo: 0x1234, info1Hi: -2 });
  });

  it("WBINVD, RDTSCP and INVPCID leave by the secondary controls", () => {
    ask(Intercept.Wbinvd, 0, false);
    setUp(101);
    controls(0, SecondaryControl.WbinvdExiting);
    expect(ask(Intercept.Wbinvd, 0).code).toBe(54);
    controls(PrimaryControl.RdtscExiting | PrimaryControl.InvlpgExiting);
    ask(Intercept.Rdtscp, 0, false);
    setUp(102);
    controls(
      PrimaryControl.RdtscExiting | PrimaryControl.InvlpgExiting,
      SecondaryControl.EnableRdtscp | SecondaryControl.EnableInvpcid,
    );
    expect(ask(Intercept.Rdtscp, 0).code).toBe(51);
    expect(ask(Intercept.Invpcid, 0).code).toBe(58);
  });

  it("never takes VMMCALL or an SVM instruction: they are undefined here", () => {
    ask(Intercept.Vmmcall, 0, false);
    setUp(101);
    ask(Intercept.SvmInstruction, 0, false);
  });

  it.each(Object.entries(DescriptorTableAccess))("%s leaves by descriptor-table exiting", (name, info) => {
    ask(Intercept.DescriptorTable, info, false);
    setUp(101);
    controls(0, SecondaryControl.DescriptorTableExiting);
    expect(ask(Intercept.DescriptorTable, info).code).toBe(/[ig]dt$/.test(name) ? 46 : 47);
  });

  describe("control registers", () => {
    const mov = (register: number, gpr: number) => registerInfo(register, gpr, RegisterAccess.MovTo);
    const set =
      (gpr: number, value: number): GuestScript =>
      (p) => {
        p.words[State.Gpr + 2 * gpr] = value;
        p.words[State.Gpr + 2 * gpr + 1] = 0;
        return undefined;
      };
    it("CR4: only writes that differ from the shadow in a host-owned bit", () => {
      expect(ask(Intercept.CrWrite, mov(4, 3), true, set(3, 0x2020))).toMatchObject({
        code: 28,
        kind: ExitKind.CrAccess,
        info1Lo: 4 | (3 << 8),
      });
      ask(Intercept.CrWrite, mov(4, 3), false, set(3, 0xa0));
      ask(Intercept.CrRead, registerInfo(4, 3, RegisterAccess.MovFrom), false);
    });
    it("CR3: by CR3-load and CR3-store exiting, but for the targets", () => {
      ask(Intercept.CrWrite, mov(3, 1), false, set(1, 0x7000));
      setUp(101);
      controls(PrimaryControl.Cr3LoadExiting | PrimaryControl.Cr3StoreExiting);
      vmx.vmcs.write(VmcsField.Cr3TargetCount, 1);
      vmx.vmcs.write(VmcsField.Cr3Target0, 0x8000);
      expect(ask(Intercept.CrWrite, mov(3, 1), true, set(1, 0x7000)).info1Lo).toBe(3 | (1 << 8));
      expect(ask(Intercept.CrRead, registerInfo(3, 2, RegisterAccess.MovFrom)).info1Lo).toBe(
        3 | 0x10 | (2 << 8),
      );
      ask(Intercept.CrWrite, mov(3, 1), false, set(1, 0x8000));
    });
    it("CR8: by its own controls", () => {
      controls(PrimaryControl.Cr8LoadExiting);
      expect(ask(Intercept.CrWrite, mov(8, 0)).info1Lo).toBe(8);
      ask(Intercept.CrRead, registerInfo(8, 0, RegisterAccess.MovFrom), false);
    });
    it("CLTS and LMSW: by mask and shadow", () => {
      vmx.vmcs.write(VmcsField.Cr0Mask, 0xa);
      vmx.vmcs.write(VmcsField.Cr0ReadShadow, 0x8);
      expect(ask(Intercept.CrWrite, registerInfo(0, 0, RegisterAccess.Clts)).info1Lo).toBe(0x20);
      expect(ask(Intercept.CrWrite, registerInfo(0, 0, RegisterAccess.Lmsw, 0xb)).info1Lo).toBe(
        0x30 | (0xb << 16),
      );
      ask(Intercept.CrWrite, registerInfo(0, 0, RegisterAccess.Lmsw, 0x9), false);
    });
  });

  it("debug registers leave by MOV-DR exiting", () => {
    ask(Intercept.DrAccess, registerInfo(7, 1, RegisterAccess.MovFrom), false);
    setUp(101);
    controls(PrimaryControl.MovDrExiting);
    expect(ask(Intercept.DrAccess, registerInfo(7, 1, RegisterAccess.MovFrom))).toMatchObject({
      code: 29,
      info1Lo: 7 | 0x10 | 0x100,
    });
  });

  it("I/O asks the bitmaps in memory", () => {
    processor.memory.writeU8(ioA * 4096 + (0x3f8 >> 3), 2); // port 3F9h
    processor.memory.writeU8(ioB * 4096 + (0x4000 >> 3), 1); // port C000h
    expect(ask(Intercept.IoWrite, ioInfo(0x3f8, 2, false, false))).toMatchObject({
      code: 30,
      kind: ExitKind.Io,
      info1Lo: 1 | (0x3f8 << 16),
    });
    expect(ask(Intercept.IoRead, ioInfo(0xc000, 1, true, true)).info1Lo).toBe(8 | 16 | 32 | (0xc000 << 16));
    expect(ask(Intercept.IoRead, ioInfo(0xffff, 2, false, false)).code).toBe(30);
    ask(Intercept.IoWrite, ioInfo(0x3f8, 1, false, false), false);
  });

  it("MSRs ask the bitmap in memory; the rest always leaves", () => {
    const rcx =
      (value: number): GuestScript =>
      (p) => {
        p.words[State.Gpr + 2] = value;
        return undefined;
      };
    processor.memory.writeU8(msrBitmap * 4096 + 0xc00 + (0x80 >> 3), 1); // write C0000080h
    expect(ask(Intercept.Wrmsr, 0, true, rcx(0xc0000080 | 0))).toMatchObject({
      code: 32,
      kind: ExitKind.Wrmsr,
    });
    expect(ask(Intercept.Rdmsr, 0, true, rcx(0x40000000))).toMatchObject({ code: 31, kind: ExitKind.Rdmsr });
    ask(Intercept.Rdmsr, 0, false, rcx(0xc0000080 | 0));
  });
});

describe("exits by exception", () => {
  it("follow the bitmap, with interruption information", () => {
    vmx.vmcs.write(VmcsField.ExceptionBitmap, (1 << 13) | (1 << 3));
    const exit = enter((_, guest) => {
      expect(guest.interceptException(6, 0, false, 0, 0)).toBe(false);
      expect(guest.interceptException(13, 0x10, true, 0, 0)).toBe(true);
      return undefined;
    });
    expect(exit).toMatchObject({ kind: ExitKind.Exception, code: 0 });
    expect(vmx.vmcs.read(VmcsField.ExitInterruptionInfo)).toBe(VALID | 0x800 | (3 << 8) | 13);
    expect(read("ExitInterruptionErrorCode")).toBe(0x10n);
    enter((_, guest) => {
      guest.interceptException(3, 0, false, 0, 0, EventKind.SoftwareException, 1);
      return undefined;
    });
    expect(vmx.vmcs.read(VmcsField.ExitInterruptionInfo)).toBe(VALID | (6 << 8) | 3);
    enter(hypercall);
    expect(read("ExitInterruptionInfo")).toBe(0n);
  });

  it("filter page faults by error code, and report their address", () => {
    vmx.vmcs.write(VmcsField.ExceptionBitmap, 1 << 14);
    vmx.vmcs.write(VmcsField.PageFaultErrorCodeMask, 1);
    vmx.vmcs.write(VmcsField.PageFaultErrorCodeMatch, 1);
    const exit = enter((_, guest) => {
      expect(guest.interceptException(14, 2, true, 0x1000, 0)).toBe(false);
      expect(guest.interceptException(14, 3, true, 0x1234, 5)).toBe(true);
      return undefined;
    });
    expect(exit).toMatchObject({ info1Lo: 0x1234, info1Hi: 5 });
    expect(read("ExitQualification")).toBe(0x5_0000_1234n);
  });
});

describe("EPT exits", () => {
  it("report a violation from the real tables", () => {
    const { vmcs } = vmx;
    vmcs.write(VmcsField.EntryControls, vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest);
    vmcs.write(VmcsField.GuestEfer, 0);
    vmcs.write(VmcsField.GuestCr0, 0x31);
    vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
    const exit = enter((p, guest) => {
      expect(p.mmu.read(0x800678, 0, 8)).toBe(-1);
      expect(p.mmu.fault.kind).toBe(FaultKind.EptViolation);
      guest.secondStageFault();
      return undefined;
    });
    expect(exit).toMatchObject({ kind: ExitKind.SecondStageFault, code: 48 });
    expect(read("GuestPhysicalAddress")).toBe(0x800678n);
    expect(read("GuestLinearAddress")).toBe(0x800678n);
    expect(Number(read("ExitQualification")) & 0x187).toBe(0x181); // a read, linear address valid, final access
  });

  it("report a misconfiguration without a qualification", () => {
    enter((p, guest) => {
      Object.assign(p.mmu.fault, { kind: FaultKind.EptMisconfig, errorCode: 5, gfn: 0x200000, gfnOffset: 8 });
      guest.secondStageFault();
      return undefined;
    });
    expect([read("ExitReason"), read("ExitQualification"), read("GuestPhysicalAddress")]).toEqual([
      49n,
      0n,
      0x2_0000_0008n,
    ]);
  });
});

describe("event injection", () => {
  it("delivers before the first instruction and clears the valid bit", () => {
    vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | 0x800 | (3 << 8) | 13);
    vmx.vmcs.write(VmcsField.EntryExceptionErrorCode, 0x18);
    enter((p, guest) => {
      expect(p.delivered).toEqual([[EventKind.HardwareException, 13, 0x18, 0]]);
      return hypercall(p, guest);
    });
    expect(vmx.vmcs.read(VmcsField.EntryInterruptionInfo) & VALID).toBe(0);
    enter(hypercall);
    expect(processor.delivered).toHaveLength(1);
  });

  it("gives software events their instruction length", () => {
    vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (4 << 8) | 0x80);
    vmx.vmcs.write(VmcsField.EntryInstructionLength, 2);
    enter(hypercall);
    expect(processor.delivered).toEqual([[EventKind.SoftwareInterrupt, 0x80, -1, 2]]);
  });

  it("reports in the IDT-vectoring field what was under delivery when the guest left", () => {
    const event = VALID | (3 << 8) | 6;
    vmx.vmcs.write(VmcsField.EntryInterruptionInfo, event);
    processor.mmu.fault.kind = FaultKind.EptViolation;
    processor.onDelivery = (guest) => {
      guest.secondStageFault();
      return true;
    };
    enter(() => expect.unreachable("the guest must not run"));
    expect(vmx.vmcs.read(VmcsField.IdtVectoringInfo)).toBe(event);
    processor.onDelivery = undefined;
    enter(hypercall);
    expect(read("IdtVectoringInfo")).toBe(0n);
  });

  it("wakes a halted guest; without an event it stays halted", () => {
    vmx.vmcs.write(VmcsField.GuestActivityState, 1);
    vmx.vmcs.write(VmcsField.GuestRflags, 0x202);
    const exit = enter(() => expect.unreachable("the guest must not run"));
    expect(exit).toMatchObject({ kind: ExitKind.EngineStop, stop: StopReason.Halted });
    setUp(101);
    vmx.vmcs.write(VmcsField.GuestActivityState, 1);
    vmx.vmcs.write(VmcsField.GuestRflags, 0x202);
    vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | 0x31);
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });
});

describe("interrupts", () => {
  it("a physical one leaves, acknowledged when the controls ask for that", () => {
    const script: GuestScript = (p, guest) => {
      vmx.raiseInterrupt(0xf0);
      expect(p.words[State.Attention] & Attention.Interrupt).not.toBe(0);
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    };
    expect(enter(script)).toMatchObject({ kind: ExitKind.ExternalInterrupt, code: 1 });
    expect(read("ExitInterruptionInfo")).toBe(0n);
    expect(processor.words[State.Attention] & Attention.Interrupt).toBe(0);
    vmx.vmcs.write(
      VmcsField.ExitControls,
      vmx.vmcs.read(VmcsField.ExitControls) | ExitControl.AcknowledgeInterrupt,
    );
    enter(script);
    expect(vmx.vmcs.read(VmcsField.ExitInterruptionInfo)).toBe(VALID | 0xf0);
  });

  it("the interrupt window opens with IF and without a shadow", () => {
    controls(PrimaryControl.InterruptWindowExiting);
    const exit = enter((p, guest) => {
      expect(p.words[State.Attention] & Attention.Interrupt).not.toBe(0);
      expect(guest.externalEvent()).toBe(false);
      p.words[State.Flags] = 0x202;
      p.words[State.InterruptShadow] = 1;
      expect(guest.externalEvent()).toBe(false);
      p.words[State.InterruptShadow] = 0;
      expect(guest.externalEvent()).toBe(true);
      return undefined;
    });
    expect(exit.code).toBe(7);
  });
});

describe("MSR lists", () => {
  const LIST = 150;
  const entry = (i: number, msr: number, lo: number, hi = 0) => {
    const at = LIST * 4096 + 16 * i;
    processor.memory.writeU32(at, msr);
    processor.memory.writeU32(at + 4, 0);
    processor.memory.writeU32(at + 8, lo);
    processor.memory.writeU32(at + 12, hi);
  };
  const listAt = (field: keyof typeof VmcsField, count: keyof typeof VmcsField, n: number) => {
    vmx.vmcs.write(VmcsField[field], LIST * 4096);
    vmx.vmcs.write(VmcsField[count], n);
  };

  it("load registers at entry, and tell of the others", () => {
    const loads: number[][] = [];
    setUp(101, { onMsrLoad: (...load) => loads.push(load) });
    entry(0, 0xc0000082, 0x4000, 0xffffffff);
    entry(1, 0x48, 1);
    listAt("EntryMsrLoadAddress", "EntryMsrLoadCount", 2);
    const since = processor.ledger.snapshot();
    enter((p, guest) => {
      expect([p.words[State.LstarLo], p.words[State.LstarHi]]).toEqual([0x4000, -1]);
      return hypercall(p, guest);
    });
    expect(loads).toEqual([[0x48, 1, 0]]);
    const rows = processor.ledger.rows(since).filter((row) => row.phase === "vm-entry");
    const { wrmsr, wrmsrSpecCtrl } = skylakeSp.timing;
    const ticksOf = (cause: string) => rows.find((row) => row.cause === cause)?.ticks;
    expect(ticksOf("serialise")).toBe(wrmsr.value * TICKS_PER_CYCLE);
    expect(ticksOf("predictor-barrier")).toBe(wrmsrSpecCtrl.value * TICKS_PER_CYCLE);
  });

  it("flush L1D through FLUSH_CMD, as Xen does against L1TF", () => {
    entry(0, 0x10b, 1);
    listAt("EntryMsrLoadAddress", "EntryMsrLoadCount", 1);
    enter((p, guest) => {
      expect(p.mmu.caches.l1d.occupancy).toBe(0);
      return hypercall(p, guest);
    });
  });

  it("store and load at exit", () => {
    entry(0, 0xc0000102, 0);
    listAt("ExitMsrStoreAddress", "ExitMsrStoreCount", 1);
    vmx.vmcs.write(VmcsField.ExitMsrLoadAddress, LIST * 4096 + 16);
    vmx.vmcs.write(VmcsField.ExitMsrLoadCount, 1);
    entry(1, 0xc0000102, 0x5555);
    enter((p, guest) => {
      p.words[State.KernelGsBaseLo] = 0x1234;
      return hypercall(p, guest);
    });
    expect(processor.memory.readU32(LIST * 4096 + 8)).toBe(0x1234);
    expect(processor.words[State.KernelGsBaseLo]).toBe(0x5555);
  });

  it("fail the entry on an MSR that lists may not load", () => {
    entry(0, 0xc0000082, 0);
    entry(1, 0xc0000100, 0);
    listAt("EntryMsrLoadAddress", "EntryMsrLoadCount", 2);
    expect(enter(() => expect.unreachable())).toMatchObject({
      kind: ExitKind.InvalidState,
      code: 34,
      info1Lo: 2,
    });
    expect(vmx.vmcs.read(VmcsField.ExitReason)).toBe(34 | ENTRY_FAILURE);
  });
});

describe("VMfail", () => {
  const cases: [string, number, () => void][] = [
    ["reserved pin-based control", 7, () => vmx.vmcs.write(VmcsField.PinBasedControls, 0)],
    ["reserved primary control", 7, () => vmx.vmcs.write(VmcsField.PrimaryControls, 0)],
    ["reserved exit control", 7, () => vmx.vmcs.write(VmcsField.ExitControls, 0)],
    ["VPID 0", 7, () => vmx.vmcs.write(VmcsField.Vpid, 0)],
    ["EPT memory type", 7, () => vmx.vmcs.write(VmcsField.EptPointer, ept.rootFrame * 4096 + 0x1d)],
    ["EPT walk length", 7, () => vmx.vmcs.write(VmcsField.EptPointer, ept.rootFrame * 4096 + 0x26)],
    ["five CR3 targets", 7, () => vmx.vmcs.write(VmcsField.Cr3TargetCount, 5)],
    ["unaligned MSR bitmap", 7, () => vmx.vmcs.write(VmcsField.MsrBitmap, 0x1010)],
    [
      "unrestricted guest without EPT",
      7,
      () =>
        vmx.vmcs.write(
          VmcsField.SecondaryControls,
          SecondaryControl.UnrestrictedGuest | SecondaryControl.EnableVpid,
        ),
    ],
    [
      "error code with an interrupt",
      7,
      () => vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | 0x800 | 0x31),
    ],
    [
      "save-timer control without the timer",
      7,
      () => control("ExitControls", ExitControl.SavePreemptionTimer),
    ],
    ["entry to SMM", 7, () => control("EntryControls", EntryControl.EntryToSmm)],
    ["MSR list longer than 512", 7, () => vmx.vmcs.write(VmcsField.EntryMsrLoadCount, 513)],
    ["MSR list not aligned", 7, () => list(0x1008, 0)],
    ["MSR list beyond the address space", 7, () => list(0xfffffff0 | 0, 0x3fff)],
    ["TPR threshold above 15", 7, () => shadow(0x10)],
    [
      "page-modification log not aligned",
      7,
      () => {
        controls(0, SecondaryControl.EnablePml);
        vmx.vmcs.write(VmcsField.PmlAddress, 0x5008);
      },
    ],
    [
      "no error code with #GP",
      7,
      () => vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (3 << 8) | 13),
    ],
    [
      "software interrupt without a length",
      7,
      () => {
        vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (4 << 8) | 0x80);
        vmx.vmcs.write(VmcsField.EntryInstructionLength, 0);
      },
    ],
    ["event kind 1", 7, () => vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (1 << 8))],
    [
      "other event with a vector",
      7,
      () => vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (7 << 8) | 1),
    ],
    ["host CR0 above 32 bits", 8, () => vmx.vmcs.write(VmcsField.HostCr0, 0x80050033 | 0, 1)],
    ["host CR3 beyond the address space", 8, () => vmx.vmcs.write(VmcsField.HostCr3, 0, 0x100000)],
    ["host EFER without LMA", 8, () => vmx.vmcs.write(VmcsField.HostEfer, 0x100)],
    ["host selector with RPL", 8, () => vmx.vmcs.write(VmcsField.HostDsSelector, 3)],
    ["host CR0", 8, () => vmx.vmcs.write(VmcsField.HostCr0, 0x31)],
    ["host CR4 without VMXE", 8, () => vmx.vmcs.write(VmcsField.HostCr4, 0x20)],
    ["host CS 0", 8, () => vmx.vmcs.write(VmcsField.HostCsSelector, 0)],
    ["host RIP not canonical", 8, () => vmx.vmcs.write(VmcsField.HostRip, 0, 0x10000)],
  ];
  it.each(cases)("%s: error %i", (_, error, breakIt) => {
    breakIt();
    const exit = enter(() => expect.unreachable("the guest must not run"));
    expect(exit).toMatchObject({ kind: ExitKind.InvalidState, code: -1, info1Lo: error });
    expect(read("InstructionError")).toBe(BigInt(error));
    expect(vmx.vmcs.launched).toBe(false);
    expect(processor.ledger.phaseDepth).toBe(0);
    expect(Object.values(InstructionError)).toContain(error);
  });
});

/** Sets one more bit. */
function control(field: "ExitControls" | "EntryControls", bit: number): void {
  vmx.vmcs.write(VmcsField[field], vmx.vmcs.read(VmcsField[field]) | bit);
}

function list(lo: number, hi: number): void {
  vmx.vmcs.write(VmcsField.ExitMsrStoreAddress, lo, hi);
  vmx.vmcs.write(VmcsField.ExitMsrStoreCount, 2);
}

function shadow(threshold: number): void {
  controls(PrimaryControl.TprShadow);
  vmx.vmcs.write(VmcsField.VirtualApicAddress, 0x5000);
  vmx.vmcs.write(VmcsField.TprThreshold, threshold);
}

describe("entry failure 33", () => {
  const w = (field: keyof typeof VmcsField, lo: number, hi = 0) => vmx.vmcs.write(VmcsField[field], lo, hi);
  const halted = (rflags: number) => [w("GuestActivityState", 1), w("GuestRflags", rflags)];
  const inject = () => [w("GuestRflags", 0x202), w("EntryInterruptionInfo", VALID | 0x31)];
  const nmi = () => w("EntryInterruptionInfo", VALID | (2 << 8) | 2);
  const virtualNmis = () =>
    w("PinBasedControls", adjustControls(PinControl.NmiExiting | PinControl.VirtualNmis, CAPABILITIES.pin));
  const pae = () => [
    w("EntryControls", adjustControls(EntryControl.LoadEfer, CAPABILITIES.entry)),
    w("GuestEfer", 0),
    w("GuestCsAccessRights", 0xc09b),
  ];
  const cases: [string, number, () => unknown][] = [
    ["CR0.NE clear", 0, () => w("GuestCr0", 0x80010011 | 0)],
    ["CR4.VMXE clear", 0, () => w("GuestCr4", 0x20)],
    ["PG without PE", 0, () => w("GuestCr0", 0x80010030 | 0)],
    ["long mode without PAE", 0, () => w("GuestCr4", 0x2000)],
    ["EFER.LMA against the entry control", 0, () => w("GuestEfer", 0x100)],
    ["EFER reserved bit", 0, () => w("GuestEfer", LONG | 2)],
    ["RFLAGS bit 1 clear", 0, () => w("GuestRflags", 0)],
    ["RFLAGS reserved bit", 0, () => w("GuestRflags", 2 | 0x8000)],
    ["RIP not canonical", 0, () => w("GuestRip", 0, 0x10000)],
    ["CS.L and CS.D", 0, () => w("GuestCsAccessRights", 0xe09b)],
    ["CS not present", 0, () => w("GuestCsAccessRights", 0xa01b)],
    ["SS read-only", 0, () => w("GuestSsAccessRights", 0xc091)],
    ["TR unusable", 0, () => w("GuestTrAccessRights", 0x1008b)],
    ["TR not busy", 0, () => w("GuestTrAccessRights", 0x89)],
    ["GDTR limit", 0, () => w("GuestGdtrLimit", 0x10000)],
    ["activity state", 0, () => w("GuestActivityState", 4)],
    ["STI blocking without IF", 0, () => w("GuestInterruptibility", 1)],
    ["injected interrupt without IF", 0, () => w("EntryInterruptionInfo", VALID | 0x31)],
    ["CR0 above 32 bits", 0, () => w("GuestCr0", 0x80010031 | 0, 1)],
    ["CR3 beyond the address space", 0, () => w("GuestCr3", 0, 0x100000)],
    ["DR7 above 32 bits", 0, () => w("GuestDr7", 0x400, 1)],
    ["DEBUGCTL reserved bit", 0, () => w("GuestDebugCtl", 0x10)],
    ["SYSENTER_EIP not canonical", 0, () => w("GuestSysenterEip", 0, 0x10000)],
    ["TR in the LDT", 0, () => w("GuestTrSelector", 0x44)],
    ["CS base above 4 GiB", 0, () => w("GuestCsBase", 0, 1)],
    ["DS base above 4 GiB", 0, () => w("GuestDsBase", 0, 1)],
    ["FS base not canonical", 0, () => w("GuestFsBase", 0, 0x10000)],
    ["CS of another DPL than SS", 0, () => w("GuestCsAccessRights", 0xa0fb)],
    ["DS not accessed", 0, () => w("GuestDsAccessRights", 0xc092)],
    ["DS execute-only code", 0, () => w("GuestDsAccessRights", 0xc099)],
    ["DS reserved bit", 0, () => w("GuestDsAccessRights", 0xc193)],
    ["limit below a page with G", 0, () => w("GuestEsLimit", 0xffff0ffe | 0)],
    ["limit above 1 MiB without G", 0, () => w("GuestEsAccessRights", 0x4093)],
    ["LDTR of the wrong type", 0, () => w("GuestLdtrAccessRights", 0x83)],
    ["TR of 16 bits in IA-32e mode", 0, () => w("GuestTrAccessRights", 0x83)],
    ["GDTR base not canonical", 0, () => w("GuestGdtrBase", 0, 0x10000)],
    ["IDTR limit", 0, () => w("GuestIdtrLimit", 0x10000)],
    ["halted at CPL 3", 0, () => [w("GuestActivityState", 1), w("GuestSsAccessRights", 0xc0f3)]],
    ["halted in an STI shadow", 0, () => [halted(0x202), w("GuestInterruptibility", 1)]],
    [
      "a #GP for a halted guest",
      0,
      () => [halted(2), w("EntryInterruptionInfo", VALID | 0x800 | (3 << 8) | 13)],
    ],
    ["an interrupt for a guest in shutdown", 0, () => [inject(), w("GuestActivityState", 2)]],
    ["an NMI for a guest that waits for SIPI", 0, () => [nmi(), w("GuestActivityState", 3)]],
    ["STI and MOV SS at once", 0, () => [w("GuestRflags", 0x202), w("GuestInterruptibility", 3)]],
    ["in SMM", 0, () => w("GuestInterruptibility", 4)],
    ["an interrupt in an STI shadow", 0, () => [inject(), w("GuestInterruptibility", 1)]],
    ["an NMI in a MOV SS shadow", 0, () => [nmi(), w("GuestInterruptibility", 2)]],
    ["a virtual NMI while they are blocked", 0, () => [nmi(), virtualNmis(), w("GuestInterruptibility", 8)]],
    ["pending debug exceptions, reserved bit", 0, () => w("GuestPendingDebugExceptions", 0x10)],
    [
      "no single step pending behind MOV SS with TF",
      0,
      () => [w("GuestRflags", 0x102), w("GuestInterruptibility", 2)],
    ],
    ["PDPTE reserved bit", 2, () => [pae(), w("GuestPdpte1", 3)]],
    ["link pointer", 4, () => w("VmcsLinkPointer", 0, 0)],
  ];
  it.each(cases)("%s", (_, qualification, breakIt) => {
    breakIt();
    const exit = enter(() => expect.unreachable("the guest must not run"));
    expect(exit).toMatchObject({ kind: ExitKind.InvalidState, code: 33, info1Lo: qualification });
    expect(vmx.vmcs.read(VmcsField.ExitReason)).toBe(33 | ENTRY_FAILURE);
    expect(read("ExitQualification")).toBe(BigInt(qualification));
    expect(processor.mmu.context).toBe(processor.host);
    expect(processor.ledger.phaseDepth).toBe(0);
    expect(vmx.vmcs.launched).toBe(false);
  });
  it("is found in fields that change at every entry too", () => {
    enter(hypercall);
    w("GuestRflags", 0);
    expect(enter(() => expect.unreachable()).code).toBe(33);
    w("GuestRflags", 2);
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });
});

describe("a run that stops without a VM exit", () => {
  it("goes on at the next enter, without another entry", () => {
    expect(enter(() => StopReason.Budget)).toMatchObject({
      kind: ExitKind.EngineStop,
      stop: StopReason.Budget,
    });
    const since = processor.ledger.snapshot();
    enter((p, guest) => {
      expect(p.ledger.rows(since)).toEqual([]);
      return hypercall(p, guest);
    });
  });
  it("can be put into a snapshot and resumed", () => {
    enter(() => StopReason.Budget);
    const saved = vmx.snapshot();
    const again = new Vmx(processor, { vmcsFrame: 100, host: processor.host, eptTags: tags });
    again.restore(JSON.parse(JSON.stringify(saved)));
    expect(again.snapshot()).toEqual(saved);
    enter((p, guest) => {
      expect(p.mmu.context).toBe(again.context);
      expect(again.context.secondStage?.rootFrame).toBe(ept.rootFrame);
      expect(guest.interceptInstruction(Intercept.Hlt, 0, 1)).toBe(false);
      return hypercall(p, guest);
    }, again);
  });
});

describe("a host that has registers", () => {
  it("gets them from the host-state area", () => {
    setUp(101, { hostExecutes: true });
    enter((p, guest) => {
      p.words[State.Gpr] = 0x4321;
      return hypercall(p, guest);
    });
    const w = processor.words;
    expect([w[State.RipLo], w[State.RipHi], w[RSP], w[State.Cr3Lo], w[State.Gpr]]).toEqual([
      0x777, -1, 0x888, 0x6000, 0x4321,
    ]);
    expect(w[State.Segments + 8 * Segment.Cs]).toBe(0xe008);
    expect(w[State.Segments + 8 * Segment.Gs + 3]).toBe(0x999);
    expect(enter(hypercall).kind).toBe(ExitKind.Hypercall);
  });
});

describe("host memory", () => {
  it("is not allocated by enter()", () => {
    processor.script = (_, guest) => {
      guest.interceptInstruction(Intercept.Vmcall, 0, 3);
      return undefined;
    };
    const rounds = (count: number) => {
      for (let i = 0; i < count; i++) {
        vmx.enter(1e9, 1e15);
        vmx.vmcs.write(VmcsField.GuestRip, 0x100000, 0);
      }
    };
    rounds(30_000);
    const before = process.memoryUsage().heapUsed;
    rounds(100_000);
    // The smallest object is 16 bytes; the rest is the test runner's own.
    expect((process.memoryUsage().heapUsed - before) / 100_000).toBeLessThan(8);
  });
});
