import { Flag, type GuestMode, Intercept, Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, descriptor, handlerOf, installTables, Machine, Selector, Table } from "./machine.js";

const CODE = 0x100000;
const TASK_CODE = 0x110000;
const STACK = 0x200000;
const TASK_STACK = 0x210000;
const NEW_TSS = 0x8800;
const NEW = 0x60;
const GATE = 0x68;

/** A second task behind selector `NEW`, whose code is one HLT, and a task gate to it behind `GATE`. */
function start(...instructions: string[]): Machine {
  const machine = new Machine().flat32(CODE);
  installTables(machine);
  const { memory } = machine.processor;
  machine.words[State.GdtrLimit] = 0x8f;
  memory.writeU8(Table.Gdt + Selector.Tss + 5, 0x8b);
  memory.writeU64(Table.Gdt + NEW, descriptor(NEW_TSS, 0x67, 0x89, 0));
  memory.writeU64(Table.Gdt + GATE, (0x85n << 40n) | (BigInt(NEW) << 16n));
  const fields: readonly (readonly [number, number])[] = [
    [0x20, TASK_CODE],
    [0x24, 0x2],
    [0x28, 0xaaaa],
    [0x38, TASK_STACK],
    [0x44, 0xdddd],
    [0x48, Selector.Data0],
    [0x4c, Selector.Code0],
    [0x50, Selector.Data0],
    [0x54, Selector.Data0],
  ];
  for (const [offset, value] of fields) memory.writeU32(NEW_TSS + offset, value);
  machine.write(TASK_CODE, [0xf4]);
  machine.write(CODE, code(...instructions));
  machine.setGpr(4, BigInt(STACK));
  machine.setGpr(1, 0xccccn);
  return machine;
}

const accessOf = (machine: Machine, selector: number) =>
  machine.processor.memory.readU8(Table.Gdt + selector + 5);
const taskRegister = (machine: Machine) => machine.words[State.Segments + 8 * Segment.Tr];

function outcome(machine: Machine): { vector: number; error: number } {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const vector = (Number(machine.rip) - 1 - Table.Handlers) / 16;
  return { vector, error: machine.processor.memory.readU32(Number(machine.gpr(4))) };
}

