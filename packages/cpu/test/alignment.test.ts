import { Flag, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, handlerOf, installTables, Machine, Table } from "./machine.js";

const CODE = 0x100000;
const AM = 0x40000;

function start(mode: 32 | 64, cpl: number, flags: number, ...instructions: string[]): Machine {
  const machine = new Machine();
  if (mode === 64) machine.long(CODE, cpl);
  else machine.flat32(CODE, cpl);
  installTables(machine);
  machine.words[State.Cr0] |= AM;
  machine.write(CODE, code(...instructions, "cc", "f4"));
  machine.setGpr(3, 0x210001n);
  machine.setGpr(4, 0x200000n);
  machine.processor.engine.setRflags(0x202 | flags);
  return machine;
}

function vectorOf(machine: Machine): number {
  expect(machine.run(100)).toBe(StopReason.Halted);
  return (Number(machine.rip) - 1 - Table.Handlers) / 16;
}

describe.each([32, 64] as const)("alignment checks in %i-bit code", (mode) => {
  it("raise #AC(0) at CPL 3 under CR0.AM and EFLAGS.AC", () => {
    // mov eax, [rbx]; mov [rbx], eax; add [rbx], eax; push [rbx]; mov ax, [rbx]
    for (const bytes of ["8b 03", "89 03", "01 03", "ff 33", "66 8b 03"]) {
      const machine = start(mode, 3, Flag.Ac, bytes);
      expect(vectorOf(machine), bytes).toBe(17);
      expect(machine.processor.memory.readU32(Number(machine.gpr(4)))).toBe(0);
    }
  });

  it("are off without CR0.AM, without EFLAGS.AC, and inside CPL 3", () => {
    const without = start(mode, 3, Flag.Ac, "8b 03");
    without.words[State.Cr0] &= ~AM;
    expect(vectorOf(without)).toBe(3);
    expect(vectorOf(start(mode, 3, 0, "8b 03"))).toBe(3);
    expect(vectorOf(start(mode, 0, Flag.Ac, "8b 03"))).toBe(3);
  });

  it("let bytes and aligned operands pass, and look at the operand's size", () => {
    const machine = start(mode, 3, Flag.Ac, "8a 03", "66 8b 43 01", "8b 43 03");
    expect(vectorOf(machine)).toBe(3);
    expect(vectorOf(start(mode, 3, Flag.Ac, "8b 43 01"))).toBe(17);
  });

  it("begin with the POPF that sets AC and end with the one that clears it", () => {
    // push 0x40202; popf; mov eax, [rbx]
    expect(vectorOf(start(mode, 3, 0, "68 02 02 04 00", "9d", "8b 03"))).toBe(17);
    expect(vectorOf(start(mode, 3, Flag.Ac, "68 02 02 00 00", "9d", "8b 03"))).toBe(3);
  });

  it("hold for the stack and for strings", () => {
    const push = start(mode, 3, Flag.Ac, "50");
    push.setGpr(4, 0x200002n);
    expect(vectorOf(push)).toBe(17);
    const move = start(mode, 3, Flag.Ac, "f3 a5"); // rep movsd
    move.setGpr(1, 2n);
    move.setGpr(6, 0x210000n);
    move.setGpr(7, 0x220002n);
    expect(vectorOf(move)).toBe(17);
    expect(move.gpr(1)).toBe(2n);
  });

  it("do not apply to the processor's own accesses to tables", () => {
    const machine = start(mode, 3, Flag.Ac, "cd 03");
    machine.words[State.IdtrBaseLo] = Table.Idt + 1;
    for (let at = 64 * 16; at > 0; at--)
      machine.write(Table.Idt + at, [machine.processor.memory.readU8(Table.Idt + at - 1)]);
    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(Number(machine.rip) - 1).toBe(handlerOf(3));
  });
});
