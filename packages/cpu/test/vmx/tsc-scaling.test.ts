import { ExitKind, PrimaryControl, SecondaryControl, State, VmcsField } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { GuestMachine } from "../svm/guest-machine.ts";

const OFFSET = 100_000;

/** A guest that reads its time stamp and calls; `multiplier` is 16.48 fixed point, high word. */
function guest(multiplierHi: number, primary: number = PrimaryControl.TscOffsetting): GuestMachine {
  const machine = new GuestMachine("intel", [0x0f, 0x31, 0x0f, 0x01, 0xc1]); // rdtsc; vmcall
  const { vmcs } = machine.vmx;
  vmcs.write(VmcsField.PrimaryControls, vmcs.read(VmcsField.PrimaryControls) | primary);
  vmcs.write(
    VmcsField.SecondaryControls,
    vmcs.read(VmcsField.SecondaryControls) | SecondaryControl.UseTscScaling,
  );
  vmcs.write(VmcsField.TscMultiplier, 0, multiplierHi);
  vmcs.write(VmcsField.TscOffset, OFFSET, 0);
  return machine;
}

/** What the guest read, and the processor's own time stamp then. */
function read(machine: GuestMachine): { guest: number; host: number } {
  const { processor } = machine;
  let host = 0;
  processor.probes.onTimestamp = () => {
    host = processor.ledger.cycles;
  };
  expect(machine.enter().kind).toBe(ExitKind.Hypercall);
  return { guest: processor.state.words[State.Gpr] >>> 0, host };
}

describe("the TSC multiplier", () => {
  it("scales before the offset is added", () => {
    for (const ratio of [0.5, 1, 2.25]) {
      const { guest: seen, host } = read(guest(ratio * 0x10000));
      expect(host).toBeGreaterThan(0);
      expect(seen).toBe(Math.floor(host * ratio) + OFFSET);
    }
  });

  it("is the guest's alone", () => {
    const machine = guest(0x8000);
    read(machine);
    expect(machine.processor.readTimestamp()).toBe(machine.processor.ledger.cycles);
  });

  it("counts with TSC offsetting only, and must not be zero", () => {
    const plain = guest(0x8000, 0);
    const { vmcs } = plain.vmx;
    vmcs.write(
      VmcsField.PrimaryControls,
      vmcs.read(VmcsField.PrimaryControls) & ~PrimaryControl.TscOffsetting,
    );
    const { guest: seen, host } = read(plain);
    expect(seen).toBe(host);
    expect(guest(0).enter()).toMatchObject({ kind: ExitKind.InvalidState, code: -1, info1Lo: 7 });
  });
});
