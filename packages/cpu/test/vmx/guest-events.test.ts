import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { Attention, State } from "../../src/cpu-state.js";
import { StopReason } from "../../src/execution-engine.js";
import { ExitKind } from "../../src/hardware-virtualization.js";
import {
  ActivityState,
  adjustControls,
  CAPABILITIES,
  ExitControl,
  Interruptibility,
  PinControl,
  PrimaryControl,
  SecondaryControl,
  VmcsField,
  VmxExitReason,
} from "../../src/vmx/index.js";
import { CODE, GuestMachine, HANDLERS } from "../svm/guest-machine.js";

const VALID = 1 << 31;
const HLT = [0xf4];
const NOP = 0x90;
const IRETQ = [0x48, 0xcf];
const STI = 0xfb;
/** mov ss, ax */
const MOV_SS = [0x66, 0xb8, 16, 0, 0x8e, 0xd0];

function guest(code: readonly number[]): GuestMachine {
  return new GuestMachine("intel", code);
}

function primary(machine: GuestMachine, bits: number): void {
  const { vmcs } = machine.vmx;
  vmcs.write(VmcsField.PrimaryControls, vmcs.read(VmcsField.PrimaryControls) | bits);
}

function pin(machine: GuestMachine, bits: number): void {
  machine.vmx.vmcs.write(VmcsField.PinBasedControls, adjustControls(bits, CAPABILITIES.pin));
}

function rip(machine: GuestMachine): number {
  return machine.vmx.vmcs.read(VmcsField.GuestRip);
}

describe("the interrupt window", () => {
  it("opens after the instruction that follows STI", () => {
    const machine = guest([STI, NOP, NOP, ...HLT]);
    primary(machine, PrimaryControl.InterruptWindowExiting);
    expect(machine.enter().code).toBe(VmxExitReason.InterruptWindow);
    expect(rip(machine)).toBe(CODE + 2);
  });
});

describe("NMIs", () => {
  it("leave with NMI exiting, with their interruption information", () => {
    const machine = guest([NOP, ...HLT]);
    pin(machine, PinControl.NmiExiting);
    machine.vmx.raiseNmi();
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Exception, code: VmxExitReason.ExceptionOrNmi });
    expect(machine.vmx.vmcs.read(VmcsField.ExitInterruptionInfo)).toBe(VALID | (2 << 8) | 2);
    expect(machine.enter().kind).toBe(ExitKind.Hlt); // it was one
  });

  it("go to the guest without it, and are blocked until IRET", () => {
    const machine = guest([NOP, ...HLT]);
    machine.vmx.raiseNmi();
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(rip(machine)).toBe(HANDLERS + 32);
    expect(machine.vmx.vmcs.read(VmcsField.GuestInterruptibility)).toBe(Interruptibility.ByNmi);
  });

  it("a virtual one that is injected blocks the window until IRET", () => {
    const machine = guest([NOP, ...HLT]);
    pin(machine, PinControl.NmiExiting | PinControl.VirtualNmis);
    primary(machine, PrimaryControl.NmiWindowExiting);
    machine.write(HANDLERS + 32, [NOP, ...IRETQ]);
    machine.vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (2 << 8) | 2);
    expect(machine.enter().code).toBe(VmxExitReason.NmiWindow);
    expect(rip(machine)).toBe(CODE);
  });

  it("a physical one leaves while virtual ones are blocked", () => {
    const machine = guest([NOP, ...HLT]);
    pin(machine, PinControl.NmiExiting | PinControl.VirtualNmis);
    machine.vmx.vmcs.write(VmcsField.GuestInterruptibility, Interruptibility.ByNmi);
    machine.vmx.raiseNmi();
    expect(machine.enter().code).toBe(VmxExitReason.ExceptionOrNmi);
  });

  it("wait for the instruction after MOV SS", () => {
    const machine = guest([...MOV_SS, NOP, ...HLT]);
    pin(machine, PinControl.NmiExiting);
    machine.vmx.vmcs.write(VmcsField.GuestInterruptibility, Interruptibility.ByMovSs);
    machine.vmx.raiseNmi();
    machine.enter();
    expect(rip(machine)).toBe(CODE + 4); // the blocking of the VMCS lasts for one instruction
  });
});

