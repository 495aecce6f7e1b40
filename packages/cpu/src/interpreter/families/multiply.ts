import { State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { setCarryOverflow, setResult } from "../../registers/flags.js";
import { multiplyHigh } from "../../word-product.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";

const TWO_32 = 0x100000000;

/** Product to `wide`, four words, low first. */
function multiplyWide(wide: Int32Array, aLo: number, aHi: number, bLo: number, bHi: number): void {
  const w0 = Math.imul(aLo, bLo);
  let carry = multiplyHigh(aLo, bLo) >>> 0;
  carry += (Math.imul(aHi, bLo) >>> 0) + (Math.imul(aLo, bHi) >>> 0);
  const w1 = carry | 0;
  let high = Math.floor(carry / TWO_32);
  high += (multiplyHigh(aHi, bLo) >>> 0) + (multiplyHigh(aLo, bHi) >>> 0) + (Math.imul(aHi, bHi) >>> 0);
  wide[0] = w0;
  wide[1] = w1;
  wide[2] = high | 0;
  wide[3] = (multiplyHigh(aHi, bHi) + Math.floor(high / TWO_32)) | 0;
}

function multiplyWideSigned(wide: Int32Array, aLo: number, aHi: number, bLo: number, bHi: number): void {
  multiplyWide(wide, aLo, aHi, bLo, bHi);
  if (aHi < 0) subtractHigh(wide, bLo, bHi);
  if (bHi < 0) subtractHigh(wide, aLo, aHi);
}

function subtractHigh(wide: Int32Array, lo: number, hi: number): void {
  const old = wide[2];
  wide[2] = old - lo;
  wide[3] = wide[3] - hi - (old >>> 0 < lo >>> 0 ? 1 : 0);
}

/** Products below and above these surely fit and surely do not, whatever doubles round. */
const SURELY_FITS = 9.22e18;
const SURELY_TOO_LARGE = 9.23e18;

/**
 * Signed 64-bit product cut to 64 bits: low word, then high word in `out[0..1]`.
 * @returns 1 when the full product does not fit
 */
export function multiplySigned64(
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
  out: Int32Array,
): number {
  out[0] = Math.imul(aLo, bLo);
  out[1] = multiplyHigh(aLo, bLo) + Math.imul(aHi, bLo) + Math.imul(aLo, bHi);
  const size = Math.abs((aHi * TWO_32 + (aLo >>> 0)) * (bHi * TWO_32 + (bLo >>> 0)));
  if (size < SURELY_FITS) return 0;
  if (size > SURELY_TOO_LARGE) return 1;
  // So near to 2^63 the product fits just when cutting it has left its sign alone.
  return (out[1] ^ aHi ^ bHi) < 0 ? 1 : 0;
}

/** MUL and IMUL with one operand: rDX:rAX = rAX * operand. */
function multiply(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.first(pc, size)) return Status.Fault;
  const { words, wide } = core;
  const signed = core.variantOf(pc) === 1;
  const bLo = core.lo;
  const bHi = core.hi;
  core.readRegister(0, size);
  const aLo = core.lo;
  let overflow = 0;
  if (size < 2) {
    const mask = size === 0 ? 0xff : 0xffff;
    const product = signed ? Math.imul(aLo, bLo) : Math.imul(aLo & mask, bLo & mask);
    const bits = 8 << size;
    if (size === 0) core.writeRegister(0, 1, product, 0);
    else {
      core.writeRegister(0, 1, product, 0);
      core.writeRegister(4, 1, product >> 16, 0);
    }
    const low = (product << (32 - bits)) >> (32 - bits);
    overflow = (signed ? low !== product : product >>> bits !== 0) ? 1 : 0;
    setResult(words, size, product, 0);
  } else if (size === 2) {
    const lo = Math.imul(aLo, bLo);
    let hi = multiplyHigh(aLo, bLo);
    if (signed) hi = (hi - (aLo < 0 ? bLo : 0) - (bLo < 0 ? aLo : 0)) | 0;
    core.writeRegister(0, 2, lo, 0);
    core.writeRegister(4, 2, hi, 0);
    overflow = (signed ? hi !== lo >> 31 : hi !== 0) ? 1 : 0;
    setResult(words, 2, lo, 0);
  } else {
    if (signed) multiplyWideSigned(wide, aLo, core.hi, bLo, bHi);
    else multiplyWide(wide, aLo, core.hi, bLo, bHi);
    core.writeRegister(0, 3, wide[0], wide[1]);
    core.writeRegister(4, 3, wide[2], wide[3]);
    const sign = signed ? wide[1] >> 31 : 0;
    overflow = wide[2] !== sign || wide[3] !== sign ? 1 : 0;
    setResult(words, 3, wide[0], wide[1]);
  }
  words[State.FlagsCarry] = 0;
  setCarryOverflow(words, overflow, overflow);
  return Status.Next;
}

