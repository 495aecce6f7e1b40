import { describe, expect, it } from "vitest";
import { State } from "../../src/cpu-state.js";
import { PrimaryControl, SecondaryControl, VmcsField, VmxExitReason } from "../../src/vmx/index.js";
import { CODE, GuestMachine } from "../svm/guest-machine.js";

const NO_INDEX = 1 << 22;
const NO_BASE = 1 << 27;
const ADDRESS_64 = 2 << 7;
const ADDRESS_32 = 1 << 7;
const REGISTER = 1 << 10;
const DS = 3 << 15;
const FS = 4 << 15;
const RAX = 0;
const RCX = 1;
const RBX = 3;
const R9 = 9;

/** Runs one instruction of a 64-bit guest that exits. */
function exitOf(code: readonly number[], prepare?: (machine: GuestMachine) => void) {
  const machine = new GuestMachine("intel", code);
  const { vmcs } = machine.vmx;
  vmcs.write(
    VmcsField.SecondaryControls,
    vmcs.read(VmcsField.SecondaryControls) |
      SecondaryControl.DescriptorTableExiting |
      SecondaryControl.EnableInvpcid,
  );
  vmcs.write(
    VmcsField.PrimaryControls,
    vmcs.read(VmcsField.PrimaryControls) |
      PrimaryControl.InvlpgExiting |
      PrimaryControl.UnconditionalIoExiting,
  );
  prepare?.(machine);
  const exit = machine.enter();
  return {
    reason: exit.code,
    length: exit.instructionLength,
    qualification: vmcs.read(VmcsField.ExitQualification),
    information: vmcs.read(VmcsField.ExitInstructionInfo) >>> 0,
    linear: vmcs.read(VmcsField.GuestLinearAddress),
  };
}

describe("VM-exit instruction information", () => {
  it.each([
    ["SGDT [rbx+rcx*4+8]", [0x0f, 0x01, 0x44, 0x8b, 8], VmxExitReason.GdtrIdtrAccess, 0],
    ["SIDT", [0x0f, 0x01, 0x4c, 0x8b, 8], VmxExitReason.GdtrIdtrAccess, 1],
    ["LGDT", [0x0f, 0x01, 0x54, 0x8b, 8], VmxExitReason.GdtrIdtrAccess, 2],
    ["LIDT", [0x0f, 0x01, 0x5c, 0x8b, 8], VmxExitReason.GdtrIdtrAccess, 3],
    ["SLDT", [0x0f, 0x00, 0x44, 0x8b, 8], VmxExitReason.LdtrTrAccess, 0],
    ["STR", [0x0f, 0x00, 0x4c, 0x8b, 8], VmxExitReason.LdtrTrAccess, 1],
    ["LLDT", [0x0f, 0x00, 0x54, 0x8b, 8], VmxExitReason.LdtrTrAccess, 2],
    ["LTR", [0x0f, 0x00, 0x5c, 0x8b, 8], VmxExitReason.LdtrTrAccess, 3],
  ] as const)("%s names the instruction and its address", (_, code, reason, identity) => {
    const exit = exitOf(code);
    expect(exit).toMatchObject({ reason, qualification: 8, length: 5 });
    // Bit 11 is the operand size of the first four outside 64-bit mode.
    const fields = 2 | ADDRESS_64 | DS | (RCX << 18) | (RBX << 23) | (identity << 28);
    expect(exit.information & ~0x800).toBe(fields);
  });

  it("SLDT of a register", () => {
    const exit = exitOf([0x0f, 0x00, 0xc3]);
    expect(exit.information).toBe(REGISTER | (RBX << 3));
    expect(exit.qualification).toBe(0);
  });

  it("RIP-relative addresses have no base, and the qualification is the address", () => {
    const exit = exitOf([0x0f, 0x01, 0x15, 0x10, 0, 0, 0]);
    expect(exit.qualification).toBe(CODE + 7 + 0x10);
    expect(exit.information & (NO_BASE | NO_INDEX)).toBe(NO_BASE | NO_INDEX);
  });

  it("VMREAD and VMWRITE name both registers", () => {
    // vmread rbx, r9 (r9 is the encoding), vmwrite r9, rbx
    expect(exitOf([0x4c, 0x0f, 0x78, 0xcb])).toMatchObject({
      reason: VmxExitReason.Vmread,
      information: (REGISTER | (RBX << 3) | (R9 << 28)) >>> 0,
    });
    expect(exitOf([0x4c, 0x0f, 0x79, 0xcb])).toMatchObject({
      reason: VmxExitReason.Vmwrite,
      information: (REGISTER | (RBX << 3) | (R9 << 28)) >>> 0,
    });
  });

  it("INVEPT, INVVPID and INVPCID name their register and FS", () => {
    const fields = (ADDRESS_64 | FS | NO_INDEX | (RBX << 23) | (R9 << 28)) >>> 0;
    const invalidate = (opcode: number) => exitOf([0x64, 0x66, 0x44, 0x0f, 0x38, opcode, 0x0b]);
    expect(invalidate(0x80)).toMatchObject({ reason: VmxExitReason.Invept, information: fields });
    expect(invalidate(0x81)).toMatchObject({ reason: VmxExitReason.Invvpid, information: fields });
    expect(invalidate(0x82)).toMatchObject({ reason: VmxExitReason.Invpcid, information: fields });
  });

  it("VMPTRLD with a 32-bit address", () => {
    const exit = exitOf([0x67, 0x0f, 0xc7, 0x70, 0x20]);
    expect(exit).toMatchObject({ reason: VmxExitReason.Vmptrld, qualification: 0x20 });
    expect(exit.information).toBe(ADDRESS_32 | DS | NO_INDEX | (RAX << 23));
  });

  it("OUTS gives segment, address size and linear address", () => {
    const exit = exitOf([0x64, 0x67, 0xf3, 0x6e], (machine) => {
      const { words } = machine.processor.state;
      words[State.Gpr + 2] = 3; // ecx
      words[State.Gpr + 4] = 0x3f8; // dx
      words[State.Gpr + 12] = 0x100; // esi
      machine.vmx.vmcs.write(VmcsField.GuestFsBase, 0x7000);
    });
    expect(exit.reason).toBe(VmxExitReason.Io);
    expect(exit.qualification).toBe((0x3f8 << 16) | 0x30);
    expect(exit.information).toBe(ADDRESS_32 | FS);
    expect(exit.linear).toBe(0x7100);
  });

  it("IN from an immediate port says so", () => {
    expect(exitOf([0xe4, 0x60]).qualification).toBe((0x60 << 16) | 0x40 | 8);
  });

  it("VMX instructions leave at CPL 3 too, and are undefined in compatibility mode", () => {
    const ring3 = (machine: GuestMachine) => {
      const { vmcs } = machine.vmx;
      vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b); // compatibility mode
      vmcs.write(VmcsField.ExceptionBitmap, 1 << 6);
    };
    expect(exitOf([0x0f, 0x01, 0xc4]).reason).toBe(VmxExitReason.Vmxoff);
    expect(exitOf([0x0f, 0x01, 0xc4], ring3).reason).toBe(VmxExitReason.ExceptionOrNmi);
  });
});
