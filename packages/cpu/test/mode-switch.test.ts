import { Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { le, Machine } from "./machine.js";

const CODE = 0x100000;
const PML4 = 0x10000;
const GDT = 0x20000;

/** 32-bit flat code that enters 64-bit mode, runs some, goes to compatibility mode and back. */
function program(): number[] {
  return [
    0x0f,
    0x01,
    0x15,
    ...le(GDT + 0x40, 4), // lgdt [gdtr]
    0x0f,
    0x20,
    0xe0,
    0x83,
    0xc8,
    0x20,
    0x0f,
    0x22,
    0xe0, // cr4 |= PAE
    0xb8,
    ...le(PML4, 4),
    0x0f,
    0x22,
    0xd8, // cr3
    0xb9,
    ...le(0xc0000080, 4),
    0x0f,
    0x32,
    0x0d,
    ...le(0x100, 4),
    0x0f,
    0x30, // efer |= LME
    0x0f,
    0x20,
    0xc0,
    0x0d,
    ...le(0x80000000, 4),
    0x0f,
    0x22,
    0xc0, // cr0 |= PG
    0xea,
    ...le(CODE + 0x100, 4),
    0x08,
    0, // ljmp 08:
  ];
}

describe("mode switch", () => {
  it("goes from flat 32-bit code to 64-bit mode, to compatibility mode, and back", () => {
    const machine = new Machine().flat32(CODE);
    const { memory } = machine.processor;
    memory.writeU64(PML4, BigInt(PML4 + 0x1000) | 3n);
    memory.writeU64(PML4 + 0x1000, BigInt(PML4 + 0x2000) | 3n);
    for (let i = 0; i < 8; i++) memory.writeU64(PML4 + 0x2000 + 8 * i, (BigInt(i) << 21n) | 0x83n);
    [0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00cf9b000000ffffn].forEach((d, i) => {
      memory.writeU64(GDT + 8 * i, d);
    });
    machine.write(GDT + 0x40, [...le(31, 2), ...le(GDT, 4)]);
    machine.write(CODE, program());
    machine.write(CODE + 0x100, [
      0x48,
      0xb8,
      ...le(0x1122334455667788n, 8), // mov rax, imm64
      0xff,
      0x2d,
      ...le(0x10, 4), // jmp far [rip+0x10]
    ]);
    machine.write(CODE + 0x120, [...le(CODE + 0x200, 4), 0x18, 0]);
    machine.write(CODE + 0x200, [
      0x40, // inc eax: 32-bit code
      0xea,
      ...le(CODE + 0x300, 4),
      0x08,
      0,
    ]);
    machine.write(CODE + 0x300, [0x48, 0xff, 0xc3, 0xf4]); // inc rbx; hlt
    machine.setGpr(3, 0xffffffffn);

    expect(machine.run(100)).toBe(StopReason.Halted);
    expect(Number(machine.rip)).toBe(CODE + 0x304);
    expect(machine.words[State.EferLo]).toBe(0x500);
    expect(machine.words[State.Segments + 8 * Segment.Cs + SegmentWord.Attributes]).toBe(0xa09b);
    expect(machine.gpr(0)).toBe(0x55667789n); // INC cleared the upper half
    expect(machine.gpr(3)).toBe(0x100000000n);
  });

  it("refuses paging with LME but without PAE", () => {
    const machine = new Machine().flat32(CODE);
    machine.words[State.EferLo] = 0x100;
    machine.write(CODE, [0x0d, ...le(0x80000001, 4), 0x0f, 0x22, 0xc0]);
    expect(machine.run(10)).toBe(StopReason.TripleFault); // #GP, and there is no IDT
    expect(Number(machine.rip)).toBe(CODE + 5);
    expect(machine.words[State.Cr0] >>> 31).toBe(0);
  });
});