/** IMUL with two or three operands. */
function multiplyInto(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { words, code, wide } = core;
  const bLo = core.lo;
  const bHi = core.hi;
  // Three operands: the immediate is the other factor.
  if (core.variantOf(pc) === 3) {
    core.lo = code[pc + Entry.Immediate];
    core.hi = code[pc + Entry.ImmediateHi];
  } else core.readRegister(code[pc + Entry.A], size);
  const aLo = core.lo;
  const aHi = core.hi;
  let overflow = 0;
  if (size === 3) {
    multiplyWideSigned(wide, aLo, aHi, bLo, bHi);
    const sign = wide[1] >> 31;
    overflow = wide[2] !== sign || wide[3] !== sign ? 1 : 0;
    core.writeRegister(code[pc + Entry.A], 3, wide[0], wide[1]);
    setResult(words, 3, wide[0], wide[1]);
  } else {
    const lo = Math.imul(aLo, bLo);
    if (size === 2) {
      const hi = (multiplyHigh(aLo, bLo) - (aLo < 0 ? bLo : 0) - (bLo < 0 ? aLo : 0)) | 0;
      overflow = hi !== lo >> 31 ? 1 : 0;
    } else overflow = (lo << 16) >> 16 !== lo ? 1 : 0;
    core.writeRegister(code[pc + Entry.A], size, lo, 0);
    setResult(words, size, lo, 0);
  }
  words[State.FlagsCarry] = 0;
  setCarryOverflow(words, overflow, overflow);
  return Status.Next;
}

/** MULX: rDX by the operand into two registers, no flags; the high half goes last where they are one. */
function mulx(core: ExecutionCore, pc: number): number {
  if (core.realAddressing) return core.undefined();
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { lo: bLo, hi: bHi } = core;
  const { code, wide } = core;
  core.readRegister(4, size);
  const { lo: aLo, hi: aHi } = core;
  if (size === 2) {
    core.writeRegister(code[pc + Entry.Immediate], 2, Math.imul(aLo, bLo), 0);
    core.writeRegister(code[pc + Entry.A], 2, multiplyHigh(aLo, bLo), 0);
    return Status.Next;
  }
  multiplyWide(wide, aLo, aHi, bLo, bHi);
  core.writeRegister(code[pc + Entry.Immediate], 3, wide[0], wide[1]);
  core.writeRegister(code[pc + Entry.A], 3, wide[2], wide[3]);
  return Status.Next;
}

/** DIV and IDIV: rDX:rAX by the operand. */
function divide(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.first(pc, size)) return Status.Fault;
  const signed = core.variantOf(pc) === 1;
  const done =
    size === 3
      ? divide64(core, signed, core.lo, core.hi)
      : size === 2
        ? divide32(core, signed, core.lo)
        : divideNarrow(core, signed, core.lo, size);
  return done ? Status.Next : core.raisePlain(Vector.De);
}

function divideNarrow(core: ExecutionCore, signed: boolean, operand: number, size: number): boolean {
  const { words } = core;
  const bits = 8 << size;
  const mask = size === 0 ? 0xff : 0xffff;
  let dividend = size === 0 ? words[0] & 0xffff : (words[0] & 0xffff) | (words[4] << 16);
  let divisor = operand;
  if (signed) {
    if (size === 0) dividend = (dividend << 16) >> 16;
  } else {
    divisor &= mask;
    dividend >>>= 0;
  }
  if (divisor === 0) return false;
  const quotient = Math.trunc(dividend / divisor);
  const remainder = dividend - quotient * divisor;
  if (signed ? quotient < -(2 ** (bits - 1)) || quotient >= 2 ** (bits - 1) : quotient > mask) return false;
  if (size === 0) words[0] = (words[0] & ~0xffff) | (quotient & 0xff) | ((remainder & 0xff) << 8);
  else {
    core.writeRegister(0, 1, quotient, 0);
    core.writeRegister(4, 1, remainder, 0);
  }
  return true;
}

