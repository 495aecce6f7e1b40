import { epyc9124, type ProcessorProfile, Segment, State, StopReason, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { DecodeStatus, Instruction } from "../src/decode/instruction.js";
import { handlerOf } from "../src/interpreter/handlers.js";
import { installTables, le, Machine, Table } from "./machine.js";

const CODE = 0x100000;
const DATA = 0x180000;
const STACK = 0x200000;
const HLT = 0xf4;
const CR0_EM = 4;
const CR0_TS = 8;
const CR0_MP = 2;
const CR0_NE = 0x20;
/** FNINIT; FLDCW [EBX] with zero divide unmasked; FLD1; FLDZ; FDIVP: leaves an exception pending. */
const DIVIDE = [0xdb, 0xe3, 0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9];
const UNMASKED_ZERO_DIVIDE = 0x37b;

function protected32(code: readonly number[], profile?: ProcessorProfile): Machine {
  const machine = new Machine(profile).flat32(CODE);
  installTables(machine);
  machine.words[State.Cr0] |= CR0_NE;
  machine.write(CODE, [...code, HLT]);
  machine.write(DATA, le(UNMASKED_ZERO_DIVIDE, 2));
  machine.setGpr(3, BigInt(DATA));
  machine.setGpr(4, BigInt(STACK));
  return machine;
}

/** Runs to a handler's HLT and returns its vector, or -1 when the code itself halts. */
function vectorOf(machine: Machine): number {
  expect(machine.run(1000)).toBe(StopReason.Halted);
  const vector = (Number(machine.rip) - 1 - Table.Handlers) / 16;
  return vector >= 0 && vector < 64 ? vector : -1;
}

function words(machine: Machine, at: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => machine.processor.memory.readU32(at + 4 * i));
}

function halfWords(machine: Machine, at: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => machine.processor.memory.readU32(at + 2 * i) & 0xffff);
}

describe("x87 exceptions", () => {
  it("wait for the next waiting instruction", () => {
    // FNSTSW AX, FNSTCW [EBX+8] and INC ECX still run.
    const machine = protected32([...DIVIDE, 0xdf, 0xe0, 0xd9, 0x7b, 8, 0x41, 0xd9, 0xe8]);
    expect(vectorOf(machine)).toBe(16);
    expect(machine.gpr(0) & 0x80ffn).toBe(0x8084n);
    expect(machine.gpr(1)).toBe(1n);
    // The frame points at the FLD1.
    expect(words(machine, Number(machine.gpr(4)), 1)[0]).toBe(CODE + DIVIDE.length + 6);
    // The quotient was not written, the stack not popped.
    expect(machine.words[State.FpuInUse]).toBe(0xc0);
  });

  it.each([
    ["WAIT", [0x9b], 16],
    ["EMMS", [0x0f, 0x77], 16],
    ["FLDCW", [0xd9, 0x2b], 16],
    ["FNOP", [0xd9, 0xd0], 16],
    ["FNCLEX", [0xdb, 0xe2, 0x9b], -1],
    ["FNINIT", [0xdb, 0xe3, 0x9b], -1],
    ["FNSTENV", [0xd9, 0x73, 16, 0x9b], -1],
    ["FNSAVE", [0xdd, 0x73, 16, 0x9b], -1],
  ] as const)("%s", (_name, code, vector) => {
    expect(vectorOf(protected32([...DIVIDE, ...code]))).toBe(vector);
  });

  it("are ignored without CR0.NE", () => {
    const machine = protected32([...DIVIDE, 0xd9, 0xe8]);
    machine.words[State.Cr0] &= ~CR0_NE;
    expect(vectorOf(machine)).toBe(-1);
    expect(machine.words[State.FpuInUse]).toBe(0xe0);
  });

  it("become pending when FLDCW unmasks what a flag holds", () => {
    const code = [0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xd9, 0x2b, 0xdf, 0xe0, 0x9b];
    const machine = protected32(code);
    expect(vectorOf(machine)).toBe(16);
    expect(machine.gpr(0) & 0xffffn).toBe(0xb884n);
  });
});

