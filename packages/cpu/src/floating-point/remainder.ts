import {
  BIAS,
  Class,
  classOf,
  compareSignificands,
  denormalOperand,
  denormalOperands,
  infiniteResult,
  invalidResult,
  normalise,
  normaliseResult,
  propagate,
  propagateOne,
  roundAndPack,
  setResult,
  zeroResult,
} from "./extended.js";
import { type FloatContext, FloatFlag, Part, REST, Slot } from "./float-context.js";

/** Outcome of {@link remainder}. */
export const Reduction = {
  /** Low three bits of the quotient when the reduction is complete. */
  QuotientMask: 7,
  /** The exponents were too far apart: R is congruent to A, but not reduced yet. */
  Partial: 8,
  /** There is no quotient: an operand is no number, or the operation invalid. */
  None: 16,
} as const;

/**
 * R = A - Q * B, exactly: FPREM with Q = A / B truncated, FPREM1 with it rounded to nearest even.
 * @returns {@link Reduction}
 */
export function remainder(f: FloatContext, nearest: boolean): number {
  const { words } = f;
  const kindA = classOf(words, Slot.A);
  const kindB = classOf(words, Slot.B);
  if (kindA >= Class.Quiet || kindB >= Class.Quiet) {
    propagate(f, kindA, kindB);
    return Reduction.None;
  }
  if (kindA === Class.Infinity || kindB === Class.Zero) {
    invalidResult(f);
    return Reduction.None;
  }
  if (!denormalOperands(f, kindA, kindB)) return Reduction.None;
  f.copy(Slot.A, Slot.R);
  words[REST] = 0;
  if (kindA === Class.Zero) return 0;
  if (kindA === Class.Denormal) normalise(words, Slot.R);
  if (kindB === Class.Infinity) {
    roundAndPack(f, 64);
    return 0;
  }
  if (kindB === Class.Denormal) normalise(words, Slot.B);
  const distance = words[Slot.R + Part.Exponent] - words[Slot.B + Part.Exponent];
  if (distance < 0) return nearest ? roundSmall(f, distance) : finish(f, 0);
  if (distance < 64) return reduce(f, distance, nearest);
  // A part of the way: N bits of the quotient, 32 to 63 (SDM vol. 2, FPREM).
  const bits = 32 + (distance & 31);
  const exponent = words[Slot.R + Part.Exponent];
  subtractMultiples(words, bits);
  if ((words[Slot.R] | words[Slot.R + Part.Hi]) === 0) zeroResult(f, words[Slot.R + Part.Sign]);
  else {
    words[Slot.R + Part.Exponent] = exponent - bits;
    normaliseResult(words);
    roundAndPack(f, 64);
  }
  return Reduction.Partial;
}

/**
 * Long division of R's significand by B's, `steps` + 1 bits of the quotient: the remainder stays in R with its top bit
 * where B's is. @returns the low 32 bits of the quotient
 */
function subtractMultiples(words: Int32Array, steps: number): number {
  const dLo = words[Slot.B];
  const dHi = words[Slot.B + Part.Hi];
  let lo = words[Slot.R];
  let hi = words[Slot.R + Part.Hi];
  let quotient = 0;
  let carry = 0;
  for (let i = 0; ; i++) {
    quotient <<= 1;
    if (carry !== 0 || hi >>> 0 > dHi >>> 0 || (hi === dHi && lo >>> 0 >= dLo >>> 0)) {
      const borrow = lo >>> 0 < dLo >>> 0 ? 1 : 0;
      lo = (lo - dLo) | 0;
      hi = (hi - dHi - borrow) | 0;
      quotient |= 1;
    }
    if (i === steps) break;
    carry = hi >>> 31;
    hi = (hi << 1) | (lo >>> 31);
    lo <<= 1;
  }
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = hi;
  return quotient;
}

function reduce(f: FloatContext, distance: number, nearest: boolean): number {
  const { words } = f;
  let quotient = subtractMultiples(words, distance);
  words[Slot.R + Part.Exponent] = words[Slot.B + Part.Exponent];
  if (nearest && aboveHalf(words, (quotient & 1) === 1)) {
    quotient++;
    negateFromDivisor(words);
  }
  return finish(f, quotient);
}

/** Whether twice R is above B, or the same when `odd`. */
function aboveHalf(words: Int32Array, odd: boolean): boolean {
  const hi = words[Slot.R + Part.Hi];
  if (hi < 0) return true;
  const twiceHi = ((hi << 1) | (words[Slot.R] >>> 31)) >>> 0;
  const twiceLo = (words[Slot.R] << 1) >>> 0;
  const dHi = words[Slot.B + Part.Hi] >>> 0;
  const dLo = words[Slot.B] >>> 0;
  if (twiceHi !== dHi) return twiceHi > dHi;
  return twiceLo > dLo || (odd && twiceLo === dLo);
}

