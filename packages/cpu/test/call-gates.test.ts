import { Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, descriptor, installTables, Machine, Selector, Table } from "./machine.js";

const CODE = 0x100000;
const TARGET = 0x110000;
const STACK = 0x200000;
const GATE = 0x60;

function gate(offset: number, selector: number, access: number, parameters = 0): bigint {
  const o = BigInt(offset);
  return (
    (o & 0xffffn) |
    (BigInt(selector) << 16n) |
    (BigInt(parameters) << 32n) |
    (BigInt(access) << 40n) |
    ((o >> 16n) << 48n)
  );
}

function start(mode: 32 | 64, cpl: number, entry: bigint, ...instructions: string[]): Machine {
  const machine = new Machine();
  if (mode === 64) machine.long(CODE, cpl);
  else machine.flat32(CODE, cpl);
  installTables(machine);
  machine.words[State.GdtrLimit] = 0x8f;
  machine.processor.memory.writeU64(Table.Gdt + GATE, entry);
  machine.setGpr(4, BigInt(STACK));
  machine.write(CODE, code(...instructions));
  return machine;
}

function outcome(machine: Machine): { vector: number; error: number } {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const vector = (Number(machine.rip) - 1 - Table.Handlers) / 16;
  return { vector, error: machine.processor.memory.readU32(Number(machine.gpr(4))) };
}

describe("call gates outside long mode", () => {
  const call = ["68 11 11 11 11", "68 22 22 22 22", "9a 00 00 00 00 63 00", "cc"];

  it("copies parameters to the inner stack and comes back without them", () => {
    const machine = start(32, 3, gate(TARGET, Selector.Code0, 0xec, 2), ...call);
    // mov eax, [esp+8]; mov edx, [esp+12]; mov ebx, [esp+20]; mov cx, cs; retf 8
    machine.write(TARGET, code("8b 44 24 08", "8b 54 24 0c", "8b 5c 24 14", "66 8c c9", "ca 08 00"));
    expect(outcome(machine).vector).toBe(3);
    expect(machine.gpr(0)).toBe(0x22222222n);
    expect(machine.gpr(2)).toBe(0x11111111n);
    expect(machine.gpr(3)).toBe(BigInt(Selector.Data3));
    expect(machine.gpr(1)).toBe(BigInt(Selector.Code0));
    expect(machine.processor.memory.readU32(Number(machine.gpr(4)) + 12)).toBe(STACK);
  });

  it("pushes 16-bit slots through a 16-bit gate", () => {
    const machine = start(32, 3, gate(0x9800, Selector.Code0, 0xe4, 1), ...call);
    machine.write(0x9800, code("f4"));
    expect(machine.run(100)).toBe(StopReason.Halted);
    const sp = Number(machine.gpr(4));
    expect(sp).toBe(Table.Stack0 - 10);
    expect([0, 2, 4, 6, 8].map((at) => machine.word16(sp + at))).toEqual([
      (CODE + 17) & 0xffff,
      Selector.Code3,
      0x2222,
      (STACK - 8) & 0xffff,
      Selector.Data3,
    ]);
  });

  it("stays on its stack at the same level and through conforming code", () => {
    const same = start(32, 0, gate(TARGET, Selector.Code0, 0x8c), "9a 00 00 00 00 60 00");
    same.write(TARGET, code("f4"));
    expect(same.run(10)).toBe(StopReason.Halted);
    expect(Number(same.gpr(4))).toBe(STACK - 8);
    const conforming = start(32, 3, gate(TARGET, Selector.Conforming, 0xec), "ea 00 00 00 00 63 00");
    conforming.write(TARGET, code("cc"));
    expect(outcome(conforming).vector).toBe(3);
    expect(conforming.processor.memory.readU32(Number(conforming.gpr(4)) + 4)).toBe(Selector.Conforming | 3);
  });

  it.each([
    ["a gate of DPL 0", gate(TARGET, Selector.Code0, 0x8c), 13, GATE],
    ["an absent gate", gate(TARGET, Selector.Code0, 0x6c), 11, GATE],
    ["a gate to data", gate(TARGET, Selector.Data0, 0xec), 13, Selector.Data0],
    ["a gate to nothing", gate(TARGET, 0, 0xec), 13, 0],
    ["a busy TSS", descriptor(0x8800, 0x67, 0xeb, 0), 13, GATE],
  ] as const)("refuses %s", (_, entry, vector, error) => {
    expect(outcome(start(32, 3, entry, "9a 00 00 00 00 63 00"))).toEqual({ vector, error });
  });

  it("refuses a JMP to an inner level and an inner stack that is none", () => {
    const jump = start(32, 3, gate(TARGET, Selector.Code0, 0xec), "ea 00 00 00 00 63 00");
    expect(outcome(jump)).toEqual({ vector: 13, error: Selector.Code0 });
    const stack = start(32, 3, gate(TARGET, Selector.Code0, 0xec), "9a 00 00 00 00 63 00");
    stack.processor.memory.writeU32(Table.Tss + 8, Selector.Data3);
    // The exception meets the same stack.
    expect(stack.run(10)).toBe(StopReason.TripleFault);
  });
});

describe("call gates in long mode", () => {
  const callMemory = ["ff 1d 02 00 00 00", "cc", "90", "00 00 00 00 63 00"]; // call far [rip+2]

  it("goes to an inner level on a stack of the TSS with a null SS, and back", () => {
    const machine = start(64, 3, gate(TARGET, Selector.Code0, 0xec), ...callMemory);
    machine.processor.memory.writeU64(Table.Gdt + GATE + 8, 0n);
    // mov rax, [rsp+16]; mov bx, ss; retfq
    machine.write(TARGET, code("48 8b 44 24 10", "66 8c d3", "48 cb"));
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect((Number(machine.rip) - 1 - Table.Handlers) / 16).toBe(3);
    expect(machine.gpr(0)).toBe(BigInt(STACK));
    expect(machine.gpr(3)).toBe(0n);
    expect(machine.processor.memory.readU64(Number(machine.gpr(4)) + 24)).toBe(BigInt(STACK));
  });

  it("wants a 64-bit target, a second half of type 0, and no other gate", () => {
    const small = start(64, 0, gate(TARGET, Selector.Code32, 0x8c), "ff 1d 02 00 00 00", "cc", "90");
    small.write(CODE + 8, code("00 00 00 00 60 00"));
    expect(outcome(small)).toEqual({ vector: 13, error: Selector.Code32 });
    const half = start(64, 3, gate(TARGET, Selector.Code0, 0xec), ...callMemory);
    half.processor.memory.writeU64(Table.Gdt + GATE + 8, 1n << 40n);
    expect(outcome(half)).toEqual({ vector: 13, error: GATE });
    const task = start(64, 3, gate(0, Selector.Tss, 0xe5), ...callMemory);
    expect(outcome(task)).toEqual({ vector: 13, error: GATE });
  });
});

it("keeps an expand-down segment above its limit", () => {
  const down = descriptor(0, 0xfff, 0x96, 0x4);
  const at = (offset: string) => start(32, 0, down, "b8 60 00 00 00", "8e e0", `64 a1 ${offset} 00 00`, "f4");
  const inside = at("00 10");
  expect(inside.run(10)).toBe(StopReason.Halted);
  expect(Number(inside.rip)).toBe(CODE + 14);
  expect(outcome(at("ff 0f"))).toEqual({ vector: 13, error: 0 });
  expect(inside.words[State.Segments + 8 * Segment.Fs + SegmentWord.Limit]).toBe(0xfff);
});
