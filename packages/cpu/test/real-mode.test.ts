import { Flag, Segment, SegmentWord, State, StopReason } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { code, descriptor, le, Machine } from "./machine.js";

const ISR = 0x600;

/** Code at 0x7c00, every vector's handler a HLT at `ISR + vector` in segment 0. */
function real(...instructions: string[]): Machine {
  const machine = new Machine().real(0, 0x7c00);
  const { memory } = machine.processor;
  for (let vector = 0; vector < 256; vector++) {
    memory.writeU32(4 * vector, ISR + vector);
    memory.writeU8(ISR + vector, 0xf4);
  }
  machine.write(0x7c00, code(...instructions));
  machine.setGpr(4, 0x7000n);
  return machine;
}

/** Runs to a HLT. @returns the vector whose handler has it, -1 for other places */
function vectorOf(machine: Machine): number {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const at = Number(machine.rip) - 1 - ISR;
  return machine.words[State.Segments + 8 * Segment.Cs] === 0 && at >= 0 && at < 256 ? at : -1;
}

const word = (machine: Machine, segment: number, field: number) =>
  machine.words[State.Segments + 8 * segment + field];

describe("real mode", () => {
  it("addresses by paragraph, calls far and returns from an interrupt", () => {
    const machine = real(
      "b8 00 10", // mov ax, 0x1000
      "8e d8", // mov ds, ax
      "8e d0", // mov ss, ax
      "bc 00 01", // mov sp, 0x100
      "c6 06 20 00 5a", // mov byte [0x20], 0x5a
      "9a 00 00 00 20", // call 0x2000:0
      "cd 21", // int 0x21
      "f4",
    );
    const { memory } = machine.processor;
    machine.write(0x20000, code("8c cb", "cb")); // mov bx, cs; retf
    memory.writeU32(4 * 0x21, 0x3000_0010);
    // pushf; pop cx; mov edx, 0xcafe; iret
    machine.write(0x30010, code("9c", "59", "66 ba fe ca 00 00", "cf"));
    machine.processor.engine.setRflags(0x203);
    expect(vectorOf(machine)).toBe(-1);
    expect(memory.readU8(0x10020)).toBe(0x5a);
    expect(machine.gpr(3) & 0xffffn).toBe(0x2000n);
    expect(machine.gpr(2)).toBe(0xcafen);
    // Interrupts were off in the handler and are on again; the stack is where it was.
    expect(machine.gpr(1) & 0x203n).toBe(3n);
    expect(machine.processor.engine.rflags() & 0x203).toBe(0x203);
    expect(machine.gpr(4)).toBe(0x100n);
    expect(machine.word16(0x100fe)).toBe(0x203);
    expect(machine.word16(0x100fc)).toBe(0);
    expect(machine.word16(0x100fa)).toBe(0x7c16);
  });

  it("runs 32-bit operands and addresses behind their prefixes", () => {
    const machine = real(
      "66 b8 78 56 34 12", // mov eax, 0x12345678
      "66 50", // push eax
      "67 66 8b 1c 24", // mov ebx, [esp]
      "67 8d 4c 43 01", // lea cx, [ebx+eax*2+1]
      "f4",
    );
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.gpr(3)).toBe(0x12345678n);
    expect(machine.gpr(4)).toBe(0x6ffcn);
    expect(machine.gpr(1) & 0xffffn).toBe((0x12345678n * 3n + 1n) & 0xffffn);
  });

  it("raises exceptions without an error code", () => {
    expect(vectorOf(real("31 c9", "f7 f1"))).toBe(0); // xor cx, cx; div cx
    const limit = real("bb ff ff", "8b 07"); // mov bx, 0xffff; mov ax, [bx]
    expect(vectorOf(limit)).toBe(13);
    expect(limit.gpr(4)).toBe(0x6ffan);
    expect(limit.word16(0x6ffa)).toBe(0x7c03);
    expect(vectorOf(real("bd ff ff", "8b 46 00"))).toBe(12); // mov bp, 0xffff; mov ax, [bp]
  });

  it("wraps 16-bit addresses within the segment", () => {
    const machine = real("bb ff ff", "8a 47 11", "f4"); // mov bx, 0xffff; mov al, [bx+0x11]
    machine.processor.memory.writeU8(0x10, 0x77);
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.gpr(0)).toBe(0x77n);
  });

  it("ends code at the limit of CS, in the middle of a block and of an instruction", () => {
    const machine = real("ea f0 ff 00 10"); // jmp 0x1000:0xfff0
    machine.write(0x1fff0, [...Array.from({ length: 14 }, () => 0x40), 0xb8, 0x34, 0x12]);
    expect(vectorOf(machine)).toBe(13);
    expect(machine.gpr(0)).toBe(14n);
    expect(machine.word16(0x6ffa)).toBe(0xfffe);
    const end = real("ea f0 ff 00 10");
    end.write(
      0x1fff0,
      Array.from({ length: 16 }, () => 0x40),
    );
    expect(vectorOf(end)).toBe(13);
    expect(end.gpr(0)).toBe(16n);
  });

  it("knows neither protected-mode instructions nor VEX", () => {
    for (const bytes of [
      "0f 00 c0", // sldt
      "0f 00 d8", // ltr
      "0f 02 c0", // lar
      "63 c0", // arpl
      "c4 e2 78 f2 c1", // andn
    ])
      expect(vectorOf(real(bytes)), bytes).toBe(6);
    expect(vectorOf(real("0f 34"))).toBe(13); // sysenter
  });

  it("ends in a shutdown when the vector table has no room for a fault's handler", () => {
    const machine = real("0f 0b");
    machine.words[State.IdtrLimit] = 6 * 4;
    expect(machine.run(10)).toBe(StopReason.TripleFault);
  });

  it("executes POPF, CLI and port instructions without asking for privilege", () => {
    const machine = real("68 02 70", "9d", "fa", "fb", "e4 80", "9c", "58", "f4");
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.gpr(0) & 0x7202n).toBe(0x7202n);
  });

  it("steps through code when TF is set", () => {
    const machine = real("68 02 01", "9d", "40", "40");
    expect(vectorOf(machine)).toBe(1);
    expect(machine.gpr(0)).toBe(1n);
    expect(machine.processor.engine.rflags() & Flag.Tf).toBe(0);
  });

  it("repeats strings with 16-bit counts and indices", () => {
    const machine = real(
      "be fe ff", // mov si, 0xfffe
      "bf 00 20", // mov di, 0x2000
      "b9 03 00", // mov cx, 3
      "f3 a4", // rep movsb
      "f4",
    );
    machine.write(0xfffe, [0x11, 0x22]);
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.word16(0x2000)).toBe(0x2211);
    expect(machine.gpr(1)).toBe(0n);
    expect(machine.gpr(6)).toBe(1n);
    expect(machine.gpr(7)).toBe(0x2003n);
  });
});

