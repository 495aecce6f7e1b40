import { beforeEach, describe, expect, it } from "vitest";
import { ExitKind } from "../../src/hardware-virtualization.js";
import { EntryControl, VmcsField, VmxExitReason } from "../../src/vmx/index.js";
import { CODE, GDT, GuestMachine, HANDLERS, IDT, STACK } from "../svm/guest-machine.js";

const VALID = 1 << 31;
const OLD_TSS = 0x5000;
const NEW_TSS = 0x5100;
/** Selectors of the running task's TSS, of another, of a busy one, and of a task gate to the other one. */
const [OLD, NEW, BUSY, GATE] = [0x18, 0x20, 0x28, 0x30];
const TASK_GATE = [0, 0, NEW, 0, 0, 0x85, 0, 0];
const INTERRUPT_GATE = 0x8e;
const VECTOR = 20;
const [UD, GP] = [6, 13];
/** Bits 31:30 of the exit qualification (SDM vol. 3, table 28-2). */
const Source = { Call: 0, Iret: 1, Jump: 2, Gate: 3 } as const;

let machine: GuestMachine;

const tss = (base: number, access: number) => [0x67, 0, base & 0xff, base >> 8, 0, access, 0, 0];
const far = (opcode: number, selector: number) => [opcode, 0, 0, 0, 0, selector, 0];
const field = (encoding: number) => machine.vmx.vmcs.read(encoding);

