import { describe, expect, it } from "vitest";
import { Segment, State } from "../../src/cpu-state.js";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { VmcbOffset } from "../../src/svm/index.js";
import { VmcsField } from "../../src/vmx/index.js";
import { CODE, GDT, GuestMachine, HANDLERS, STACK } from "./guest-machine.js";

const VMCALL = [0x0f, 0x01, 0xc1];
const VMMCALL = [0x0f, 0x01, 0xd9];
const CPUID = [0x0f, 0xa2];
const MOV_EBX_EAX = [0x89, 0xc3];
const RBX = State.Gpr + 6;
const EVENT_VALID = 1 << 31;

function movEax(value: number): number[] {
  return [0xb8, value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

describe("hypercalls of a guest that the interpreter runs", () => {
  it("SVM: RAX and RIP go through the VMCB", () => {
    const machine = new GuestMachine("amd", [...movEax(0x1234), ...VMMCALL, ...MOV_EBX_EAX, ...VMMCALL]);
    const { vmcb } = machine.svm;
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Hypercall, code: 0x81, instructionLength: 3 });
    expect(vmcb.read("Rax")).toBe(0x1234n);
    expect(vmcb.read("Rip")).toBe(BigInt(CODE + 5));
    expect(vmcb.read("NRip")).toBe(BigInt(CODE + 8));
    vmcb.set64(VmcbOffset.Rax, 0x77, 0);
    vmcb.set64(VmcbOffset.Rip, CODE + 8, 0);
    vmcb.markAllClean();
    expect(machine.enter().kind).toBe(ExitKind.Hypercall);
    expect(machine.processor.state.words[RBX]).toBe(0x77);
  });

  it("VMX: RAX stays in the processor, RIP is in the VMCS", () => {
    const machine = new GuestMachine("intel", [...movEax(0x1234), ...VMCALL, ...MOV_EBX_EAX, ...VMCALL]);
    const { vmcs } = machine.vmx;
    const { words } = machine.processor.state;
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Hypercall, code: 18, instructionLength: 3 });
    expect(words[State.Gpr]).toBe(0x1234);
    expect(vmcs.readBig("GuestRip")).toBe(BigInt(CODE + 5));
    words[State.Gpr] = 0x77;
    vmcs.write(VmcsField.GuestRip, CODE + 8);
    expect(machine.enter().kind).toBe(ExitKind.Hypercall);
    expect(words[RBX]).toBe(0x77);
  });

  it("the other vendor's instruction is #UD", () => {
    const amd = new GuestMachine("amd", VMCALL);
    amd.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 6);
    expect(amd.enter()).toMatchObject({ kind: ExitKind.Exception, code: 0x46 });
    expect(amd.svm.vmcb.read("Rip")).toBe(BigInt(CODE));
    const intel = new GuestMachine("intel", VMMCALL);
    intel.vmx.vmcs.write(VmcsField.ExceptionBitmap, 1 << 6);
    expect(intel.enter()).toMatchObject({ kind: ExitKind.Exception, code: 0 });
    expect(intel.vmx.vmcs.read(VmcsField.ExitInterruptionInfo) & 0xff).toBe(6);
  });

  it("#UD that is not intercepted goes to the guest's handler", () => {
    const machine = new GuestMachine("amd", VMCALL);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(HANDLERS + 16 * 6));
    expect(machine.readU64(STACK - 40)).toBe(BigInt(CODE)); // RIP in the frame
  });

  it("VMMCALL that is not intercepted is #UD", () => {
    const machine = new GuestMachine("amd", VMMCALL);
    machine.svm.vmcb.set(VmcbOffset.General2Intercepts, 1);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(HANDLERS + 16 * 6));
  });
});

describe("state that the guest changes reaches the control structure", () => {
  // mov ax,0x10; mov ds,ax; mov es,ax; lgdt [rip+..]; mov cr3,rax etc., then a hypercall
  const code = [
    ...[0xb8, 0, 0, 0, 0], // mov eax, 0
    ...[0x8e, 0xd8], // mov ds, eax: null
    ...[0xb8, 0x01, 0x04, 0, 0], // mov eax, 0x401
    ...[0x0f, 0x23, 0xf8], // mov dr7, rax
    ...[0x0f, 0x20, 0xe0], // mov rax, cr4
    ...[0x0d, 0x80, 0, 0, 0], // or eax, 0x80 (PGE)
    ...[0x0f, 0x22, 0xe0], // mov cr4, rax
    ...[0x0f, 0x01, 0x14, 0x25, 0x00, 0x18, 0, 0], // lgdt [0x1800]
    ...[0xf9], // stc: a lazy flag
  ];
  const run = (vendor: "amd" | "intel") => {
    const machine = new GuestMachine(vendor, [...code, ...(vendor === "amd" ? VMMCALL : VMCALL)]);
    machine.write(0x1800, [15, 0, GDT & 255, GDT >>> 8, 0, 0, 0, 0, 0, 0]);
    expect(machine.enter().kind).toBe(ExitKind.Hypercall);
    return machine;
  };

  it("VMCB", () => {
    const { vmcb } = run("amd").svm;
    expect(vmcb.half(VmcbOffset.Ds)).toBe(0);
    expect(vmcb.half(VmcbOffset.Ds + 2) & 0x80).toBe(0);
    expect(vmcb.read("Dr7")).toBe(0x401n);
    expect(vmcb.read("Cr4")).toBe(0xa0n);
    expect(vmcb.word(VmcbOffset.Gdtr + 4)).toBe(15);
    expect(vmcb.read("Rflags") & 1n).toBe(1n);
  });

  it("VMCS, with CR4.VMXE still set in the real CR4", () => {
    const { vmcs } = run("intel").vmx;
    expect(vmcs.read(VmcsField.GuestDsAccessRights) & 0x10000).toBe(0x10000);
    expect(vmcs.readBig("GuestDr7")).toBe(0x401n);
    expect(vmcs.readBig("GuestCr4")).toBe(0x20a0n);
    expect(vmcs.readBig("GuestGdtrLimit")).toBe(15n);
    expect(vmcs.readBig("GuestRflags") & 1n).toBe(1n);
  });

  it("and RFLAGS that the hypervisor changes reaches the guest", () => {
    // cmc; setc bl; vmmcall
    const machine = new GuestMachine("amd", [...VMMCALL, 0x0f, 0x92, 0xc3, ...VMMCALL]);
    const { vmcb } = machine.svm;
    machine.enter();
    vmcb.set64(VmcbOffset.Rip, CODE + 3, 0);
    vmcb.set64(VmcbOffset.Rflags, 3, 0);
    machine.enter();
    expect(machine.processor.state.words[RBX] & 255).toBe(1);
  });
});