describe("#NM", () => {
  it.each([
    ["x87 with TS", [0xd9, 0xe8], CR0_TS, 7],
    ["x87 with EM", [0xdb, 0xe3], CR0_EM, 7],
    ["FNSTSW with TS", [0xdf, 0xe0], CR0_TS, 7],
    ["WAIT with TS alone", [0x9b], CR0_TS, -1],
    ["WAIT with MP and TS", [0x9b], CR0_TS | CR0_MP, 7],
    ["WAIT with EM", [0x9b], CR0_EM | CR0_MP, -1],
    ["EMMS with TS", [0x0f, 0x77], CR0_TS, 7],
    ["FEMMS: #UD", [0x0f, 0x0e], CR0_TS, 6],
    ["EMMS with EM: #UD", [0x0f, 0x77], CR0_EM, 6],
    ["an undefined escape with TS: #UD", [0xd9, 0xd1], CR0_TS, 6],
  ] as const)("%s", (_name, code, cr0, vector) => {
    const machine = protected32([...code]);
    machine.words[State.Cr0] |= cr0;
    expect(vectorOf(machine)).toBe(vector);
  });
});

/** What ran last before the environment is stored: FDIV dword [EBX + 4] by zero, unmasked. */
const SETUP = [0xdb, 0xe3, 0xd9, 0x2b, 0xd9, 0xe8, 0xd8, 0x73, 4];
const FDIV_AT = CODE + 6;
const FOP = 0x73;

describe("environment", () => {
  it("in 32-bit protected mode, with selectors on AMD", () => {
    const machine = protected32([...SETUP, 0xd9, 0x73, 0x20]);
    expect(vectorOf(machine)).toBe(-1);
    const status = 0xffffb884;
    const expected = [0xffff037b, status, 0xffff3fff, FDIV_AT, 0x08 | (FOP << 16), DATA + 4, 0xffff0010];
    expect(words(machine, DATA + 0x20, 7)).toEqual(expected);
    // FNSTENV masks everything.
    expect(machine.words[State.FpuControl]).toBe(0x37f);
    expect(machine.words[State.FpuStatus]).toBe(0x3804);
  });

  it("without selectors on Intel", () => {
    const machine = protected32([...SETUP, 0xd9, 0x73, 0x20], skylakeSp);
    expect(vectorOf(machine)).toBe(-1);
    expect(words(machine, DATA + 0x2c, 4)).toEqual([FDIV_AT, FOP << 16, DATA + 4, 0xffff0000]);
  });

  it("in 16-bit protected mode", () => {
    const machine = protected32([...SETUP, 0x66, 0xd9, 0x73, 0x20]);
    expect(vectorOf(machine)).toBe(-1);
    expect(halfWords(machine, DATA + 0x20, 7)).toEqual([0x37b, 0xb884, 0x3fff, FDIV_AT & 0xffff, 8, 4, 0x10]);
  });

  it("in real mode holds linear addresses and the opcode", () => {
    for (const wide of [true, false]) {
      // 16-bit code at 9000:0100, data at 8000:0000.
      const machine = new Machine(epyc9124);
      const prefix = wide ? [0x66] : [];
      const code = [0xdb, 0xe3, 0xd9, 0x2f, 0xd9, 0xe8, 0xd8, 0x77, 4, ...prefix, 0xd9, 0x77, 0x20, HLT];
      machine.write(0x90100, code);
      machine.write(0x80000, le(UNMASKED_ZERO_DIVIDE, 2));
      machine.words[State.Cr0] = 0x60000010 | CR0_NE;
      machine.segment(Segment.Cs, 0x9000, 0x9b, 0x90000, 0xffff);
      for (const segment of [Segment.Ds, Segment.Es, Segment.Ss])
        machine.segment(segment, 0x8000, 0x93, 0x80000, 0xffff);
      machine.rip = 0x100n;
      machine.processor.syncTranslation();
      expect(machine.run(100)).toBe(StopReason.Halted);
      if (wide) {
        const pointers = [0xffff0106, 0x9077, 0xffff0004, 0x8000];
        expect(words(machine, 0x8002c, 4)).toEqual(pointers);
      } else expect(halfWords(machine, 0x80026, 4)).toEqual([0x0106, 0x9077, 0x0004, 0x8000]);
    }
  });

  it("comes back with FLDENV, tags by emptiness only", () => {
    const machine = protected32([0xdb, 0xe3, 0xd9, 0x63, 0x40, 0xd9, 0x73, 0x20]);
    machine.write(DATA + 0x40, [0x7f, 0x02, 0, 0, 0, 0x28, 0, 0, 0xf1, 0xff, 0, 0]);
    machine.write(DATA + 0x4c, [
      ...le(0x12345678, 4),
      ...le(0x07ff0023, 4),
      ...le(0x9abcdef0, 4),
      ...le(0x2b, 4),
    ]);
    expect(vectorOf(machine)).toBe(-1);
    // Registers hold zero: what is not empty reads back as zero.
    const expected = [
      0xffff027f,
      0xffff2800,
      0xfffffff5 & 0xffffffff,
      0x12345678,
      0x07ff0023,
      0x9abcdef0,
      0xffff002b,
    ];
    expect(words(machine, DATA + 0x20, 7)).toEqual(expected.map((word) => word >>> 0));
  });
});

