import { describe, expect, it } from "vitest";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { SecondaryControl, VmcsField, VmxExitReason } from "../../src/vmx/index.js";
import { CODE, GuestMachine } from "../svm/guest-machine.js";

const LOG = 302;
/** mov [7000h], eax; mov [8000h], eax; hlt */
const STORES = [0x89, 0x04, 0x25, 0, 0x70, 0, 0, 0x89, 0x04, 0x25, 0, 0x80, 0, 0, 0xf4];

/** Page-modification logging from that entry on; EPT keeps accessed and dirty flags. */
function logging(index: number): GuestMachine {
  const machine = new GuestMachine("intel", STORES);
  const { vmcs } = machine.vmx;
  vmcs.write(VmcsField.EptPointer, vmcs.read(VmcsField.EptPointer) | 0x40);
  vmcs.write(
    VmcsField.SecondaryControls,
    vmcs.read(VmcsField.SecondaryControls) | SecondaryControl.EnablePml,
  );
  vmcs.write(VmcsField.PmlAddress, LOG * 4096);
  vmcs.write(VmcsField.PmlIndex, index);
  return machine;
}

function logged(machine: GuestMachine, index: number): number {
  return machine.processor.memory.readU32(LOG * 4096 + 8 * index);
}

describe("page-modification logging", () => {
  it("notes pages as they become dirty, and the exit gives the index back", () => {
    const machine = logging(511);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    const index = machine.vmx.vmcs.read(VmcsField.PmlIndex);
    const pages = [];
    for (let i = 511; i > index; i--) pages.push(logged(machine, i));
    expect(pages).toContain(0x7000);
    expect(pages).toContain(0x8000);
  });

  it("leaves when the log is full, before the store", () => {
    const machine = logging(0xffff);
    expect(machine.enter().code).toBe(VmxExitReason.PageModificationLogFull);
    machine.vmx.vmcs.write(VmcsField.PmlIndex, 511);
    expect(machine.enter().kind).toBe(ExitKind.Hlt);
    expect(machine.vmx.vmcs.read(VmcsField.GuestRip)).toBe(CODE + STORES.length - 1);
  });
});
