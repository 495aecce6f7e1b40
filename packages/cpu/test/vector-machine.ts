import { State, StopReason } from "@hyperwalk/cpu";
import { expect } from "vitest";
import { le, Machine } from "./machine.js";

const CODE = 0x100000;
/** What RBX points to in {@link VectorMachine}: operands at `[rbx + displacement]`. */
export const OPERANDS = 0x200000;
const OSFXSR = 0x200;
const HLT = 0xf4;

/** 64-bit mode with SSE on, and bytes in and out of XMM and MMX registers. */
export class VectorMachine extends Machine {
  constructor(...options: ConstructorParameters<typeof Machine>) {
    super(...options);
    this.long(CODE);
    this.words[State.Cr4] |= OSFXSR;
    this.setGpr(3, BigInt(OPERANDS));
  }

  /** Runs code to its end. */
  execute(code: readonly number[]): void {
    this.write(CODE, [...code, HLT]);
    this.rip = BigInt(CODE);
    expect(this.run(100_000)).toBe(StopReason.Halted);
    expect(Number(this.rip)).toBe(CODE + code.length + 1);
  }

  xmm(register: number): Uint8Array {
    return this.bytesAt(State.Vector + 8 * register, 16);
  }

  setXmm(register: number, bytes: Uint8Array): void {
    this.setBytes(State.Vector + 8 * register, bytes);
  }

  /** Significand of R(register). */
  mmx(register: number): Uint8Array {
    return this.bytesAt(State.Fpr + 4 * register, 8);
  }

  setMmx(register: number, bytes: Uint8Array): void {
    this.setBytes(State.Fpr + 4 * register, bytes);
  }

  private bytesAt(word: number, count: number): Uint8Array {
    return new Uint8Array(this.words.slice(word, word + count / 4).buffer);
  }

  private setBytes(word: number, bytes: Uint8Array): void {
    this.words.set(new Int32Array(Uint8Array.from(bytes).buffer), word);
  }
}

/** An instruction on two registers below 8: prefix (or 0), opcode bytes behind 0F, ModRM.reg, ModRM.rm, immediate. */
export function registers(
  prefix: number,
  opcode: readonly number[],
  reg: number,
  rm: number,
  ...immediate: readonly number[]
): number[] {
  return [...(prefix === 0 ? [] : [prefix]), 0x0f, ...opcode, 0xc0 | (reg << 3) | rm, ...immediate];
}

/** The same with an operand at [rbx + displacement]. */
export function memory(
  prefix: number,
  opcode: readonly number[],
  reg: number,
  displacement: number,
  ...immediate: readonly number[]
): number[] {
  return [
    ...(prefix === 0 ? [] : [prefix]),
    0x0f,
    ...opcode,
    0x83 | (reg << 3),
    ...le(displacement, 4),
    ...immediate,
  ];
}