describe("FNSAVE and FRSTOR", () => {
  it("keep ST(0) to ST(7) whatever TOP is", () => {
    // FLDPI; FLD1; FDECSTP; FNSAVE [EBX + 0x20]; FRSTOR [EBX + 0x20]
    const machine = protected32([0xdb, 0xe3, 0xd9, 0xeb, 0xd9, 0xe8, 0xd9, 0xf6, 0xdd, 0x73, 0x20]);
    expect(vectorOf(machine)).toBe(-1);
    const { memory } = machine.processor;
    const stack = (i: number) => memory.readU64(DATA + 0x20 + 28 + 10 * i);
    expect([stack(1), stack(2)]).toEqual([1n << 63n, 0xc90fdaa22168c235n]);
    expect(machine.words[State.FpuInUse]).toBe(0);
    const again = protected32([0xdd, 0x63, 0x20]);
    again.write(DATA + 0x20, memory.readBytes(DATA + 0x20, 108));
    expect(vectorOf(again)).toBe(-1);
    expect(again.words[State.FpuStatus]).toBe(0x2800);
    expect(again.words[State.FpuInUse]).toBe(0xc0);
    expect(again.words.slice(State.Fpr + 24, State.Fpr + 27)).toEqual(Int32Array.of(0, 0x80000000, 0x3fff));
  });
});

describe("every escape", () => {
  it("is executed or undefined", () => {
    const instruction = new Instruction(true);
    const undefinedBytes: number[] = [];
    for (let opcode = 0xd8; opcode < 0xe0; opcode++)
      for (let modrm = 0; modrm < 256; modrm++) {
        const bytes = Uint8Array.of(opcode, modrm, 0, 0, 0, 0, 0, 0, 0, 0);
        const status = instruction.decode(bytes, 0, bytes.length, 64);
        if (status === DecodeStatus.Invalid) undefinedBytes.push((opcode << 8) | modrm);
        else expect([opcode, modrm, handlerOf(instruction.form?.key ?? "")]).not.toContain(undefined);
      }
    const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
    const isRegister = (form: number) => (form & 0xc0) === 0xc0;
    // As on Zen 3.
    expect(undefinedBytes.filter(isRegister)).toEqual([
      ...range(0xd9d1, 0xd9d7),
      ...[0xd9e2, 0xd9e3, 0xd9e6, 0xd9e7, 0xd9ef],
      ...range(0xdae0, 0xdae8),
      ...range(0xdaea, 0xdaff),
      ...range(0xdbe5, 0xdbe7),
      ...range(0xdbf8, 0xdbff),
      ...range(0xddf0, 0xddff),
      0xded8,
      ...range(0xdeda, 0xdedf),
      ...range(0xdfe1, 0xdfe7),
      ...range(0xdff8, 0xdfff),
    ]);
    const memory = new Set(undefinedBytes.filter((form) => !isRegister(form)).map((form) => form & 0xff38));
    expect([...memory]).toEqual([0xd908, 0xdb20, 0xdb30, 0xdd28]);
  });
});
