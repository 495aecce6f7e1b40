import { describe, expect, it } from "vitest";
import { State } from "../../src/cpu-state.js";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { General1, General2, SvmExitCode, VmcbOffset } from "../../src/svm/index.js";
import { CODE, GuestMachine, HANDLERS, IDT, STACK } from "./guest-machine.js";

const EVENT_VALID = 1 << 31;
const HLT = [0xf4];
const STORAGE = 0x7000;

function guest(code: readonly number[]): GuestMachine {
  return new GuestMachine("amd", code);
}

function also1(machine: GuestMachine, ...bits: number[]): GuestMachine {
  const { vmcb } = machine.svm;
  const more = bits.reduce((sum, bit) => sum | (1 << bit), vmcb.word(VmcbOffset.General1Intercepts));
  vmcb.set(VmcbOffset.General1Intercepts, more);
  return machine;
}

function also2(machine: GuestMachine, bit: number): GuestMachine {
  const { vmcb } = machine.svm;
  vmcb.set(VmcbOffset.General2Intercepts, vmcb.word(VmcbOffset.General2Intercepts) | (1 << bit));
  return machine;
}

describe("instructions that only SVM intercepts", () => {
  it.each([
    ["PUSHF", [0x9c], General1.Pushf, SvmExitCode.Pushf],
    ["POPF", [0x9d], General1.Popf, SvmExitCode.Popf],
    ["IRET", [0x48, 0xcf], General1.Iret, SvmExitCode.Iret],
    ["INT n", [0xcd, 0x21], General1.Swint, SvmExitCode.Swint],
  ] as const)("%s", (_, code, bit, exitCode) => {
    const machine = also1(guest(code), bit);
    expect(machine.enter()).toMatchObject({ code: exitCode, instructionLength: code.length });
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(CODE));
    expect(machine.svm.vmcb.read("Rsp")).toBe(BigInt(STACK));
  });

  it("INT n names its vector, and INT3 is none", () => {
    const machine = also1(guest([0xcd, 0x21]), General1.Swint);
    expect(machine.enter().info1Lo).toBe(0x21);
    expect(also1(guest([0xcc]), General1.Swint).enter().kind).toBe(ExitKind.Hlt);
  });

  it("INT1, before the #DB that it would raise", () => {
    const machine = also2(guest([0xf1]), General2.Icebp);
    machine.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 2);
    expect(machine.enter().code).toBe(SvmExitCode.Icebp);
  });

  it("INT1 is not seen by the #DB intercept", () => {
    const machine = guest([0xf1]);
    machine.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 2);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(HANDLERS + 16));
  });

  it("LMSW meets the selective CR0 intercept whatever it writes", () => {
    const machine = also1(guest([0x0f, 0x01, 0xe0, 0x0f, 0x01, 0xf0]), General1.Cr0Selective); // smsw, lmsw
    expect(machine.enter().code).toBe(SvmExitCode.Cr0SelectiveWrite);
  });

  it("is asked for only by guests whose VMCB wants it", () => {
    expect(guest([0x9c, ...HLT]).enter().kind).toBe(ExitKind.Hlt);
  });
});

describe("nRIP of exceptions", () => {
  it("is the next instruction after INT3, and zero after a fault", () => {
    const trap = guest([0xcc]);
    trap.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 3);
    expect(trap.enter().code).toBe(0x43);
    expect(trap.svm.vmcb.read("NRip")).toBe(BigInt(CODE + 1));
    const fault = guest([0x0f, 0x0b]);
    fault.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 6);
    fault.enter();
    expect(fault.svm.vmcb.read("NRip")).toBe(0n);
  });
});

describe("injected software events", () => {
  it.each([
    ["INT n", (4 << 8) | 8],
    ["INT3", (3 << 8) | 3],
  ])("%s pushes nRIP", (_, event) => {
    const machine = guest(HLT);
    machine.svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | event, 0);
    machine.svm.vmcb.set64(VmcbOffset.NRip, CODE + 0x123, 0);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.readU64(STACK - 40)).toBe(BigInt(CODE + 0x123));
  });

  it("look at the gate's DPL, others do not", () => {
    const inject = (event: number): number => {
      const machine = guest(HLT);
      machine.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 13);
      // Gates have DPL 0; at CPL 3 the fault comes before any stack is touched.
      machine.svm.vmcb.set(VmcbOffset.Cpl, 3);
      machine.svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | event, 0);
      return machine.enter().code;
    };
    expect(inject((3 << 8) | 3)).toBe(0x4d);
    expect(inject((4 << 8) | 8)).toBe(0x4d);
    expect(inject((3 << 8) | 6)).not.toBe(0x4d);
  });

  it("an NMI has vector 2 whatever the field says", () => {
    const machine = guest(HLT);
    machine.svm.vmcb.set64(VmcbOffset.EventInj, EVENT_VALID | (2 << 8) | 0x55, 0);
    machine.enter();
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(HANDLERS + 16 * 2));
  });
});