/** A 32-bit guest at CPL 0 without paging: IA-32e mode has no task switches. */
beforeEach(() => {
  machine = new GuestMachine("intel", []);
  const { vmcs } = machine.vmx;
  vmcs.write(VmcsField.EntryControls, vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest);
  vmcs.write(VmcsField.GuestEfer, 0);
  vmcs.write(VmcsField.GuestCr0, 0x31);
  vmcs.write(VmcsField.GuestCsAccessRights, 0xc09b);
  vmcs.write(VmcsField.GuestTrSelector, OLD);
  vmcs.write(VmcsField.GuestTrBase, OLD_TSS);
  vmcs.write(VmcsField.GuestGdtrLimit, 0x37);
  machine.write(GDT + 8, [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
  machine.write(GDT + OLD, tss(OLD_TSS, 0x8b));
  machine.write(GDT + NEW, tss(NEW_TSS, 0x89));
  machine.write(GDT + BUSY, tss(NEW_TSS, 0x8b));
  machine.write(GDT + GATE, TASK_GATE);
  vmcs.write(VmcsField.GuestIdtrLimit, 8 * 32 - 1);
  for (let vector = 0; vector < 32; vector++) {
    const handler = HANDLERS + 16 * vector;
    machine.write(IDT + 8 * vector, [handler & 0xff, handler >> 8, 8, 0, 0, INTERRUPT_GATE, 0, 0]);
  }
});

/** Enters at that code. @returns selector and source of the task switch that the guest left for */
function leaves(code: readonly number[]): [number, number] {
  machine.write(CODE, code);
  expect(machine.enter()).toMatchObject({ kind: ExitKind.Other, code: VmxExitReason.TaskSwitch });
  const qualification = field(VmcsField.ExitQualification);
  expect(qualification & 0x3fff0000).toBe(0);
  // Nothing has been switched yet.
  expect(field(VmcsField.GuestTrSelector)).toBe(OLD);
  expect(field(VmcsField.GuestRsp)).toBe(STACK);
  expect(machine.readU64(GDT + NEW) >> 40n).toBe(0x89n);
  return [qualification & 0xffff, qualification >>> 30];
}

/** SDM vol. 3, 26.4.2, 28.2.1, 28.2.4 and 28.2.5. */
describe("a task switch leaves the guest", () => {
  it.each([
    ["CALL", 0x9a, NEW, Source.Call],
    ["JMP", 0xea, NEW, Source.Jump],
    ["CALL through a gate", 0x9a, GATE, Source.Call],
    ["JMP through a gate", 0xea, GATE, Source.Jump],
  ])("by %s, at the instruction, with its length", (_name, opcode, selector, source) => {
    expect(leaves(far(opcode, selector))).toEqual([NEW, source]);
    expect(field(VmcsField.GuestRip)).toBe(CODE);
    expect(field(VmcsField.ExitInstructionLength)).toBe(7);
    expect(field(VmcsField.IdtVectoringInfo)).toBe(0);
  });

  it("by IRET with NT, to the task of the link", () => {
    machine.write(OLD_TSS, [BUSY, 0]);
    machine.vmx.vmcs.write(VmcsField.GuestRflags, 0x4002);
    expect(leaves([0xcf])).toEqual([BUSY, Source.Iret]);
    expect(field(VmcsField.ExitInstructionLength)).toBe(1);
    expect(field(VmcsField.GuestRflags)).toBe(0x4002);
  });

  it("by INT n through a task gate, which the vectoring information names", () => {
    machine.write(IDT + 8 * VECTOR, TASK_GATE);
    expect(leaves([0xcd, VECTOR])).toEqual([NEW, Source.Gate]);
    expect(field(VmcsField.GuestRip)).toBe(CODE);
    expect(field(VmcsField.ExitInstructionLength)).toBe(2);
    expect(field(VmcsField.IdtVectoringInfo)).toBe(VALID | (4 << 8) | VECTOR);
  });

  it("by an exception whose gate is one", () => {
    machine.write(IDT + 8 * UD, TASK_GATE);
    expect(leaves([0x0f, 0x0b])).toEqual([NEW, Source.Gate]);
    expect(field(VmcsField.GuestRip)).toBe(CODE);
    expect(field(VmcsField.IdtVectoringInfo)).toBe(VALID | (3 << 8) | UD);
  });

  it("by an exception with an error code, which the vectoring information has", () => {
    machine.write(IDT + 8 * GP, TASK_GATE);
    // mov ds, the TSS
    expect(leaves([0x66, 0xb8, NEW, 0, 0x8e, 0xd8])).toEqual([NEW, Source.Gate]);
    expect(field(VmcsField.GuestRip)).toBe(CODE + 4);
    expect(field(VmcsField.IdtVectoringInfo)).toBe(VALID | 0x800 | (3 << 8) | GP);
    expect(field(VmcsField.IdtVectoringErrorCode)).toBe(NEW);
  });

  it("by an event that VM entry injects", () => {
    machine.write(IDT + 8 * VECTOR, TASK_GATE);
    machine.vmx.vmcs.write(VmcsField.EntryInterruptionInfo, VALID | VECTOR);
    machine.vmx.vmcs.write(VmcsField.GuestRflags, 0x202);
    expect(leaves([0x90, 0xf4])).toEqual([NEW, Source.Gate]);
    expect(field(VmcsField.GuestRip)).toBe(CODE);
    expect(field(VmcsField.IdtVectoringInfo)).toBe(VALID | VECTOR);
  });

  it.each([
    ["a busy TSS", BUSY, 0x8b, 0x67, GP],
    ["an absent TSS", NEW, 0x09, 0x67, 11],
    ["a TSS that is too short", NEW, 0x89, 0x66, 10],
    ["a selector beyond the GDT", 0x38, 0x89, 0x67, GP],
  ])("not for %s, whose fault comes first", (_name, selector, access, limit, vector) => {
    if (selector === NEW) machine.write(GDT + NEW, [limit, ...tss(NEW_TSS, access).slice(1)]);
    machine.vmx.vmcs.write(VmcsField.ExceptionBitmap, -1);
    machine.write(CODE, far(0xea, selector));
    expect(machine.enter()).toMatchObject({ kind: ExitKind.Exception, code: VmxExitReason.ExceptionOrNmi });
    expect(field(VmcsField.ExitInterruptionInfo)).toBe(VALID | 0x800 | (3 << 8) | vector);
    expect(field(VmcsField.ExitInterruptionErrorCode)).toBe(selector);
  });
});
