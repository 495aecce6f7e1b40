import { Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { installTables, le, Machine, Selector, Table } from "./machine.js";

const CODE = 0x100000;

function machineWith(code: number[], cpl = 0): Machine {
  const machine = new Machine().flat32(CODE, cpl);
  installTables(machine);
  machine.write(CODE, code);
  machine.setGpr(4, 0x200000n);
  return machine;
}

function outcome(machine: Machine): { vector: number; error: number } {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const vector = (Number(machine.rip) - 1 - Table.Handlers) / 16;
  return { vector, error: machine.processor.memory.readU32(Number(machine.gpr(4))) };
}

const segmentOf = (machine: Machine, segment: number, word: number) =>
  machine.words[State.Segments + 8 * segment + word];

describe("segmentation", () => {
  it("loads base, limit and attributes of a data segment and marks it accessed", () => {
    const machine = machineWith([0xb8, ...le(Selector.Small, 4), 0x8e, 0xe0, 0x64, 0xa1, 4, 0, 0, 0, 0xf4]);
    machine.processor.memory.writeU64(
      Table.Gdt + Selector.Small,
      machine.processor.memory.readU64(Table.Gdt + Selector.Small) & ~(1n << 40n),
    );
    machine.processor.memory.writeU32(0x10004, 0x12345678);
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(machine.gpr(0)).toBe(0x12345678n);
    expect(segmentOf(machine, Segment.Fs, SegmentWord.BaseLo)).toBe(0x10000);
    expect(segmentOf(machine, Segment.Fs, SegmentWord.Limit)).toBe(0xff);
    expect((machine.processor.memory.readU64(Table.Gdt + Selector.Small) >> 40n) & 1n).toBe(1n);
  });

  it("checks the limit of every access", () => {
    const at = (offset: number) =>
      machineWith([0xb8, ...le(Selector.Small, 4), 0x8e, 0xd8, 0xa1, ...le(offset, 4), 0xf4]);
    const inside = at(0xfc);
    expect(inside.run(100)).toBe(StopReason.Halted);
    expect(Number(inside.rip)).toBe(CODE + 13);
    expect(outcome(at(0xfd))).toEqual({ vector: 13, error: 0 });
  });

  it("checks the limit of the stack with #SS", () => {
    const machine = machineWith([0xb8, ...le(Selector.Small, 4), 0x8e, 0xe8, 0x65, 0xa1, 0, 1, 0, 0]);
    expect(outcome(machine).vector).toBe(13);
    // A 32-bit stack segment of 256 bytes, DPL 3, needs CPL 3.
    const stack = machineWith([0x8e, 0xd0, 0xff, 0x34, 0x24], 3);
    stack.setGpr(0, BigInt(Selector.Small | 3));
    stack.setGpr(4, 0x101n);
    expect(outcome(stack)).toEqual({ vector: 12, error: 0 });
  });

  it("refuses writes to read-only data and reads through a null selector", () => {
    const write = machineWith([0xb8, ...le(Selector.ReadOnly, 4), 0x8e, 0xd8, 0xa3, 0, 0, 1, 0]);
    expect(outcome(write)).toEqual({ vector: 13, error: 0 });
    const read = machineWith([0x31, 0xc0, 0x8e, 0xd8, 0xa1, 0, 0, 1, 0]);
    expect(outcome(read)).toEqual({ vector: 13, error: 0 });
  });

  it("lets SS take only writable data of the current level", () => {
    for (const selector of [0, Selector.ReadOnly, Selector.Code0, Selector.Data3]) {
      const machine = machineWith([0xb8, ...le(selector, 4), 0x8e, 0xd0]);
      expect(outcome(machine), selector.toString(16)).toEqual({ vector: 13, error: selector & 0xfffc });
    }
  });

  it("keeps DPL 0 data from CPL 3, conforming code excepted", () => {
    const data = machineWith([0xb8, ...le(Selector.Data0, 4), 0x8e, 0xd8], 3);
    expect(outcome(data)).toEqual({ vector: 13, error: Selector.Data0 });
    const conforming = machineWith([0xb8, ...le(Selector.Conforming, 4), 0x8e, 0xd8, 0xcc], 3);
    expect(outcome(conforming).vector).toBe(3);
  });

  it("jumps far between code segments and refuses data", () => {
    const jump = machineWith([0xea, ...le(CODE + 16, 4), ...le(Selector.Conforming, 2)]);
    jump.write(CODE + 16, [0xf4]);
    expect(jump.run(10)).toBe(StopReason.Halted);
    expect(segmentOf(jump, Segment.Cs, SegmentWord.Selector)).toBe(Selector.Conforming);
    const data = machineWith([0xea, ...le(CODE, 4), ...le(Selector.Data0, 2)]);
    expect(outcome(data)).toEqual({ vector: 13, error: Selector.Data0 });
  });

  it("returns far to CPL 3 and empties data segments of the inner level", () => {
    const machine = machineWith([
      0x6a,
      0x23,
      0x68,
      ...le(0x300000, 4),
      0x6a,
      0x1b,
      0x68,
      ...le(CODE + 32, 4),
      0xcb,
    ]);
    machine.write(CODE + 32, [0xcc]);
    expect(outcome(machine).vector).toBe(3);
    expect(segmentOf(machine, Segment.Ds, SegmentWord.Attributes) & 0x10000).toBe(0x10000);
    expect(machine.processor.memory.readU32(Table.Stack0 - 8)).toBe(0x300000);
  });

  it("answers LAR, LSL, VERR and VERW in ZF", () => {
    const machine = machineWith([
      0xb8,
      ...le(Selector.Small, 4),
      0x0f,
      0x03,
      0xd8, // lsl ebx, ax
      0x0f,
      0x02,
      0xc8, // lar ecx, ax
      0x0f,
      0x00,
      0xe8, // verw ax
      0x0f,
      0x94,
      0xc2, // sete dl
      0xb8,
      ...le(Selector.ReadOnly, 4),
      0x0f,
      0x00,
      0xe8,
      0x0f,
      0x94,
      0xc6,
      0xf4,
    ]);
    machine.setGpr(2, 0n);
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(machine.gpr(3)).toBe(0xffn);
    expect(machine.gpr(1)).toBe(0x40f300n);
    expect(machine.gpr(2) & 0xffffn).toBe(1n);
  });
});