describe("external interrupts", () => {
  it("leave whatever IF is, with external-interrupt exiting", () => {
    const machine = guest([NOP, ...HLT]);
    machine.vmx.raiseInterrupt(0x40);
    expect(machine.enter().kind).toBe(ExitKind.ExternalInterrupt);
  });

  it("go to the guest's IDT without it, once IF is set", () => {
    const machine = guest([NOP, STI, NOP, NOP, ...HLT]);
    pin(machine, 0);
    machine.vmx.raiseInterrupt(20);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(rip(machine)).toBe(HANDLERS + 16 * 20);
    expect(machine.processor.state.words[State.Attention] & Attention.Interrupt).toBe(0);
  });

  it("INIT always leaves", () => {
    const machine = guest(HLT);
    machine.vmx.raiseInit();
    expect(machine.enter().code).toBe(VmxExitReason.Init);
  });
});

describe("the monitor trap flag", () => {
  it("leaves after each instruction", () => {
    const machine = guest([NOP, NOP, NOP, ...HLT]);
    primary(machine, PrimaryControl.MonitorTrap);
    for (let i = 1; i <= 2; i++) {
      expect(machine.enter().code).toBe(VmxExitReason.MonitorTrap);
      expect(rip(machine)).toBe(CODE + i);
    }
  });

  it("leaves before the handler of an exception", () => {
    const machine = guest([0x0f, 0x0b]);
    primary(machine, PrimaryControl.MonitorTrap);
    expect(machine.enter().code).toBe(VmxExitReason.MonitorTrap);
    expect(rip(machine)).toBe(HANDLERS + 16 * 6);
  });

  it("can be injected, without the control", () => {
    const machine = guest([NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (7 << 8));
    expect(machine.enter().code).toBe(VmxExitReason.MonitorTrap);
    expect(rip(machine)).toBe(CODE);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
  });
});

describe("the preemption timer", () => {
  const LOOP = [0xeb, 0xfe];

  function timed(count: number, code: readonly number[]): GuestMachine {
    const machine = guest(code);
    pin(machine, PinControl.PreemptionTimer);
    machine.vmx.vmcs.write(VmcsField.PreemptionTimer, count);
    return machine;
  }

  it("leaves a loop after its count of 32 cycles", () => {
    const machine = timed(1000, LOOP);
    const before = machine.processor.ledger.cycles;
    const exit = machine.hardware.enter(1e9, Number.MAX_SAFE_INTEGER);
    expect(exit.code).toBe(VmxExitReason.PreemptionTimer);
    const cycles = machine.processor.ledger.cycles - before;
    expect(cycles).toBeGreaterThanOrEqual(999 * 32);
    expect(cycles).toBeLessThan(1200 * 32);
  });

  it("leaves before the first instruction when it starts at zero", () => {
    const machine = timed(0, HLT);
    expect(machine.enter().code).toBe(VmxExitReason.PreemptionTimer);
    expect(rip(machine)).toBe(CODE);
  });

  it("lets debug traps that VM entry makes pending come first (SDM vol. 3, 26.5.1 and 27.7.4)", () => {
    const machine = timed(0, [NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, 0x4000);
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, 2);
    expect(machine.enter().code).toBe(VmxExitReason.ExceptionOrNmi);
    expect(machine.enter().code).toBe(VmxExitReason.PreemptionTimer);
    expect(rip(machine)).toBe(CODE);
  });

  it.each([
    ["an external interrupt", (machine: GuestMachine) => machine.vmx.raiseInterrupt(0x40)],
    ["an NMI", (machine: GuestMachine) => machine.vmx.raiseNmi()],
    ["the NMI window", (machine: GuestMachine) => primary(machine, PrimaryControl.NmiWindowExiting)],
  ])("comes before %s that waits behind the delivery of a debug trap", (_name, raise) => {
    const machine = timed(0, [NOP, ...HLT]);
    const both = PinControl.PreemptionTimer | PinControl.ExternalInterruptExiting | PinControl.NmiExiting;
    pin(machine, both | PinControl.VirtualNmis);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, 0x4000);
    raise(machine);
    expect(machine.enter().code).toBe(VmxExitReason.PreemptionTimer);
    expect(rip(machine)).toBe(HANDLERS + 16);
    pin(machine, (both & ~PinControl.PreemptionTimer) | PinControl.VirtualNmis);
    expect([
      VmxExitReason.ExternalInterrupt,
      VmxExitReason.ExceptionOrNmi,
      VmxExitReason.NmiWindow,
    ]).toContain(machine.enter().code);
    expect(rip(machine)).toBe(HANDLERS + 16);
  });

  it("lets a monitor trap that VM entry injects come first (27.7.8)", () => {
    const machine = timed(0, [NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | (7 << 8));
    expect(machine.enter().code).toBe(VmxExitReason.MonitorTrap);
    expect(machine.enter().code).toBe(VmxExitReason.PreemptionTimer);
  });

  it("comes before a debug trap that MOV SS holds back", () => {
    const machine = timed(0, [NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestRflags, 0x102);
    machine.vmx.vmcs.write(VmcsField.GuestInterruptibility, Interruptibility.ByMovSs);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, 0x4000);
    expect(machine.enter().code).toBe(VmxExitReason.PreemptionTimer);
    expect(machine.vmx.vmcs.read(VmcsField.GuestPendingDebugExceptions)).toBe(0x4000);
  });

  it("does not wake a guest that waits for a SIPI (SDM vol. 3, 26.5.1)", () => {
    const machine = timed(0, HLT);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, ActivityState.WaitForSipi);
    expect(machine.enter().stop).toBe(StopReason.Halted);
    machine.vmx.raiseSipi(7);
    expect(machine.enter().code).toBe(VmxExitReason.Sipi);
  });

  it("wakes a halted guest, which stays halted in the VMCS", () => {
    const machine = timed(50, HLT);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, ActivityState.Hlt);
    expect(machine.enter().code).toBe(VmxExitReason.PreemptionTimer);
    expect(machine.vmx.vmcs.read(VmcsField.GuestActivityState)).toBe(ActivityState.Hlt);
  });

  it("is saved when the exit controls ask for it", () => {
    const machine = timed(1000, HLT);
    const { vmcs } = machine.vmx;
    vmcs.write(VmcsField.ExitControls, vmcs.read(VmcsField.ExitControls) | ExitControl.SavePreemptionTimer);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(vmcs.read(VmcsField.PreemptionTimer)).toBeLessThan(1000);
    expect(vmcs.read(VmcsField.PreemptionTimer)).toBeGreaterThan(800);
  });

  it("does not run out before the caller's own limit", () => {
    const machine = timed(1 << 30, LOOP);
    const limit = machine.processor.ledger.clock[0] + 5000 * TICKS_PER_CYCLE;
    expect(machine.hardware.enter(1e9, limit).stop).toBe(StopReason.Budget);
  });
});