describe("task switch", () => {
  it("saves the old task and loads the new one on a far JMP", () => {
    const machine = start("ea 00 00 00 00 60 00");
    const { memory } = machine.processor;
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(machine.rip).toBe(BigInt(TASK_CODE + 1));
    expect(machine.gpr(0)).toBe(0xaaaan);
    expect(machine.gpr(4)).toBe(BigInt(TASK_STACK));
    expect(machine.gpr(7)).toBe(0xddddn);
    expect(taskRegister(machine)).toBe(NEW);
    expect(machine.words[State.Cr0] & 8).toBe(8);
    expect([accessOf(machine, Selector.Tss), accessOf(machine, NEW)]).toEqual([0x89, 0x8b]);
    expect(memory.readU32(Table.Tss + 0x20)).toBe(CODE + 7);
    expect(memory.readU32(Table.Tss + 0x2c)).toBe(0xcccc);
    expect(memory.readU32(Table.Tss + 0x4c)).toBe(Selector.Code0);
    expect(machine.processor.engine.rflags() & Flag.Nt).toBe(0);
    // FS and GS of the new task are null.
    expect(machine.words[State.Segments + 8 * Segment.Fs + SegmentWord.Attributes]).toBe(0x10000);
  });

  it.each(["9a 00 00 00 00 60 00", "9a 00 00 00 00 68 00"])(
    "nests on CALL and comes back with IRET: %s",
    (call) => {
      const machine = start(call, "b8 01 00 00 00", "f4");
      // mov ebx, 0x77; pushf; pop edx; iret; hlt
      machine.write(TASK_CODE, code("bb 77 00 00 00", "9c", "5a", "cf", "f4"));
      expect(machine.run(10)).toBe(StopReason.Halted);
      expect(machine.rip).toBe(BigInt(CODE + 13));
      // Registers are the first task's again; what the second had is in its TSS.
      expect([machine.gpr(0), machine.gpr(3), machine.gpr(4)]).toEqual([1n, 0n, BigInt(STACK)]);
      const { memory } = machine.processor;
      expect(memory.readU32(NEW_TSS + 0x34)).toBe(0x77);
      expect(memory.readU32(NEW_TSS + 0x30) & Flag.Nt).toBe(Flag.Nt);
      expect(memory.readU32(NEW_TSS + 0x24) & Flag.Nt).toBe(0);
      expect(memory.readU32(NEW_TSS) & 0xffff).toBe(Selector.Tss);
      expect(memory.readU32(NEW_TSS + 0x20)).toBe(TASK_CODE + 8);
      expect([accessOf(machine, Selector.Tss), accessOf(machine, NEW)]).toEqual([0x8b, 0x89]);
      expect(taskRegister(machine)).toBe(Selector.Tss);
    },
  );

  it("handles a double fault in a task of its own when the stack is gone", () => {
    const machine = start("bc 00 00 00 ff", "50"); // mov esp, 0xff000000; push eax
    const { memory, state } = machine.processor;
    machine.write(Table.Idt + 8 * 8, code("00 00 60 00 00 85 00 00"));
    // 4 MiB pages over 16 MiB: a push beyond them is a page fault whose delivery is one too.
    for (let i = 0; i < 4; i++) memory.writeU32(0x3000 + 4 * i, (i << 22) | 0x83);
    memory.writeU32(NEW_TSS + 0x1c, 0x3000);
    state.words[State.Cr3Lo] = 0x3000;
    state.words[State.Cr4] = 0x10;
    state.words[State.Cr0] |= 0x80000000;
    machine.processor.syncTranslation();
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(machine.rip).toBe(BigInt(TASK_CODE + 1));
    expect(machine.gpr(4)).toBe(BigInt(TASK_STACK - 4));
    expect(memory.readU32(TASK_STACK - 4)).toBe(0);
    expect(memory.readU32(Table.Tss + 0x20)).toBe(CODE + 5);
    expect(memory.readU32(Table.Tss + 0x38)).toBe(0xff000000);
    expect(machine.words[State.Cr2Lo]).toBe(0xfefffffc | 0);
  });

  it("switches on INT n through a task gate, which its DPL guards", () => {
    const machine = start("cd 30", "90");
    machine.write(Table.Idt + 8 * 0x30, code("00 00 60 00 00 85 00 00"));
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(machine.rip).toBe(BigInt(TASK_CODE + 1));
    expect(machine.gpr(4)).toBe(BigInt(TASK_STACK));
    expect(machine.processor.memory.readU32(Table.Tss + 0x20)).toBe(CODE + 2);
  });

  const jump = "ea 00 00 00 00 60 00";
  it.each([
    ["a busy task", 0x8b, 0x67, 13],
    ["an absent task", 0x09, 0x67, 11],
    ["a TSS that is too short", 0x89, 0x66, 10],
  ] as const)("refuses %s", (_, access, limit, vector) => {
    const machine = start(jump);
    machine.processor.memory.writeU64(Table.Gdt + NEW, descriptor(NEW_TSS, limit, access, 0));
    expect(outcome(machine)).toEqual({ vector, error: NEW });
    expect(taskRegister(machine)).toBe(Selector.Tss);
    expect(machine.processor.memory.readU32(Number(machine.gpr(4)) + 4)).toBe(CODE);
  });

  it.each([
    ["CS that is data", 0x4c, Selector.Data0, 10, Selector.Data0],
    ["an absent data segment", 0x48, Selector.Absent, 11, Selector.Absent],
    ["a read-only data segment for a stack", 0x54, Selector.Tss, 10, Selector.Tss],
    ["an LDT that is none", 0x60, Selector.Data0, 10, Selector.Data0],
  ] as const)("finds in the new task: %s", (_, offset, selector, vector, error) => {
    // The handlers are tasks as well, so that a broken CS or SS does not matter; this one has a stack of its own.
    const machine = start("90", jump);
    const { memory } = machine.processor;
    memory.writeU32(NEW_TSS + offset, selector);
    const handler = 0x8c00;
    for (let at = 0; at <= 0x64; at += 4) memory.writeU32(handler + at, memory.readU32(NEW_TSS + at));
    memory.writeU32(
      handler + offset,
      offset === 0x60 ? 0 : offset === 0x4c ? Selector.Code0 : Selector.Data0,
    );
    memory.writeU32(handler + 0x20, handlerOf(vector));
    memory.writeU64(Table.Gdt + 0x70, descriptor(handler, 0x67, 0x89, 0));
    machine.write(Table.Idt + 8 * vector, code("00 00 70 00 00 85 00 00"));
    expect(outcome(machine)).toEqual({ vector, error });
    // The fault was the new task's: its TSS is the link, and its first instruction what it resumes.
    expect(memory.readU32(handler) & 0xffff).toBe(NEW);
    expect(memory.readU32(NEW_TSS + 0x20)).toBe(TASK_CODE);
    expect(memory.readU32(Table.Tss + 0x20)).toBe(CODE + 8);
  });

  it("traps after a switch to a task whose T bit is set", () => {
    const machine = start(jump);
    machine.processor.memory.writeU32(NEW_TSS + 0x64, 1);
    expect(outcome(machine).vector).toBe(1);
    expect(machine.words[State.Dr6] & 0x8000).toBe(0x8000);
    expect(machine.processor.memory.readU32(Number(machine.gpr(4)))).toBe(TASK_CODE);
  });

  it("enters virtual-8086 mode when EFLAGS of the new task say so", () => {
    const machine = start(jump);
    const { memory } = machine.processor;
    memory.writeU32(NEW_TSS + 0x24, 0x20002);
    memory.writeU32(NEW_TSS + 0x20, 0x10);
    memory.writeU32(NEW_TSS + 4, Table.Stack0);
    memory.writeU32(NEW_TSS + 8, Selector.Data0);
    for (let at = 0x48; at <= 0x5c; at += 4) memory.writeU32(NEW_TSS + at, 0x2000);
    machine.write(0x20010, code("c7 06 00 01 34 12", "cc")); // mov word [0x100], 0x1234; int3
    expect(outcome(machine).vector).toBe(3);
    expect(machine.word16(0x20100)).toBe(0x1234);
  });

  it("switches 16-bit tasks", () => {
    const machine = start(jump);
    const { memory } = machine.processor;
    memory.writeU64(Table.Gdt + NEW, descriptor(NEW_TSS, 0x2b, 0x81, 0));
    for (let at = 0; at < 0x2c; at += 4) memory.writeU32(NEW_TSS + at, 0);
    const fields = [0x9800, 2, 0x1111, 0x2222, 0x3333, 0x4444, 0xa000, 0, 0, 0x5555];
    machine.write(
      NEW_TSS + 0x0e,
      fields.flatMap((value) => [value & 0xff, value >> 8]),
    );
    const selectors = [Selector.Data0, Selector.Code0, Selector.Data0, Selector.Data0, 0];
    machine.write(
      NEW_TSS + 0x22,
      selectors.flatMap((value) => [value & 0xff, value >> 8]),
    );
    machine.write(0x9800, [0xf4]);
    expect(machine.run(10)).toBe(StopReason.Halted);
    expect(machine.rip).toBe(0x9801n);
    expect([0, 1, 3, 4, 7].map((r) => machine.gpr(r) & 0xffffn)).toEqual([
      0x1111n,
      0x2222n,
      0x4444n,
      0xa000n,
      0x5555n,
    ]);
  });

  it("asks a hypervisor first, with the source and the selector", () => {
    const machine = start("90", "9a 00 00 00 00 68 00");
    const seen: number[][] = [];
    const guest: GuestMode = {
      interceptInstruction: (event, info, length) => {
        seen.push([event, info, length]);
        return true;
      },
      interceptException: () => false,
      secondStageFault: () => {},
      externalEvent: () => false,
    };
    machine.processor.guestMode = guest;
    expect(machine.run(10)).toBe(StopReason.VmExit);
    expect(seen).toEqual([[Intercept.TaskSwitch, NEW, 7]]);
    expect(machine.rip).toBe(BigInt(CODE + 1));
    expect(accessOf(machine, NEW)).toBe(0x89);
  });
});
