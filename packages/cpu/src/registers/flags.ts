import { ARITHMETIC_FLAGS, Flag, State } from "../cpu-state.js";

/*
 * Arithmetic flags are kept as four words from which each follows in a few operations (see `State.FlagsZero`). The
 * functions below write those words from operands and results of 2^(size+3) bits; values narrower than 32 bits are
 * sign-extended.
 */

/** 1 when the low byte has an odd number of ones (PF clear). */
export function oddParity(value: number): number {
  const folded = (value ^ (value >> 4)) & 15;
  return (0x6996 >> folded) & 1;
}

/** The six arithmetic flags in their EFLAGS positions. */
export function arithmeticFlags(words: Int32Array): number {
  if (words[State.FlagsSource] === 0) return words[State.Flags] & ARITHMETIC_FLAGS;
  const carry = words[State.FlagsCarry];
  return (
    (carry >>> 31) |
    (oddParity(words[State.FlagsParity]) === 0 ? Flag.Pf : 0) |
    ((carry & 8) << 1) |
    (words[State.FlagsZero] === 0 ? Flag.Zf : 0) |
    (words[State.FlagsSign] < 0 ? Flag.Sf : 0) |
    (((carry >>> 31) ^ ((carry >>> 30) & 1)) << 11)
  );
}

/** Takes the arithmetic flags from an EFLAGS image. */
export function setArithmeticFlags(words: Int32Array, flags: number): void {
  const cf = flags & 1;
  const of = (flags >>> 11) & 1;
  words[State.FlagsSource] = 1;
  words[State.FlagsZero] = (flags & Flag.Zf) === 0 ? 1 : 0;
  words[State.FlagsSign] = (flags & Flag.Sf) === 0 ? 0 : -1;
  words[State.FlagsParity] = (flags & Flag.Pf) === 0 ? 1 : 0;
  words[State.FlagsCarry] = (cf << 31) | ((cf ^ of) << 30) | ((flags & Flag.Af) >> 1);
}

/** Full RFLAGS (its high word is zero). */
export function packFlags(words: Int32Array): number {
  return (words[State.Flags] & ~ARITHMETIC_FLAGS) | arithmeticFlags(words) | 2;
}

export function unpackFlags(words: Int32Array, flags: number): void {
  words[State.Flags] = (flags & ~ARITHMETIC_FLAGS) | 2;
  setArithmeticFlags(words, flags);
}

/** ZF, SF and PF from a result. */
export function setResult(words: Int32Array, size: number, lo: number, hi: number): void {
  words[State.FlagsParity] = lo;
  if (size === 3) {
    words[State.FlagsZero] = lo | hi;
    words[State.FlagsSign] = hi;
    return;
  }
  const shift = 32 - (8 << size);
  const value = (lo << shift) >> shift;
  words[State.FlagsZero] = value;
  words[State.FlagsSign] = value;
}

/** Flags of AND, OR, XOR, TEST: CF, OF and AF clear. */
export function setLogic(words: Int32Array, size: number, lo: number, hi: number): void {
  setResult(words, size, lo, hi);
  words[State.FlagsCarry] = 0;
}

/**
 * Flags of an addition (also with carry in).
 * @param a,b low words of the operands @param r low word of the result; `*Hi` count for 64 bits only
 */
export function setAdd(
  words: Int32Array,
  size: number,
  a: number,
  aHi: number,
  b: number,
  bHi: number,
  r: number,
  rHi: number,
): void {
  setResult(words, size, r, rHi);
  const low = (a & b) | ((a | b) & ~r);
  const high = (aHi & bHi) | ((aHi | bHi) & ~rHi);
  words[State.FlagsCarry] = placeCarries(size, low, high);
}

/** Flags of a subtraction `a - b` (also with borrow in). */
export function setSubtract(
  words: Int32Array,
  size: number,
  a: number,
  aHi: number,
  b: number,
  bHi: number,
  r: number,
  rHi: number,
): void {
  setResult(words, size, r, rHi);
  const low = (~a & b) | (~(a ^ b) & r);
  const high = (~aHi & bHi) | (~(aHi ^ bHi) & rHi);
  words[State.FlagsCarry] = placeCarries(size, low, high);
}

function placeCarries(size: number, low: number, high: number): number {
  if (size === 3) return (high & ~8) | (low & 8);
  return ((low << (32 - (8 << size))) & ~8) | (low & 8);
}

/** CF and OF as given, AF unchanged, ZF, SF and PF unchanged. */
export function setCarryOverflow(words: Int32Array, cf: number, of: number): void {
  words[State.FlagsCarry] = (cf << 31) | ((cf ^ of) << 30) | (words[State.FlagsCarry] & 8);
}

/** CF as given, OF and the others unchanged. */
export function setCarry(words: Int32Array, cf: number): void {
  const old = words[State.FlagsCarry];
  const of = (old >>> 31) ^ ((old >>> 30) & 1);
  words[State.FlagsCarry] = (cf << 31) | ((cf ^ of) << 30) | (old & 8);
}

/** CF as 0 or 1. */
export function carryFlag(words: Int32Array): number {
  return words[State.FlagsCarry] >>> 31;
}

/** ZF alone; the others unchanged. */
export function setZero(words: Int32Array, zf: boolean): void {
  words[State.FlagsZero] = zf ? 0 : 1;
}

/**
 * Whether a condition holds.
 * @param cc condition code 0-15 in encoding order (O, NO, B, AE, E, NE, BE, A, S, NS, P, NP, L, GE, LE, G)
 */
export function conditionHolds(
  cc: number,
  zero: number,
  sign: number,
  parity: number,
  carry: number,
): boolean {
  let holds: boolean;
  switch (cc >> 1) {
    case 0:
      holds = (carry ^ (carry << 1)) < 0;
      break;
    case 1:
      holds = carry < 0;
      break;
    case 2:
      holds = zero === 0;
      break;
    case 3:
      holds = carry < 0 || zero === 0;
      break;
    case 4:
      holds = sign < 0;
      break;
    case 5:
      holds = oddParity(parity) === 0;
      break;
    case 6:
      holds = (sign ^ carry ^ (carry << 1)) < 0;
      break;
    default:
      holds = zero === 0 || (sign ^ carry ^ (carry << 1)) < 0;
  }
  return holds !== ((cc & 1) === 1);
}