describe("the TPR shadow", () => {
  const PAGE = 301;
  /** mov eax, n; mov cr8, rax; mov rbx, cr8; hlt */
  const writes = (value: number) => [
    0xb8,
    value,
    0,
    0,
    0,
    0x44,
    0x0f,
    0x22,
    0xc0,
    0x44,
    0x0f,
    0x20,
    0xc3,
    ...HLT,
  ];

  function shadowed(code: readonly number[], threshold: number, vtpr: number): GuestMachine {
    const machine = guest(code);
    primary(machine, PrimaryControl.TprShadow);
    machine.vmx.vmcs.write(VmcsField.VirtualApicAddress, PAGE * 4096);
    machine.vmx.vmcs.write(VmcsField.TprThreshold, threshold);
    machine.processor.memory.writeU8(PAGE * 4096 + 0x80, vtpr);
    return machine;
  }

  it("is what MOV CR8 reads and writes", () => {
    const machine = shadowed(writes(7), 3, 0x50);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.processor.state.words[State.Gpr + 6]).toBe(7);
    expect(machine.processor.memory.readU8(PAGE * 4096 + 0x80)).toBe(0x70);
  });

  it("leaves after a write below the threshold", () => {
    const machine = shadowed(writes(2), 3, 0x50);
    expect(machine.enter().code).toBe(VmxExitReason.TprBelowThreshold);
    expect(rip(machine)).toBe(CODE + 9);
  });

  it("is refused when it starts below the threshold", () => {
    const machine = shadowed(HLT, 6, 0x50);
    expect(machine.enter()).toMatchObject({ kind: ExitKind.InvalidState, code: -1, info1Lo: 7 });
  });
});

