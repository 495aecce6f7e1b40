import { describe, expect, it } from "vitest";
import { ExitKind } from "../../src/hardware-virtualization.js";
import {
  ActivityState,
  adjustControls,
  CAPABILITIES,
  Interruptibility,
  PinControl,
  PrimaryControl,
  VmcsField,
  VmxExitReason,
} from "../../src/vmx/index.js";
import { CODE, GuestMachine } from "../svm/guest-machine.js";

const NOP = 0x90;
const HLT = 0xf4;
const IRETQ = [0x48, 0xcf];
const DB = 1 << 1;
const SINGLE_STEP = 0x4000;

/** A guest with virtual NMIs whose hypervisor waits for the NMI window; in 64-bit mode at {@link CODE}. */
function waiting(code: readonly number[], blocking = 0, primary = 0): GuestMachine {
  const machine = new GuestMachine("intel", code);
  const { vmcs } = machine.vmx;
  vmcs.write(
    VmcsField.PinBasedControls,
    adjustControls(
      PinControl.ExternalInterruptExiting | PinControl.NmiExiting | PinControl.VirtualNmis,
      CAPABILITIES.pin,
    ),
  );
  vmcs.write(
    VmcsField.PrimaryControls,
    vmcs.read(VmcsField.PrimaryControls) | PrimaryControl.NmiWindowExiting | primary,
  );
  vmcs.write(VmcsField.GuestInterruptibility, blocking);
  return machine;
}

function field(machine: GuestMachine, encoding: number): number {
  return machine.vmx.vmcs.read(encoding);
}

/** SDM vol. 3, 26.2 and 27.7.6. */
describe("the NMI window", () => {
  it("is open right after VM entry, whatever IF is", () => {
    for (const flags of [2, 0x202]) {
      const machine = waiting([NOP, HLT]);
      machine.vmx.vmcs.write(VmcsField.GuestRflags, flags);
      expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
      expect(field(machine, VmcsField.GuestRip)).toBe(CODE);
      expect(field(machine, VmcsField.ExitInterruptionInfo)).toBe(0);
    }
  });

  it("is closed by virtual-NMI blocking of the VMCS, for good without an IRET", () => {
    const machine = waiting([NOP, HLT], Interruptibility.ByNmi);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(field(machine, VmcsField.GuestInterruptibility)).toBe(Interruptibility.ByNmi);
  });

  it("opens behind the IRET that ends the blocking, before the next instruction", () => {
    // The frame: push 16 (SS), rsp, flags, 8 (CS), address; iretq.
    const target = CODE + 0x40;
    const push = [0x6a, 16, 0x54, 0x9c, 0x6a, 8, 0x68, target & 0xff, target >> 8, 0, 0];
    const machine = waiting([...push, ...IRETQ], Interruptibility.ByNmi);
    machine.write(target, [NOP, HLT]);
    expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
    expect(field(machine, VmcsField.GuestRip)).toBe(target);
    expect(field(machine, VmcsField.GuestInterruptibility)).toBe(0);
  });

  it("waits for the instruction after MOV SS", () => {
    const machine = waiting([NOP, NOP, HLT], Interruptibility.ByMovSs);
    expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
    expect(field(machine, VmcsField.GuestRip)).toBe(CODE + 1);
    expect(field(machine, VmcsField.GuestInterruptibility)).toBe(0);
  });

  it("comes before an NMI, the interrupt window and an external interrupt", () => {
    const machine = waiting([NOP, HLT], 0, PrimaryControl.InterruptWindowExiting);
    machine.vmx.vmcs.write(VmcsField.GuestRflags, 0x202);
    machine.vmx.raiseInterrupt(0x40);
    machine.vmx.raiseNmi();
    const order = [machine.enter().code];
    const { vmcs } = machine.vmx;
    const without = (bit: number) =>
      vmcs.write(VmcsField.PrimaryControls, vmcs.read(VmcsField.PrimaryControls) & ~bit);
    without(PrimaryControl.NmiWindowExiting);
    for (let i = 0; i < 2; i++) order.push(machine.enter().code);
    without(PrimaryControl.InterruptWindowExiting);
    order.push(machine.enter().code);
    expect(order).toEqual([
      VmxExitReason.NmiWindow,
      VmxExitReason.ExceptionOrNmi,
      VmxExitReason.InterruptWindow,
      VmxExitReason.ExternalInterrupt,
    ]);
  });

  it("comes after a debug trap that is pending at VM entry", () => {
    const machine = waiting([NOP, HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, SINGLE_STEP);
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, DB);
    expect(machine.enter()).toMatchObject({ code: VmxExitReason.ExceptionOrNmi, info1Lo: SINGLE_STEP });
    expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
  });

  it("comes after an event that VM entry injects", () => {
    const machine = waiting([NOP, HLT]);
    machine.vmx.vmcs.write(VmcsField.EntryInterruptionInfo, (1 << 31) | 20);
    machine.vmx.vmcs.write(VmcsField.GuestRflags, 0x202);
    expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
    expect(field(machine, VmcsField.GuestRip)).toBe(0x2000 + 16 * 20);
  });

  it.each([
    ["HLT", ActivityState.Hlt],
    ["shutdown", ActivityState.Shutdown],
  ])("wakes a guest that VM entry puts into %s", (_name, activity) => {
    const machine = waiting([NOP, HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, activity);
    expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
    expect(field(machine, VmcsField.GuestActivityState)).toBe(activity);
    expect(field(machine, VmcsField.GuestRip)).toBe(CODE);
  });

  it("does not wake a guest that waits for a SIPI", () => {
    const machine = waiting([NOP, HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, ActivityState.WaitForSipi);
    machine.vmx.raiseSipi(0x12);
    expect(machine.enter().code).toBe(VmxExitReason.Sipi);
  });
});
