import { State } from "../../cpu-state.js";
import { add } from "../../floating-point/add.js";
import { roundToIntegral, unpack32, unpack64, unpackInteger } from "../../floating-point/convert.js";
import { divide } from "../../floating-point/divide.js";
import { Slot } from "../../floating-point/float-context.js";
import { multiply } from "../../floating-point/multiply.js";
import { extract, Reduction, remainder, scale } from "../../floating-point/remainder.js";
import { squareRoot } from "../../floating-point/square-root.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  begin,
  conclude,
  concludeTop,
  FpuStatusBit,
  fpuOpcode,
  hasMemoryOperand,
  isEmpty,
  pop,
  put,
  rotate,
  setConditions,
  stackFault,
  take,
} from "../x87-unit.js";

/** Bits 10:9 of the opcode of arithmetic with memory: what the operand is. */
const Format = { Real32: 0, Integer32: 1, Real64: 2, Integer16: 3 } as const;

/**
 * Reads a memory operand of arithmetic and comparisons: its bits to lo, hi.
 * @returns false when the access faults
 */
export function loadOperand(core: ExecutionCore, pc: number, opcode: number): boolean {
  const format = opcode >> 9;
  const size = format === Format.Real64 ? 3 : format === Format.Integer16 ? 1 : 2;
  return core.address(pc, 1 << size, false) && core.load(size, core.segmentOf(pc));
}

/** Unpacks what {@link loadOperand} read. */
export function unpackOperand(core: ExecutionCore, opcode: number): void {
  const { float, lo, hi } = core;
  switch (opcode >> 9) {
    case Format.Real32:
      unpack32(float, Slot.B, lo);
      break;
    case Format.Real64:
      unpack64(float, Slot.B, lo, hi);
      break;
    default:
      unpackInteger(float, Slot.B, lo, lo >> 31);
  }
}

/** FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR with all their operands, and their popping forms. */
function arithmetic(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const opcode = fpuOpcode(core, pc);
  const { words } = core;
  const memory = hasMemoryOperand(opcode);
  const other = opcode & 7;
  if (memory && !loadOperand(core, pc, opcode)) return Status.Fault;
  // DC and DE write the other register, DE pops.
  const destination = memory || (opcode & 0x400) === 0 ? 0 : other;
  if (isEmpty(words, 0) || (!memory && isEmpty(words, other))) stackFault(core, false);
  else {
    take(core, 0, Slot.A);
    if (memory) unpackOperand(core, opcode);
    else take(core, other, Slot.B);
    compute(core, (opcode >> 3) & 7);
  }
  if (!conclude(core, pc)) return Status.Next;
  put(core, destination, Slot.R);
  if (!memory && (opcode & 0x600) === 0x600) pop(words);
  return Status.Next;
}

function compute(core: ExecutionCore, operation: number): void {
  const { float } = core;
  // The odd ones of the last four are reversed.
  if (operation >= 4 && (operation & 1) === 1) swap(core);
  if (operation === 1) multiply(float);
  else if (operation < 6) add(float, operation !== 0);
  else divide(float);
}

function swap(core: ExecutionCore): void {
  const { float } = core;
  float.copy(Slot.A, Slot.R);
  float.copy(Slot.B, Slot.A);
  float.copy(Slot.R, Slot.B);
}

/** FSQRT, FRNDINT, FSCALE by variant. */
const Unary = { SquareRoot: 0, Integral: 1, Scale: 2 } as const;

function unary(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const variant = core.variantOf(pc);
  const { float, words } = core;
  if (isEmpty(words, 0) || (variant === Unary.Scale && isEmpty(words, 1))) stackFault(core, false);
  else {
    take(core, 0, Slot.A);
    if (variant === Unary.SquareRoot) squareRoot(float);
    else if (variant === Unary.Integral) roundToIntegral(float);
    else {
      take(core, 1, Slot.B);
      scale(float);
    }
  }
  concludeTop(core, pc);
  return Status.Next;
}

/** FPREM (variant 0) and FPREM1: quotient bits 0, 1 and 2 to C1, C3 and C0; C2 says that there is more to do. */
function partialRemainder(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  let reduction: number = Reduction.None;
  if (isEmpty(words, 0) || isEmpty(words, 1)) stackFault(core, false);
  else {
    take(core, 0, Slot.A);
    take(core, 1, Slot.B);
    reduction = remainder(float, core.variantOf(pc) === 1);
  }
  if (conclude(core, pc)) put(core, 0, Slot.R);
  let conditions = 0;
  // Without a quotient C2 and C1 are cleared, and the others stay.
  if (reduction === Reduction.None) conditions = words[State.FpuStatus] & (FpuStatusBit.C0 | FpuStatusBit.C3);
  else if (reduction === Reduction.Partial) conditions = FpuStatusBit.C2;
  else {
    if ((reduction & 1) !== 0) conditions |= FpuStatusBit.C1;
    if ((reduction & 2) !== 0) conditions |= FpuStatusBit.C3;
    if ((reduction & 4) !== 0) conditions |= FpuStatusBit.C0;
  }
  setConditions(words, conditions);
  return Status.Next;
}

/** FXTRACT: the exponent replaces ST(0), the significand is pushed. */
function extractParts(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  if (isEmpty(words, 0) || !isEmpty(words, 7)) {
    stackFault(core, !isEmpty(words, 0));
    float.copy(Slot.R, Slot.B);
  } else {
    take(core, 0, Slot.A);
    extract(float);
  }
  if (!conclude(core, pc)) return Status.Next;
  put(core, 0, Slot.R);
  rotate(words, -1);
  put(core, 0, Slot.B);
  return Status.Next;
}

/** FABS and FCHS change the sign of whatever ST(0) is. */
function changeSign(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  if (isEmpty(words, 0)) stackFault(core, false);
  else {
    take(core, 0, Slot.R);
    float.words[Slot.R + 3] = core.variantOf(pc) === 0 ? 0 : float.words[Slot.R + 3] ^ 1;
  }
  concludeTop(core, pc);
  return Status.Next;
}

export const X87_ARITHMETIC: Family = {
  fadd: arithmetic,
  fmul: arithmetic,
  fsub: arithmetic,
  fsubr: arithmetic,
  fdiv: arithmetic,
  fdivr: arithmetic,
  faddp: arithmetic,
  fmulp: arithmetic,
  fsubp: arithmetic,
  fsubrp: arithmetic,
  fdivp: arithmetic,
  fdivrp: arithmetic,
  fiadd: arithmetic,
  fimul: arithmetic,
  fisub: arithmetic,
  fisubr: arithmetic,
  fidiv: arithmetic,
  fidivr: arithmetic,
  fsqrt: [unary, Unary.SquareRoot],
  frndint: [unary, Unary.Integral],
  fscale: [unary, Unary.Scale],
  fprem: [partialRemainder, 0],
  fprem1: [partialRemainder, 1],
  fxtract: extractParts,
  fabs: [changeSign, 0],
  fchs: [changeSign, 1],
};