function divide32(core: ExecutionCore, signed: boolean, operand: number): boolean {
  const { words } = core;
  if (operand === 0) return false;
  const negative = signed && words[4] < 0;
  let lo = words[0];
  let hi = words[4];
  if (negative) {
    hi = ~hi + (lo === 0 ? 1 : 0);
    lo = -lo | 0;
  }
  const divisor = signed ? Math.abs(operand) : operand >>> 0;
  const high = hi >>> 0;
  if (high >= divisor) return false; // the quotient has more than 32 bits
  // Two steps of 16 bits: every intermediate is below 2^48 and so exact.
  const upper = high * 65536 + (lo >>> 16);
  const q1 = Math.floor(upper / divisor);
  const lower = (upper - q1 * divisor) * 65536 + (lo & 0xffff);
  const q0 = Math.floor(lower / divisor);
  const remainder = lower - q0 * divisor;
  const quotient = q1 * 65536 + q0;
  if (!signed) {
    core.writeRegister(0, 2, quotient | 0, 0);
    core.writeRegister(4, 2, remainder | 0, 0);
    return true;
  }
  const negativeQuotient = negative !== operand < 0;
  if (quotient > (negativeQuotient ? 0x80000000 : 0x7fffffff)) return false;
  core.writeRegister(0, 2, (negativeQuotient ? -quotient : quotient) | 0, 0);
  core.writeRegister(4, 2, (negative ? -remainder : remainder) | 0, 0);
  return true;
}

function negateWide(wide: Int32Array, words: number): void {
  let carry = 1;
  for (let i = 0; i < words; i++) {
    const sum = (~wide[i] >>> 0) + carry;
    wide[i] = sum;
    carry = sum >= TWO_32 ? 1 : 0;
  }
}

function divide64(core: ExecutionCore, signed: boolean, operandLo: number, operandHi: number): boolean {
  const { words, wide } = core;
  let dLo = operandLo;
  let dHi = operandHi;
  if ((dLo | dHi) === 0) return false;
  wide[0] = words[0];
  wide[1] = words[1];
  wide[2] = words[4];
  wide[3] = words[5];
  const negative = signed && wide[3] < 0;
  const negativeDivisor = signed && dHi < 0;
  if (negative) negateWide(wide, 4);
  if (negativeDivisor) {
    dHi = (~dHi + (dLo === 0 ? 1 : 0)) | 0;
    dLo = -dLo | 0;
  }
  const divisorHigh = dHi >>> 0;
  const divisorLow = dLo >>> 0;
  let remainderLo = wide[2];
  let remainderHi = wide[3];
  const high = remainderHi >>> 0;
  if (high > divisorHigh || (high === divisorHigh && remainderLo >>> 0 >= divisorLow)) return false;
  if ((remainderLo | remainderHi) === 0 && wide[1] >>> 0 < 0x200000 && divisorHigh < 0x200000) {
    const dividend = (wide[1] >>> 0) * TWO_32 + (wide[0] >>> 0);
    const divisor = divisorHigh * TWO_32 + divisorLow;
    const quotient = Math.floor(dividend / divisor);
    const rest = dividend % divisor;
    // A quotient of 53-bit integers may round up to the next integer; the remainder is exact.
    const exact = quotient * divisor > dividend ? quotient - 1 : quotient;
    wide[0] = exact;
    wide[1] = exact / TWO_32;
    remainderLo = rest | 0;
    remainderHi = (rest / TWO_32) | 0;
  } else {
    // Restoring division, a bit at a time: rare enough.
    let qLo = wide[0];
    let qHi = wide[1];
    for (let i = 0; i < 64; i++) {
      const carry = remainderHi >>> 31;
      remainderHi = (remainderHi << 1) | (remainderLo >>> 31);
      remainderLo = (remainderLo << 1) | (qHi >>> 31);
      qHi = (qHi << 1) | (qLo >>> 31);
      qLo <<= 1;
      const rh = remainderHi >>> 0;
      if (carry !== 0 || rh > divisorHigh || (rh === divisorHigh && remainderLo >>> 0 >= divisorLow)) {
        const old = remainderLo >>> 0;
        remainderLo = (remainderLo - dLo) | 0;
        remainderHi = (remainderHi - dHi - (old < divisorLow ? 1 : 0)) | 0;
        qLo |= 1;
      }
    }
    wide[0] = qLo;
    wide[1] = qHi;
  }
  wide[2] = remainderLo;
  wide[3] = remainderHi;
  if (signed) {
    const negativeQuotient = negative !== negativeDivisor;
    if (wide[1] < 0 && !(negativeQuotient && wide[1] === -0x80000000 && wide[0] === 0)) return false;
    if (negative) {
      const old = wide[2];
      wide[2] = -old;
      wide[3] = ~wide[3] + (old === 0 ? 1 : 0);
    }
    if (negativeQuotient) negateWide(wide, 2);
  }
  core.writeRegister(0, 3, wide[0], wide[1]);
  core.writeRegister(4, 3, wide[2], wide[3]);
  return true;
}

/** IMUL: one handler key for the one-, two- and three-operand forms; lowering numbers them in the variant. */
function imul(core: ExecutionCore, pc: number): number {
  return core.variantOf(pc) === 1 ? multiply(core, pc) : multiplyInto(core, pc);
}

export const MULTIPLY: Family = {
  mul: [multiply, 0],
  imul,
  mulx,
  div: [divide, 0],
  idiv: [divide, 1],
};
