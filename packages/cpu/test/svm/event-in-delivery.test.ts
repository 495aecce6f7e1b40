import { describe, expect, it } from "vitest";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { VmcbOffset } from "../../src/svm/index.js";
import { VmcsField } from "../../src/vmx/index.js";
import { GuestMachine, IDT } from "./guest-machine.js";

const VALID = 1 << 31;
const UD2 = [0x0f, 0x0b];
const INT_8 = [0xcd, 8];
/** Beyond the IDT: #GP. */
const INT_21 = [0xcd, 0x21];
const INT3 = [0xcc];
/** Beyond the guest's memory, which ends at 200000h. */
const UNMAPPED = 0x300000;
const NP = 11;
const GP = 13;
const DF = 8;
const PF = 14;

/** A guest whose IDT entry for that vector is not present. */
function withoutGate(vendor: "amd" | "intel", code: readonly number[], ...vectors: number[]): GuestMachine {
  const machine = new GuestMachine(vendor, code);
  for (const vector of vectors) machine.write(IDT + 16 * vector, [0, 0, 8, 0, 0, 0x0e, 0, 0]);
  return machine;
}

/** The exceptions that leave the guest. */
function intercept(machine: GuestMachine, ...vectors: number[]): void {
  const bits = vectors.reduce((sum, vector) => sum | (1 << vector), 0);
  const { hardware } = machine;
  if (hardware.vendor === "amd") hardware.vmcb.set(VmcbOffset.ExceptionIntercepts, bits);
  else hardware.vmcs.write(VmcsField.ExceptionBitmap, bits);
}

/** What was under delivery, in the VMX format of the kind field. */
function reported(machine: GuestMachine): readonly [number, number] {
  const { hardware } = machine;
  if (hardware.vendor === "amd")
    return [hardware.vmcb.word(VmcbOffset.ExitIntInfo), hardware.vmcb.wordHi(VmcbOffset.ExitIntInfo)];
  return [
    hardware.vmcs.read(VmcsField.IdtVectoringInfo),
    hardware.vmcs.read(VmcsField.IdtVectoringErrorCode),
  ];
}

describe.each(["amd", "intel"] as const)("an exit while an event is delivered (%s)", (vendor) => {
  it("names the exception whose gate faults", () => {
    const machine = withoutGate(vendor, UD2, 6);
    intercept(machine, NP);
    expect(machine.enter().kind).toBe(ExitKind.Exception);
    expect(reported(machine)).toEqual([VALID | (3 << 8) | 6, 0]);
  });

  it("names a software interrupt, with RIP at INT", () => {
    const machine = withoutGate(vendor, INT_8, 8);
    intercept(machine, NP);
    expect(machine.enter().kind).toBe(ExitKind.Exception);
    expect(reported(machine)).toEqual([VALID | (4 << 8) | 8, 0]);
    const { hardware } = machine;
    if (hardware.vendor === "intel") expect(hardware.vmcs.read(VmcsField.ExitInstructionLength)).toBe(2);
    else expect(hardware.vmcb.read("Rip")).toBe(0x1000n);
  });

  it("says of INT3 what the vendor says", () => {
    const machine = withoutGate(vendor, INT3, 3);
    intercept(machine, NP);
    machine.enter();
    expect(reported(machine)).toEqual([VALID | ((vendor === "intel" ? 6 : 3) << 8) | 3, 0]);
  });

  it("names nothing when the exception itself leaves", () => {
    const direct = new GuestMachine(vendor, UD2);
    intercept(direct, 6);
    expect(direct.enter().kind).toBe(ExitKind.Exception);
    expect(reported(direct)[0]).toBe(0);
  });

  it("names what led to a double fault on AMD, nothing on Intel", () => {
    const machine = withoutGate(vendor, INT_21, GP); // #NP while #GP is delivered
    intercept(machine, DF);
    expect(machine.enter().kind).toBe(ExitKind.Exception);
    expect(reported(machine)[0]).toBe(vendor === "amd" ? VALID | 0x800 | (3 << 8) | GP : 0);
  });

  it("a second fault leaves before it makes a double fault", () => {
    const machine = withoutGate(vendor, INT_21, GP);
    intercept(machine, NP, DF);
    const exit = machine.enter();
    if (vendor === "amd") expect(exit.code).toBe(0x40 + NP);
    else expect(machine.vmx.vmcs.read(VmcsField.ExitInterruptionInfo) & 0xff).toBe(NP);
    expect(reported(machine)).toEqual([VALID | 0x800 | (3 << 8) | GP, 0x21 * 8 + 2]);
  });

  it("names nothing at a triple fault", () => {
    const machine = withoutGate(vendor, INT_21, GP, DF);
    expect(machine.enter().kind).toBe(ExitKind.Shutdown);
    expect(reported(machine)[0]).toBe(0);
  });

  it("names the event that a second-stage fault interrupted", () => {
    const machine = new GuestMachine(vendor, UD2);
    const { hardware } = machine;
    // Without paging the guest's addresses go to the second stage as they are.
    if (hardware.vendor === "amd") {
      hardware.vmcb.set64(VmcbOffset.Cr0, 0x31, 0);
      hardware.vmcb.set64(VmcbOffset.Efer, 0x1000, 0);
      hardware.vmcb.setSegment(VmcbOffset.Cs, 8, 0xc9b, -1, 0, 0);
      hardware.vmcb.setSegment(VmcbOffset.Idtr, 0, 0, 0xff, UNMAPPED, 0);
    } else {
      const { vmcs } = hardware;
      vmcs.write(VmcsField.GuestCr0, 0x31);
      vmcs.write(VmcsField.GuestEfer, 0);
      vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
      vmcs.write(VmcsField.EntryControls, vmcs.read(VmcsField.EntryControls) & ~0x200);
      vmcs.write(VmcsField.GuestIdtrBase, UNMAPPED);
    }
    expect(machine.enter().kind).toBe(ExitKind.SecondStageFault);
    expect(reported(machine)).toEqual([VALID | (3 << 8) | 6, 0]);
  });

  it("is over when the handler runs", () => {
    const machine = new GuestMachine(vendor, UD2);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(reported(machine)).toEqual([0, 0]);
  });

  it("a page fault of the first handler instruction is no part of the delivery", () => {
    const machine = new GuestMachine(vendor, UD2);
    machine.write(IDT + 16 * 6, [0, 0, 8, 0, 0, 0x8e, 0x30, 0]); // to 300000h, which the guest does not map
    intercept(machine, PF);
    expect(machine.enter().kind).toBe(ExitKind.Exception);
    expect(reported(machine)[0]).toBe(0);
  });
});
