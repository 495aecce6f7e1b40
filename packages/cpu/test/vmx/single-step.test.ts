import { Flag } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { Interruptibility, PrimaryControl, VmcsField, VmxExitReason } from "../../src/vmx/index.js";
import { CODE, GuestMachine, HANDLERS } from "../svm/guest-machine.js";

const NOP = 0x90;
const CPUID = [0x0f, 0xa2];
const HLT = 0xf4;
const DB = 1 << 1;
const BS = 0x4000;

/** A guest with TF set whose #DB leaves. */
function stepping(code: readonly number[]): GuestMachine {
  const machine = new GuestMachine("intel", code);
  machine.vmx.vmcs.write(VmcsField.GuestRflags, Flag.Tf | 2);
  machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, DB);
  return machine;
}

const field = (machine: GuestMachine, encoding: number) => machine.vmx.vmcs.read(encoding);

/** Expects the #DB of a single step. @returns where the guest is */
function step(machine: GuestMachine): number {
  expect(machine.enter()).toMatchObject({ kind: ExitKind.Exception, info1Lo: BS });
  expect(field(machine, VmcsField.ExitInterruptionInfo)).toBe((1 << 31) | (3 << 8) | 1);
  // A debug exception that leaves is pending no more (SDM vol. 3, 28.3.4).
  expect(field(machine, VmcsField.GuestPendingDebugExceptions)).toBe(0);
  return field(machine, VmcsField.GuestRip);
}

/** The hypervisor carries CPUID out. */
function skipCpuid(machine: GuestMachine): void {
  expect(machine.enter().code).toBe(VmxExitReason.Cpuid);
  expect(field(machine, VmcsField.GuestRflags)).toBe(Flag.Tf | 2);
  expect(field(machine, VmcsField.GuestPendingDebugExceptions)).toBe(0);
  machine.vmx.vmcs.write(VmcsField.GuestRip, CODE + 2);
}

describe("a single step around VM exits", () => {
  it("follows the first instruction after VM entry, and every one", () => {
    const machine = stepping([NOP, NOP, HLT]);
    expect([step(machine), step(machine)]).toEqual([CODE + 1, CODE + 2]);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
  });

  it("is not due for an instruction that left instead of being carried out", () => {
    const machine = stepping([...CPUID, NOP, HLT]);
    skipCpuid(machine);
    expect(step(machine)).toBe(CODE + 3);
  });

  it("comes before the next instruction when the hypervisor makes it pending", () => {
    const machine = stepping([...CPUID, NOP, HLT]);
    skipCpuid(machine);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, BS);
    expect(step(machine)).toBe(CODE + 2);
    // It is told once.
    expect(step(machine)).toBe(CODE + 3);
  });

  it("goes to the guest's handler when #DB does not leave, with TF clear there", () => {
    const machine = stepping([...CPUID, NOP, HLT]);
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, 0);
    skipCpuid(machine);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(field(machine, VmcsField.GuestRip)).toBe(HANDLERS + 16);
    expect(field(machine, VmcsField.GuestRflags) & Flag.Tf).toBe(0);
    // The frame: RIP behind the NOP, and TF in RFLAGS.
    const stack = field(machine, VmcsField.GuestRsp);
    expect(machine.readU64(stack)).toBe(BigInt(CODE + 3));
    expect(machine.readU64(stack + 16)).toBe(BigInt(Flag.Tf | 2));
  });

  it("waits behind an instruction that MOV SS of the VMCS blocks", () => {
    const machine = stepping([NOP, NOP, HLT]);
    // Blocking by MOV SS with TF wants BS (27.3.1.5).
    machine.vmx.vmcs.write(VmcsField.GuestInterruptibility, Interruptibility.ByMovSs);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, BS);
    expect(step(machine)).toBe(CODE + 1);
  });

  it("comes before the interrupt window and an external interrupt", () => {
    const machine = stepping([NOP, NOP, HLT]);
    const { vmcs } = machine.vmx;
    vmcs.write(VmcsField.GuestRflags, Flag.Tf | Flag.If | 2);
    vmcs.write(VmcsField.GuestInterruptibility, Interruptibility.BySti);
    vmcs.write(VmcsField.GuestPendingDebugExceptions, BS);
    vmcs.write(
      VmcsField.PrimaryControls,
      vmcs.read(VmcsField.PrimaryControls) | PrimaryControl.InterruptWindowExiting,
    );
    machine.vmx.raiseInterrupt(0x40);
    expect(step(machine)).toBe(CODE);
  });

  it("waits behind the exit of the monitor trap flag, as a pending debug exception (SDM vol. 3, 26.5.2)", () => {
    const machine = stepping([NOP, NOP, HLT]);
    const { vmcs } = machine.vmx;
    vmcs.write(VmcsField.PrimaryControls, vmcs.read(VmcsField.PrimaryControls) | PrimaryControl.MonitorTrap);
    for (const behind of [CODE + 1, CODE + 2]) {
      expect(machine.enter().code).toBe(VmxExitReason.MonitorTrap);
      expect(field(machine, VmcsField.GuestRip)).toBe(behind);
      expect(field(machine, VmcsField.GuestPendingDebugExceptions)).toBe(BS);
      expect(step(machine)).toBe(behind);
    }
  });

  it("lets the monitor trap flag leave again before its handler", () => {
    const machine = stepping([NOP, NOP, HLT]);
    const { vmcs } = machine.vmx;
    vmcs.write(VmcsField.ExceptionBitmap, 0);
    vmcs.write(VmcsField.PrimaryControls, vmcs.read(VmcsField.PrimaryControls) | PrimaryControl.MonitorTrap);
    const places = [1, 2].map(() => {
      expect(machine.enter().code).toBe(VmxExitReason.MonitorTrap);
      return field(machine, VmcsField.GuestRip);
    });
    expect(places).toEqual([CODE + 1, HANDLERS + 16]);
    expect(field(machine, VmcsField.GuestPendingDebugExceptions)).toBe(0);
  });
});
