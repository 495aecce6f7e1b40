import { Flag, Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, handlerOf, installTables, le, Machine, Table } from "./machine.js";

const ENTRY = 0x100000;
const PARAGRAPH = 0x2000;
const IP = 0x100;
const STACK_TOP = 0x1000;
/** Slots of the frame that an exception with an error code leaves. */
const FRAME = ["code", "ip", "cs", "flags", "sp", "ss", "es", "ds", "fs", "gs"] as const;

/** Enters virtual-8086 code through an IRETD at CPL 0. */
function virtual8086(iopl: number, ...instructions: string[]): Machine {
  const machine = new Machine().flat32(ENTRY);
  installTables(machine);
  machine.setGpr(4, 0x200000n);
  const slots = [0x5000, 0x4000, 0x3000, 0x2800, 0x1000, STACK_TOP, 0x20202 | (iopl << 12), PARAGRAPH, IP];
  machine.write(ENTRY, [...slots.flatMap((value) => [0x68, ...le(value, 4)]), 0xcf]);
  machine.write((PARAGRAPH << 4) + IP, code(...instructions));
  return machine;
}

function vectorOf(machine: Machine): number {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  return (Number(machine.rip) - 1 - Table.Handlers) / 16;
}

/** The frame on the handler's stack, error code first. */
function frame(machine: Machine): Record<(typeof FRAME)[number], number> {
  const at = Number(machine.gpr(4));
  const slot = (i: number) => machine.processor.memory.readU32(at + 4 * i);
  return Object.fromEntries(FRAME.map((name, i) => [name, slot(i)])) as Record<
    (typeof FRAME)[number],
    number
  >;
}

describe("virtual-8086 mode", () => {
  it("runs 16-bit code by paragraph and leaves through a 32-bit gate with all segments pushed", () => {
    const machine = virtual8086(
      0,
      "b8 00 30", // mov ax, 0x3000
      "8e d8", // mov ds, ax
      "c6 06 04 00 11", // mov byte [4], 0x11
      "50", // push ax
      "fa", // cli
    );
    expect(vectorOf(machine)).toBe(13);
    expect(machine.processor.memory.readU8(0x30004)).toBe(0x11);
    expect(machine.word16(0x10000 + STACK_TOP - 2)).toBe(0x3000);
    expect(Number(machine.gpr(4))).toBe(Table.Stack0 - 40);
    expect(frame(machine)).toEqual({
      code: 0,
      ip: IP + 11,
      cs: PARAGRAPH,
      flags: 0x30202,
      sp: STACK_TOP - 2,
      ss: 0x1000,
      es: 0x2800,
      ds: 0x3000,
      fs: 0x4000,
      gs: 0x5000,
    });
    expect(machine.words[State.Cpl]).toBe(0);
    expect(machine.processor.engine.rflags() & Flag.Vm).toBe(0);
    for (const segment of [Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs])
      expect(machine.words[State.Segments + 8 * segment + SegmentWord.Attributes]).toBe(0x10000);
  });

  it("goes on after its monitor has emulated an instruction", () => {
    const machine = virtual8086(0, "fa", "b8 34 12", "cc");
    // add dword [esp+4], 1; add esp, 4; iretd
    machine.write(handlerOf(13), code("83 44 24 04 01", "83 c4 04", "cf"));
    expect(vectorOf(machine)).toBe(3);
    expect(machine.gpr(0) & 0xffffn).toBe(0x1234n);
    expect(machine.processor.memory.readU32(Number(machine.gpr(4)) + 8) & Flag.Vm).toBe(Flag.Vm);
  });

  it.each(["fa", "fb", "9c", "9d", "cf", "cd 03"])("keeps %s from IOPL below 3", (bytes) => {
    const machine = virtual8086(2, bytes);
    expect(vectorOf(machine)).toBe(13);
    expect(frame(machine)).toMatchObject({ code: 0, ip: IP });
  });

  it("lets IOPL 3 change IF and return from interrupts, and send INT n through the gate", () => {
    const machine = virtual8086(
      3,
      "fa", // cli
      "68 02 32", // push 0x3202
      "68 00 20", // push 0x2000
      "68 0c 01", // push 0x10c
      "f4 f4", // (never reached: IRET goes over it)
    );
    machine.write((PARAGRAPH << 4) + IP + 10, code("cf", "f4", "cd 20"));
    expect(vectorOf(machine)).toBe(13);
    expect(frame(machine)).toMatchObject({ code: 0x20 * 8 + 2, ip: IP + 12, sp: STACK_TOP });
    expect(frame(machine).flags & (Flag.If | Flag.Iopl)).toBe(Flag.If | Flag.Iopl);
  });

  it("asks the I/O bitmap whatever IOPL says", () => {
    const denied = virtual8086(3, "e4 80");
    denied.write(Table.Tss + 102, [0x68, 0]);
    expect(vectorOf(denied)).toBe(13);
    const allowed = virtual8086(0, "e4 80", "cc");
    allowed.words[State.Segments + 8 * Segment.Tr + SegmentWord.Limit] = 0x168;
    allowed.write(Table.Tss + 102, [0x68, 0]);
    expect(vectorOf(allowed)).toBe(3);
  });

  it("is privileged to nothing and has no instructions of protected mode", () => {
    for (const bytes of ["f4", "0f 20 c0", "0f 06", "0f 01 16 00 00"])
      expect(vectorOf(virtual8086(3, bytes)), bytes).toBe(13);
    for (const bytes of ["0f 00 c0", "0f 02 c0", "63 c0"])
      expect(vectorOf(virtual8086(3, bytes)), bytes).toBe(6);
  });

  it("refuses a gate to a level other than 0 with the selector", () => {
    const machine = virtual8086(0, "cc");
    // Vector 3 through conforming code.
    machine.processor.memory.writeU8(Table.Idt + 8 * 3 + 2, 0x50);
    expect(vectorOf(machine)).toBe(13);
    expect(frame(machine).code).toBe(0x50);
  });
});
