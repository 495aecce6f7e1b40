import { AssemblerError, type CodeBuffer } from "./code-buffer.js";
import type { Memory } from "./memory.js";
import type { OperandBits, Register } from "./register.js";

/** Code size that instructions are emitted for; 16-bit code is not. */
export type CodeBits = 32 | 64;

/** One instruction's fixed part: opcode bytes, operand size and the ModRM reg field. */
export interface Form {
  /** 1 to 3 opcode bytes, escape bytes included. */
  readonly opcode: readonly number[];
  readonly bits: OperandBits;
  /** A register operand, or an opcode extension 0-7. */
  readonly reg: Register | number;
  /** Bytes of immediate that follow: RIP-relative displacements count from behind them. */
  readonly immediateBytes?: number;
  /** 64-bit operands need no REX.W (PUSH, near CALL and the like). */
  readonly defaultsTo64?: boolean;
}

/** Prefixes, opcode, ModRM, SIB and displacement of one instruction (Intel SDM vol. 2, chapter 2). */
export function encode(code: CodeBuffer, mode: CodeBits, form: Form, rm: Register | Memory): void {
  const { bits, reg, opcode } = form;
  const regIndex = typeof reg === "number" ? reg : reg.index;
  const base = rm.kind === "register" ? rm : rm.base;
  const index = rm.kind === "register" ? undefined : rm.index;
  checkOperands(mode, form, rm);
  if (bits === 16) code.u8(0x66);
  const rex =
    (bits === 64 && !form.defaultsTo64 ? 8 : 0) |
    (regIndex & 8 ? 4 : 0) |
    (index && index.index & 8 ? 2 : 0) |
    (base && base.index & 8 ? 1 : 0);
  if (rex !== 0 || needsEmptyRex(reg) || needsEmptyRex(rm)) code.u8(0x40 | rex);
  code.u8(...opcode);
  if (rm.kind === "register") code.u8(0xc0 | ((regIndex & 7) << 3) | (rm.index & 7));
  else encodeMemory(code, mode, (regIndex & 7) << 3, rm, form.immediateBytes ?? 0);
}

function encodeMemory(
  code: CodeBuffer,
  mode: CodeBits,
  reg: number,
  m: Memory,
  immediateBytes: number,
): void {
  const { base, index, displacement } = m;
  if (m.label) {
    code.u8(reg | 5);
    if (mode === 64) code.reference("relative32", m.label, displacement - immediateBytes);
    else code.reference("physical32", m.label, displacement);
    return;
  }
  if (!base) {
    // Without a base, 64-bit code needs a SIB byte: mod 0 rm 5 alone means RIP-relative.
    if (index || mode === 64) code.u8(reg | 4, sib(m.scale, index, 5));
    else code.u8(reg | 5);
    code.integer(displacement, 4);
    return;
  }
  const needsSib = index !== undefined || (base.index & 7) === 4;
  const mod =
    displacement === 0 && (base.index & 7) !== 5 ? 0 : displacement >= -128 && displacement <= 127 ? 1 : 2;
  code.u8((mod << 6) | reg | (needsSib ? 4 : base.index & 7));
  if (needsSib) code.u8(sib(m.scale, index, base.index & 7));
  if (mod !== 0) code.integer(displacement, mod === 1 ? 1 : 4);
}

function sib(scale: 1 | 2 | 4 | 8, index: Register | undefined, base: number): number {
  return (Math.log2(scale) << 6) | ((index ? index.index & 7 : 4) << 3) | base;
}

/** SPL, BPL, SIL and DIL are only there with a REX prefix. */
function needsEmptyRex(operand: Register | Memory | number): boolean {
  return (
    typeof operand === "object" && operand.kind === "register" && operand.bits === 8 && operand.index >= 4
  );
}

function checkOperands(mode: CodeBits, form: Form, rm: Register | Memory): void {
  if (typeof form.reg === "object") checkRegister(mode, form.reg);
  if (rm.kind === "register") {
    checkRegister(mode, rm);
    return;
  }
  for (const part of [rm.base, rm.index]) {
    if (!part) continue;
    checkRegister(mode, part);
    if (part.bits !== mode)
      throw new AssemblerError(
        "OPERAND",
        `${part.name} cannot address memory in ${mode}-bit code: use a ${mode}-bit register`,
      );
  }
  if (rm.index?.index === 4)
    throw new AssemblerError("OPERAND", `${rm.index.name} cannot be an index register`);
  if (rm.displacement < -(2 ** 31) || rm.displacement > 2 ** 31 - 1) {
    if (mode === 64 || rm.displacement > 2 ** 32 - 1 || rm.displacement < 0)
      throw new AssemblerError("OUT_OF_RANGE", `displacement ${rm.displacement} does not fit 32 signed bits`);
  }
}

function checkRegister(mode: CodeBits, r: Register): void {
  if (mode === 32 && (r.index > 7 || r.bits === 64 || (r.bits === 8 && r.index > 3)))
    throw new AssemblerError("OPERAND", `${r.name} does not exist in 32-bit code`);
}
