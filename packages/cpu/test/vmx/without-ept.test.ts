import { beforeEach, describe, expect, it } from "vitest";
import { State } from "../../src/cpu-state.js";
import { ExitKind } from "../../src/hardware-virtualization.js";
import {
  EntryControl,
  EntryFailureQualification,
  SecondaryControl,
  VmcsField,
  VmxExitReason,
} from "../../src/vmx/index.js";
import { GuestMachine } from "../svm/guest-machine.js";

/** Guest memory's place in the machine, which the page directory maps at 0 and at 1 GiB. */
const GUEST = 0x400000;
const PDPTES = 300 * 4096 + 32;
const DIRECTORY = 301 * 4096;
const LARGE = 0xe3;
const REAL_CR0 = 0x80010039 | 0;
const TS = 8;
const HLT = 0xf4;
const VECTOR_PF = 14;
const eax = State.Gpr;
const [ecx, ebx] = [State.Gpr + 2, State.Gpr + 6];

let machine: GuestMachine;

/** A 32-bit guest on PAE tables of the hypervisor's, which believes that it does not page. */
function guest(code: readonly number[]): GuestMachine {
  machine = new GuestMachine("intel", code);
  const { processor, vmx } = machine;
  const { memory } = processor;
  const { vmcs } = vmx;
  memory.writeU64(PDPTES, BigInt(DIRECTORY | 1));
  memory.writeU64(DIRECTORY, BigInt(GUEST | LARGE));
  vmcs.write(VmcsField.SecondaryControls, SecondaryControl.EnableVpid);
  vmcs.write(VmcsField.EntryControls, vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest);
  vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
  vmcs.write(VmcsField.GuestEfer, 0);
  vmcs.write(VmcsField.GuestCr3, PDPTES);
  vmcs.write(VmcsField.GuestCr0, REAL_CR0);
  vmcs.write(VmcsField.Cr0ReadShadow, 0x11);
  vmcs.write(VmcsField.Cr0Mask, -1, -1);
  vmcs.write(VmcsField.Cr4Mask, -1, -1);
  vmcs.write(VmcsField.GuestCr4, 0x2020);
  vmcs.write(VmcsField.Cr4ReadShadow, 0x10);
  vmcs.write(VmcsField.ExceptionBitmap, 1 << VECTOR_PF);
  return machine;
}

const { CrAccess, ExceptionOrNmi, Hlt, InvalidGuestState } = VmxExitReason;

describe("a guest whose control registers are the hypervisor's", () => {
  it("reads the read shadows, and runs by what is really in them", () => {
    // mov eax, cr0; smsw ebx; mov ecx, cr4
    guest([0x0f, 0x20, 0xc0, 0x0f, 0x01, 0xe3, 0x0f, 0x20, 0xe1, HLT]);
    expect(machine.enter().code).toBe(Hlt);
    const { words } = machine.processor.state;
    expect([words[eax], words[ebx], words[ecx]]).toEqual([0x11, 0x11, 0x10]);
    expect(machine.vmx.context.paging).toBe(3);
  });

  it("changes nothing by writes that the masks let pass: those of what it reads", () => {
    // mov eax, 11h; mov cr0, eax; lmsw ax; clts; mov eax, 10h; mov cr4, eax
    const same = [0xb8, 0x11, 0, 0, 0, 0x0f, 0x22, 0xc0, 0x0f, 0x01, 0xf0, 0x0f, 0x06];
    guest([...same, 0xb8, 0x10, 0, 0, 0, 0x0f, 0x22, 0xe0, HLT]);
    expect(machine.enter().code).toBe(Hlt);
    const { vmcs } = machine.vmx;
    expect(vmcs.read(VmcsField.GuestCr0)).toBe(REAL_CR0);
    expect(REAL_CR0 & TS).toBe(TS);
    expect(vmcs.read(VmcsField.GuestCr4)).toBe(0x2020);
  });

  it("leaves for the others", () => {
    guest([0x0f, 0x22, 0xc0, HLT]); // eax is 0
    expect(machine.enter()).toMatchObject({ kind: ExitKind.CrAccess, code: CrAccess, info1Lo: 0 });
  });
});

describe("PDPTEs without EPT", () => {
  /** mov eax, [40000000h] */
  const READ = [0xa1, 0, 0, 0, 0x40, HLT];
  const second = PDPTES + 8;

  beforeEach(() => {
    guest(READ);
  });

  it("come from memory at each VM entry, whatever VMWRITE has changed", () => {
    expect(machine.enter()).toMatchObject({ code: ExceptionOrNmi, info1Lo: 0x40000000 });
    const { processor, vmx } = machine;
    expect(vmx.vmcs.read(VmcsField.ExitInterruptionErrorCode)).toBe(0);
    processor.memory.writeU64(second, BigInt(DIRECTORY | 1));
    expect(machine.enter().code).toBe(Hlt);
    expect(processor.state.words[eax]).toBe(processor.memory.readU32(GUEST) | 0);
  });

  it.each([
    ["a reserved bit", BigInt(DIRECTORY | 3)],
    ["an address that is too wide", (1n << 46n) | 1n],
  ])("fail the entry with %s, and only where they are present", (_name, entry) => {
    const { memory } = machine.processor;
    memory.writeU64(second, entry & ~1n);
    expect(machine.enter().code).toBe(ExceptionOrNmi);
    memory.writeU64(second, entry);
    expect(machine.enter()).toMatchObject({
      kind: ExitKind.InvalidState,
      code: InvalidGuestState,
      info1Lo: EntryFailureQualification.Pdpte,
    });
  });

  it("fail it where CR3 points to no memory", () => {
    machine.vmx.vmcs.write(VmcsField.GuestCr3, 0xfff00000 | 0);
    expect(machine.enter()).toMatchObject({ kind: ExitKind.InvalidState, code: InvalidGuestState });
  });
});