describe("activity states", () => {
  it("HLT is left by an interrupt, and saved as such", () => {
    const machine = guest([NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, ActivityState.Hlt);
    expect(machine.enter()).toMatchObject({ kind: ExitKind.EngineStop, stop: StopReason.Halted });
    machine.vmx.raiseInterrupt(0x40);
    expect(machine.enter().kind).toBe(ExitKind.ExternalInterrupt);
    expect(machine.vmx.vmcs.read(VmcsField.GuestActivityState)).toBe(ActivityState.Hlt);
  });

  it("HLT that does not exit is reported as one when the guest is left in it", () => {
    const machine = guest([...HLT, NOP]);
    machine.vmx.vmcs.write(
      VmcsField.PrimaryControls,
      machine.vmx.vmcs.read(VmcsField.PrimaryControls) & ~PrimaryControl.HltExiting,
    );
    expect(machine.enter().stop).toBe(StopReason.Halted);
    machine.vmx.raiseInterrupt(0x40);
    expect(machine.enter().kind).toBe(ExitKind.ExternalInterrupt);
    expect(machine.vmx.vmcs.read(VmcsField.GuestActivityState)).toBe(ActivityState.Hlt);
    expect(rip(machine)).toBe(CODE + 1);
  });

  it("shutdown is left by an NMI, not by an interrupt", () => {
    const machine = guest(HLT);
    pin(machine, PinControl.NmiExiting | PinControl.ExternalInterruptExiting);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, ActivityState.Shutdown);
    machine.vmx.raiseInterrupt(0x40);
    expect(machine.enter().stop).toBe(StopReason.Halted);
    machine.vmx.raiseNmi();
    expect(machine.enter().code).toBe(VmxExitReason.ExceptionOrNmi);
  });

  it("wait-for-SIPI is left by a SIPI with its vector", () => {
    const machine = guest(HLT);
    machine.vmx.vmcs.write(VmcsField.GuestActivityState, ActivityState.WaitForSipi);
    expect(machine.enter().stop).toBe(StopReason.Halted);
    machine.vmx.raiseSipi(0x9a);
    expect(machine.enter()).toMatchObject({ code: VmxExitReason.Sipi, info1Lo: 0x9a });
  });
});

describe("pending debug exceptions", () => {
  it("a single step comes before the first instruction", () => {
    const machine = guest([NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, 0x4000);
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, 2);
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Exception, info1Lo: 0x4000 });
    expect(rip(machine)).toBe(CODE);
  });

  it("breakpoints count only when one of them is enabled", () => {
    const machine = guest([NOP, ...HLT]);
    machine.vmx.vmcs.write(VmcsField.GuestPendingDebugExceptions, 0x3);
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, 2);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
  });
});

describe("PAUSE-loop exiting", () => {
  it("leaves a loop that lasts longer than its window", () => {
    const machine = guest([0xf3, 0x90, 0xeb, 0xfc]); // pause; jmp
    const { vmcs } = machine.vmx;
    vmcs.write(
      VmcsField.SecondaryControls,
      vmcs.read(VmcsField.SecondaryControls) | SecondaryControl.PauseLoopExiting,
    );
    vmcs.write(VmcsField.PleGap, 1000);
    vmcs.write(VmcsField.PleWindow, 4000);
    expect(machine.hardware.enter(1e6, Number.MAX_SAFE_INTEGER).code).toBe(VmxExitReason.Pause);
    expect(machine.processor.ledger.cycles).toBeGreaterThan(4000);
  });
});

describe("controls that enable instructions", () => {
  it.each([
    ["RDTSCP", [0x0f, 0x01, 0xf9], SecondaryControl.EnableRdtscp],
    ["INVPCID", [0x66, 0x0f, 0x38, 0x82, 0x04, 0x25, 0, 0x70, 0, 0], SecondaryControl.EnableInvpcid],
  ])("%s is #UD without its own", (_, code, bit) => {
    const machine = guest([...code, ...HLT]);
    const { vmcs } = machine.vmx;
    vmcs.write(VmcsField.ExceptionBitmap, 1 << 6);
    expect(machine.enter().kind).toBe(ExitKind.Exception);
    vmcs.write(VmcsField.SecondaryControls, vmcs.read(VmcsField.SecondaryControls) | bit);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
  });

  it("CR0.NE cannot be cleared by a guest that owns it", () => {
    const machine = guest([0x0f, 0x20, 0xc0, 0x24, 0xdf, 0x0f, 0x22, 0xc0, ...HLT]); // and al, ~20h
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, 1 << 13);
    expect(machine.enter().kind).toBe(ExitKind.Exception);
    machine.vmx.vmcs.write(VmcsField.Cr0Mask, 0x20);
    machine.vmx.vmcs.write(VmcsField.Cr0ReadShadow, 0);
    machine.vmx.vmcs.write(VmcsField.GuestRip, CODE);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
  });
});