describe("from real mode to protected mode and back", () => {
  it("changes code and data segments, and keeps limits that protected mode left", () => {
    const machine = real(
      "0f 01 16 00 05", // lgdt [0x500]
      "0f 20 c0", // mov eax, cr0
      "0c 01", // or al, 1
      "0f 22 c0", // mov cr0, eax
      "ea 12 7c 38 00", // jmp 0x38:0x7c12
      "66 b8 10 00", // mov ax, 0x10 (32-bit code from here)
      "8e d8", // mov ds, eax
      "8e c0", // mov es, eax
      "c7 05 00 00 12 00 44 33 22 11", // mov dword [0x120000], 0x11223344
      "ea 2b 7c 00 00 68 00", // jmp 0x68:0x7c2b
      "0f 20 c0", // mov eax, cr0 (16-bit code from here)
      "24 fe", // and al, 0xfe
      "0f 22 c0", // mov cr0, eax
      "ea 38 7c 00 00", // jmp 0:0x7c38
      "67 66 8b 1e", // mov ebx, [esi]
      "31 c0", // xor ax, ax
      "8e d8", // mov ds, ax
      "67 66 8b 0e", // mov ecx, [esi]
      "f4",
    );
    const { memory } = machine.processor;
    machine.write(0x500, [...le(0x6f, 2), ...le(0x1000, 4)]);
    memory.writeU64(0x1000 + 0x10, descriptor(0, 0xfffff, 0x92, 0xc));
    memory.writeU64(0x1000 + 0x38, descriptor(0, 0xfffff, 0x9a, 0xc));
    memory.writeU64(0x1000 + 0x68, descriptor(0, 0xffff, 0x9a, 0));
    machine.setGpr(6, 0x120000n);
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.gpr(3)).toBe(0x11223344n);
    expect(machine.gpr(1)).toBe(0x11223344n);
    expect(word(machine, Segment.Ds, SegmentWord.Limit)).toBe(-1);
    expect(word(machine, Segment.Cs, SegmentWord.Selector)).toBe(0);
    expect(word(machine, Segment.Cs, SegmentWord.Limit)).toBe(0xffff);
    expect(machine.words[State.Cr0] & 1).toBe(0);
  });
});

it("starts at the reset vector", () => {
  const machine = new Machine();
  expect(machine.rip).toBe(0xfff0n);
  expect(word(machine, Segment.Cs, SegmentWord.BaseLo) >>> 0).toBe(0xffff0000);
});