describe("other exits", () => {
  it("CPUID", () => {
    expect(new GuestMachine("amd", CPUID).enter()).toMatchObject({ kind: ExitKind.Cpuid, code: 0x72 });
    expect(new GuestMachine("intel", CPUID).enter()).toMatchObject({ kind: ExitKind.Cpuid, code: 10 });
  });

  it("nested page fault of a load, with the instruction's bytes", () => {
    const load = [0x8b, 0x04, 0x25, 0x08, 0x00, 0x18, 0x00]; // mov eax, [0x180008]
    const machine = new GuestMachine("amd", load);
    machine.svm.vmcb.set64(VmcbOffset.Cr0, 0x31, 0);
    machine.svm.vmcb.set64(VmcbOffset.Efer, 0x1000, 0);
    machine.svm.vmcb.set64(VmcbOffset.Cr4, 0, 0);
    machine.svm.vmcb.setSegment(VmcbOffset.Cs, 8, 0xc9b, -1, 0, 0);
    machine.write(CODE, [0xa1, 0x08, 0x00, 0x30, 0x00]); // mov eax, [0x300008], beyond the guest's memory
    expect(machine.enter()).toMatchObject({ kind: ExitKind.SecondStageFault, code: 0x400 });
    expect(machine.svm.vmcb.read("ExitInfo2")).toBe(0x300008n);
    expect(machine.svm.vmcb.byte(VmcbOffset.GuestInstructionLength)).toBe(15);
    expect(machine.svm.vmcb.byte(VmcbOffset.GuestInstructionBytes)).toBe(0xa1);
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(CODE));
  });

  it("EPT violation of a store", () => {
    const machine = new GuestMachine("intel", [0xa3, 0x08, 0x00, 0x30, 0x00]); // mov [0x300008], eax
    const { vmcs } = machine.vmx;
    vmcs.write(VmcsField.GuestCr0, 0x31);
    vmcs.write(VmcsField.GuestEfer, 0);
    vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
    vmcs.write(VmcsField.EntryControls, vmcs.read(VmcsField.EntryControls) & ~0x200);
    expect(machine.enter()).toMatchObject({ kind: ExitKind.SecondStageFault, code: 48 });
    expect(vmcs.readBig("GuestPhysicalAddress")).toBe(0x300008n);
    expect(vmcs.read(VmcsField.ExitQualification) & 7).toBe(2);
  });

  it("shutdown, when a fault cannot be delivered", () => {
    const machine = new GuestMachine("amd", [0x0f, 0x0b]);
    machine.svm.vmcb.setSegment(VmcbOffset.Idtr, 0, 0, 0, 0, 0);
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Shutdown, code: 0x7f });
  });
});

describe("injected events", () => {
  it("run the guest's handler first", () => {
    const machine = new GuestMachine("amd", VMMCALL);
    machine.svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | (3 << 8) | 0x800 | 13, 0x18);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(HANDLERS + 16 * 13));
    expect(machine.readU64(STACK - 48)).toBe(0x18n); // error code on top of the frame
    const intel = new GuestMachine("intel", VMCALL);
    intel.vmx.vmcs.write(VmcsField.EntryInterruptionInfo, EVENT_VALID | (3 << 8) | 0x800 | 13);
    intel.vmx.vmcs.write(VmcsField.EntryExceptionErrorCode, 0x18);
    expect(intel.enter().kind).toBe(ExitKind.Hlt);
    expect(intel.vmx.vmcs.readBig("GuestRip")).toBe(BigInt(HANDLERS + 16 * 13));
  });
});

describe("privilege", () => {
  it("is the CPL of the VMCB: a ring-3 guest faults on HLT before the intercept is asked", () => {
    const machine = new GuestMachine("amd", [0xf4]);
    const { vmcb } = machine.svm;
    vmcb.set(VmcbOffset.Cpl, 3);
    vmcb.set(VmcbOffset.ExceptionIntercepts, (1 << 13) | (1 << 14));
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Exception, code: 0x4e }); // supervisor page
    expect(machine.processor.state.words[State.Segments + 8 * Segment.Cs]).toBe(8);
  });
});
