import { Flag, Segment, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { handlerOf, installTables, le, Machine, Selector, Table } from "./machine.js";

const CODE = 0x100000;
const STACK = 0x200000;
/** Not mapped: the tables cover 1 GiB. */
const UNMAPPED = 0x40000000;

function long(code: number[], cpl = 0): Machine {
  const machine = new Machine().long(CODE, cpl);
  installTables(machine);
  machine.write(CODE, code);
  machine.setGpr(4, BigInt(STACK));
  return machine;
}

function protected32(code: number[], cpl = 0): Machine {
  const machine = new Machine().flat32(CODE, cpl);
  installTables(machine);
  machine.write(CODE, code);
  machine.setGpr(4, BigInt(STACK));
  return machine;
}

/** Runs to the handler's HLT and returns its vector. */
function vectorOf(machine: Machine): number {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  return (Number(machine.rip) - 1 - Table.Handlers) / 16;
}

/** The quadwords on the handler's stack, from the top. */
function frame64(machine: Machine, count: number): bigint[] {
  const sp = Number(machine.gpr(4));
  return Array.from({ length: count }, (_, i) => machine.processor.memory.readU64(sp + 8 * i));
}

function frame32(machine: Machine, count: number): number[] {
  const sp = Number(machine.gpr(4));
  return Array.from({ length: count }, (_, i) => machine.processor.memory.readU32(sp + 4 * i));
}

describe("exceptions in 64-bit mode", () => {
  it("pushes SS, RSP, RFLAGS with RF, CS and RIP of the faulting instruction", () => {
    const machine = long([0x90, 0x0f, 0x0b]);
    expect(vectorOf(machine)).toBe(6);
    const [rip, cs, flags, rsp, ss] = frame64(machine, 5);
    expect([rip, cs, rsp, ss]).toEqual([BigInt(CODE + 1), 8n, BigInt(STACK), 0x10n]);
    expect(flags).toBe(BigInt(Flag.Rf | 2));
    expect(machine.gpr(4)).toBe(BigInt(STACK - 40));
  });

  it("aligns the stack to 16 bytes before it pushes", () => {
    const machine = long([0x0f, 0x0b]);
    machine.setGpr(4, BigInt(STACK + 7));
    expect(vectorOf(machine)).toBe(6);
    expect(machine.gpr(4)).toBe(BigInt(STACK - 40));
    expect(frame64(machine, 4)[3]).toBe(BigInt(STACK + 7));
  });

  it("reports a page fault with its error code and CR2", () => {
    const machine = long([0xa3, ...le(UNMAPPED, 8)]); // mov [moffs], eax
    expect(vectorOf(machine)).toBe(14);
    expect(frame64(machine, 2)).toEqual([2n, BigInt(CODE)]);
    expect(machine.words[State.Cr2Lo]).toBe(UNMAPPED);
  });

  it("reports an instruction fetch from an unmapped page at the target", () => {
    const machine = long([0xb8, ...le(UNMAPPED, 4), 0xff, 0xe0]); // jmp rax
    expect(vectorOf(machine)).toBe(14);
    expect(frame64(machine, 2)).toEqual([0x10n, BigInt(UNMAPPED)]);
  });

  it("raises #GP(0) for a non-canonical address and #SS(0) when the stack is not canonical", () => {
    const load = long([0x8b, 0x03]); // mov eax, [rbx]
    load.setGpr(3, 0x8000_0000_0000n);
    expect(vectorOf(load)).toBe(13);
    expect(frame64(load, 2)).toEqual([0n, BigInt(CODE)]);
    // A handler with a stack of its own: the guest's is useless.
    const push = long([0x50]);
    push.processor.memory.writeU8(Table.Idt + 16 * 12 + 4, 1);
    push.setGpr(4, 0x8000_0000_1000n);
    expect(vectorOf(push)).toBe(12);
    expect(frame64(push, 1)).toEqual([0n]);
    expect(push.gpr(4)).toBe(BigInt(Table.Ist1 - 48));
  });

  it("raises #DE for a division by zero and changes no register", () => {
    const machine = long([0xf7, 0xf1]);
    machine.setGpr(0, 7n);
    machine.setGpr(2, 1n);
    expect(vectorOf(machine)).toBe(0);
    expect([machine.gpr(0), machine.gpr(2)]).toEqual([7n, 1n]);
  });

  it("switches to the stack of the TSS when it comes from CPL 3, and back with IRETQ", () => {
    const machine = long([0xcc, 0x90, 0x0f, 0x0b], 3);
    machine.write(handlerOf(3), [0x48, 0xcf]); // iretq
    expect(vectorOf(machine)).toBe(6);
    const [rip, cs, , rsp, ss] = frame64(machine, 5);
    expect([rip, cs, rsp, ss]).toEqual([BigInt(CODE + 2), 0x1bn, BigInt(STACK), 0x23n]);
    expect(machine.gpr(4)).toBe(BigInt(Table.Stack0 - 40));
    expect(machine.words[State.Cpl]).toBe(0);
    expect(machine.words[State.Segments + 8 * Segment.Ss]).toBe(0);
  });

  it("refuses INT n through a gate of DPL 0 at CPL 3", () => {
    const machine = long([0xcd, 0x20], 3);
    expect(vectorOf(machine)).toBe(13);
    expect(frame64(machine, 2)).toEqual([BigInt(0x20 * 8 + 2), BigInt(CODE)]);
  });

  it("makes a double fault of a page fault whose handler is not present", () => {
    const machine = long([0xa1, ...le(UNMAPPED, 8)]);
    machine.processor.memory.writeU8(Table.Idt + 16 * 14 + 5, 0x0e);
    expect(vectorOf(machine)).toBe(8);
    expect(frame64(machine, 2)).toEqual([0n, BigInt(CODE)]);
  });

  it("handles a fault during delivery of a benign exception one after the other", () => {
    const machine = long([0x0f, 0x0b]);
    machine.processor.memory.writeU8(Table.Idt + 16 * 6 + 5, 0x0e);
    expect(vectorOf(machine)).toBe(11);
    expect(frame64(machine, 2)).toEqual([BigInt(6 * 8 + 3), BigInt(CODE)]); // IDT, EXT
  });

  it("shuts down when the double fault cannot be delivered", () => {
    const machine = long([0xa1, ...le(UNMAPPED, 8)]);
    machine.words[State.IdtrLimit] = 0;
    expect(machine.run(1000)).toBe(StopReason.TripleFault);
    expect(machine.rip).toBe(BigInt(CODE));
  });

  it("traps after an instruction that ran with TF set", () => {
    const machine = long([0x90, 0x90]);
    machine.processor.engine.setRflags(Flag.Tf | 2);
    expect(vectorOf(machine)).toBe(1);
    const [rip, , flags] = frame64(machine, 3);
    expect(rip).toBe(BigInt(CODE + 1));
    expect(flags).toBe(BigInt(Flag.Tf | 2));
    expect(machine.words[State.Dr6] & 0x4000).toBe(0x4000);
  });

  it("ends the interrupt shadow of STI after one instruction", () => {
    const machine = long([0xfb, 0x90, 0x90, 0xf4]);
    machine.run(1);
    expect(machine.words[State.InterruptShadow]).toBe(1);
    machine.run(1);
    machine.run(1);
    expect(machine.words[State.InterruptShadow]).toBe(0);
  });

  it("delivers an injected event at an instruction boundary", () => {
    const machine = long([0x90]);
    machine.processor.engine.setRflags(Flag.If | 2);
    expect(machine.processor.deliverEvent(0, 0x30, 0, false, 0)).toBe(true);
    expect(Number(machine.rip)).toBe(handlerOf(0x30));
    expect(machine.processor.engine.rflags() & Flag.If).toBe(0);
    expect(frame64(machine, 1)).toEqual([BigInt(CODE)]);
  });
});

describe("exceptions in 32-bit mode", () => {
  it("stays on the stack at the same level", () => {
    const machine = protected32([0x90, 0x0f, 0x0b]);
    expect(vectorOf(machine)).toBe(6);
    expect(frame32(machine, 3)).toEqual([CODE + 1, 8, Flag.Rf | 2]);
    expect(machine.gpr(4)).toBe(BigInt(STACK - 12));
  });

  it("takes SS:ESP from the TSS when it comes from CPL 3, and returns with IRETD", () => {
    const machine = protected32([0xcc, 0x0f, 0x0b], 3);
    machine.write(handlerOf(3), [0xcf]);
    expect(vectorOf(machine)).toBe(6);
    expect(frame32(machine, 5)).toEqual([CODE + 1, 0x1b, Flag.Rf | 2, STACK, 0x23]);
    expect(machine.gpr(4)).toBe(BigInt(Table.Stack0 - 20));
    expect(machine.words[State.Segments + 8 * Segment.Ss]).toBe(Selector.Data0);
  });

  it("pushes the selector as error code of #GP and #NP", () => {
    const beyond = protected32([0xb8, ...le(0x3f8, 4), 0x8e, 0xd8]); // mov ds, ax
    expect(vectorOf(beyond)).toBe(13);
    expect(frame32(beyond, 2)).toEqual([0x3f8, CODE + 5]);
    const absent = protected32([0xb8, ...le(Selector.Absent, 4), 0x8e, 0xd8]);
    expect(vectorOf(absent)).toBe(11);
    expect(frame32(absent, 1)).toEqual([Selector.Absent]);
  });
});