/** R = B - R, with the other sign. */
function negateFromDivisor(words: Int32Array): void {
  const borrow = words[Slot.B] >>> 0 < words[Slot.R] >>> 0 ? 1 : 0;
  words[Slot.R] = words[Slot.B] - words[Slot.R];
  words[Slot.R + Part.Hi] = words[Slot.B + Part.Hi] - words[Slot.R + Part.Hi] - borrow;
  words[Slot.R + Part.Sign] ^= 1;
}

/** FPREM1 of an A below B in exponent: the quotient is 0 or 1. */
function roundSmall(f: FloatContext, distance: number): number {
  const { words } = f;
  // Below half of B whatever the significands are, or, one exponent apart, at most half when they do not exceed B's.
  if (distance < -1 || compareSignificands(words, Slot.R, Slot.B) <= 0) return finish(f, 0);
  // B - A with both at A's exponent: 2 * B - A in the significand, below 2^64 because A is above half of B.
  const lo = words[Slot.R];
  const twiceLo = words[Slot.B] << 1;
  const twiceHi = (words[Slot.B + Part.Hi] << 1) | (words[Slot.B] >>> 31);
  words[Slot.R] = twiceLo - lo;
  words[Slot.R + Part.Hi] = twiceHi - words[Slot.R + Part.Hi] - (twiceLo >>> 0 < lo >>> 0 ? 1 : 0);
  words[Slot.R + Part.Sign] ^= 1;
  return finish(f, 1);
}

function finish(f: FloatContext, quotient: number): number {
  const { words } = f;
  if ((words[Slot.R] | words[Slot.R + Part.Hi]) === 0) {
    zeroResult(f, words[Slot.A + Part.Sign]);
    return quotient & Reduction.QuotientMask;
  }
  normaliseResult(words);
  roundAndPack(f, 64);
  return quotient & Reduction.QuotientMask;
}

/** R = A * 2^trunc(B). */
export function scale(f: FloatContext): void {
  const { words } = f;
  const kindA = classOf(words, Slot.A);
  const kindB = classOf(words, Slot.B);
  if (kindA >= Class.Quiet || kindB >= Class.Quiet) {
    propagate(f, kindA, kindB);
    return;
  }
  const sign = words[Slot.A + Part.Sign];
  const down = words[Slot.B + Part.Sign] === 1;
  if (kindB === Class.Infinity && (kindA === Class.Zero ? !down : kindA === Class.Infinity && down)) {
    invalidResult(f);
    return;
  }
  if (!denormalOperands(f, kindA, kindB)) return;
  if (kindA === Class.Infinity || (kindB === Class.Infinity && !down)) {
    infiniteResult(f, sign);
    return;
  }
  if (kindA === Class.Zero || kindB === Class.Infinity) {
    zeroResult(f, sign);
    return;
  }
  f.copy(Slot.A, Slot.R);
  words[REST] = 0;
  if (kindA === Class.Denormal) normalise(words, Slot.R);
  const power = words[Slot.B + Part.Exponent] - BIAS;
  if (kindB !== Class.Zero && power >= 0) {
    // Beyond 2^16 the result has long left the range.
    const steps = power > 16 ? 0x20000 : words[Slot.B + Part.Hi] >>> (31 - power);
    words[Slot.R + Part.Exponent] += down ? -steps : steps;
  }
  roundAndPack(f, 64);
}

/** A to its unbiased exponent, in R, and its significand with the exponent of 1, in B. */
export function extract(f: FloatContext): void {
  const { words } = f;
  const kind = classOf(words, Slot.A);
  const sign = words[Slot.A + Part.Sign];
  if (kind >= Class.Quiet) {
    propagateOne(f, kind);
    f.copy(Slot.R, Slot.B);
    return;
  }
  if (kind === Class.Infinity) {
    f.copy(Slot.A, Slot.B);
    infiniteResult(f, 0);
    return;
  }
  if (kind === Class.Zero) {
    f.flags |= FloatFlag.ZeroDivide;
    f.copy(Slot.A, Slot.B);
    infiniteResult(f, 1);
    return;
  }
  if (kind === Class.Denormal) {
    if (!denormalOperand(f)) return;
    normalise(words, Slot.A);
  }
  const power = words[Slot.A + Part.Exponent] - BIAS;
  f.copy(Slot.A, Slot.B);
  words[Slot.B + Part.Exponent] = BIAS;
  words[Slot.B + Part.Sign] = sign;
  const size = Math.abs(power);
  if (size === 0) {
    zeroResult(f, 0);
    return;
  }
  const top = 31 - Math.clz32(size);
  setResult(words, 0, size << (31 - top), BIAS + top, power < 0 ? 1 : 0);
}