describe("write traps", () => {
  it("leave after MOV to CR4, with the value that is there now", () => {
    const machine = also2(guest([0x0f, 0x20, 0xe0, 0x0c, 0x80, 0x0f, 0x22, 0xe0]), General2.CrWriteTrap + 4);
    expect(machine.enter()).toMatchObject({ code: SvmExitCode.CrWriteTrap + 4, info1Lo: 0xa0 });
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(CODE + 8));
    expect(machine.svm.vmcb.read("Cr4")).toBe(0xa0n);
  });

  it("do not leave after a write that faults", () => {
    const machine = also2(guest([0x31, 0xc0, 0x0f, 0x22, 0xe0]), General2.CrWriteTrap + 4); // PAE off
    machine.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 13);
    expect(machine.enter().code).toBe(0x4d);
  });
});

describe("SVM instructions that are not intercepted", () => {
  it("VMSAVE and VMLOAD reach machine memory", () => {
    // mov eax, STORAGE; vmsave; vmload; hlt
    const machine = guest([0xb8, 0, 0x70, 0, 0, 0x0f, 0x01, 0xdb, 0x0f, 0x01, 0xda, ...HLT]);
    machine.processor.state.words[State.StarLo] = 0x5678;
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.processor.memory.readU32(STORAGE + 0x600)).toBe(0x5678);
  });

  it("VMSAVE to an address that is not a frame's is #GP", () => {
    const machine = guest([0xb8, 1, 0x70, 0, 0, 0x0f, 0x01, 0xdb]);
    machine.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 13);
    expect(machine.enter().code).toBe(0x4d);
  });

  it("CLGI holds interrupts back until STGI", () => {
    // clgi; nop; stgi; hlt, with INTR pending and unmasked
    const machine = guest([0x0f, 0x01, 0xdd, 0x90, 0x0f, 0x01, 0xdc, ...HLT]);
    machine.svm.vmcb.set64(VmcbOffset.Rflags, 0x202, 0);
    machine.svm.vmcb.set64(VmcbOffset.InterruptShadow, 1, 0); // so that CLGI runs first
    machine.svm.raiseInterrupt();
    expect(machine.enter().code).toBe(SvmExitCode.Intr);
    expect(machine.svm.vmcb.read("Rip")).toBe(BigInt(CODE + 7));
  });

  it("SKINIT is undefined", () => {
    const machine = guest([0x0f, 0x01, 0xde]);
    machine.svm.vmcb.set(VmcbOffset.ExceptionIntercepts, 1 << 6);
    expect(machine.enter().code).toBe(0x46);
  });
});

describe("OUTS", () => {
  it("reports segment and address size", () => {
    // mov dx, 0xe9; fs rep outsb with 32-bit addresses
    const machine = also1(guest([0x66, 0xba, 0xe9, 0, 0xb1, 1, 0x64, 0x67, 0xf3, 0x6e]), General1.Ioio);
    const iopm = 300;
    machine.svm.vmcb.set64(VmcbOffset.IopmBase, iopm * 4096, 0);
    machine.processor.memory.writeU8(iopm * 4096 + (0xe9 >> 3), 0xff);
    expect(machine.enter()).toMatchObject({
      code: SvmExitCode.Ioio,
      info1Lo: (0xe9 << 16) | (4 << 10) | 0x100 | 0x10 | 8 | 4,
      info2Lo: CODE + 10,
    });
  });
});

describe("an NMI", () => {
  it("that the guest takes is blocked until its IRET", () => {
    const machine = guest([0x90, ...HLT]);
    machine.write(HANDLERS + 32, [0x48, 0xcf]); // IRET
    machine.svm.raiseNmi();
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.processor.state.words[State.NmiBlocked]).toBe(0);
    machine.write(IDT, [0]);
  });
});
