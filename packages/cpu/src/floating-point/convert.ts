import {
  BIAS,
  Class,
  classOf,
  denormalOperand,
  normalise,
  normaliseResult,
  propagateOne,
  Rounded,
  roundSignificand,
  roundsAway,
  setResult,
  shiftRightSticky,
} from "./extended.js";
import { type FloatContext, FloatFlag, Part, REST, Slot } from "./float-context.js";
import { Rounding } from "./rounding.js";

/** Biases of the formats in memory. */
const BIAS32 = 127;
const BIAS64 = 1023;

/** Unpacks a 32-bit value. A denormal is normalised and noted, a signaling NaN stays one. */
export function unpack32(f: FloatContext, slot: number, value: number): void {
  const exponent = (value >>> 23) & 0xff;
  unpackBinary(f, slot, value >>> 31, exponent, 0xff, BIAS32, value << 8, 0);
}

/** As {@link unpack32}, of a 64-bit value. */
export function unpack64(f: FloatContext, slot: number, lo: number, hi: number): void {
  const exponent = (hi >>> 20) & 0x7ff;
  unpackBinary(f, slot, hi >>> 31, exponent, 0x7ff, BIAS64, (hi << 11) | (lo >>> 21), lo << 11);
}

function unpackBinary(
  f: FloatContext,
  slot: number,
  sign: number,
  exponent: number,
  top: number,
  bias: number,
  fractionHi: number,
  lo: number,
): void {
  const { words } = f;
  words[slot] = lo;
  words[slot + Part.Hi] = fractionHi | 0x80000000;
  words[slot + Part.Sign] = sign;
  words[slot + Part.Exponent] = exponent === top ? 0x7fff : exponent - bias + BIAS;
  if (exponent !== 0) return;
  const hi = fractionHi & 0x7fffffff;
  words[slot + Part.Hi] = hi;
  if ((hi | lo) === 0) {
    words[slot + Part.Exponent] = 0;
    return;
  }
  words[slot + Part.Exponent] = 1 - bias + BIAS;
  normalise(words, slot);
  f.narrowDenormal = true;
}

/** Unpacks a signed integer of 64 bits, exactly. */
export function unpackInteger(f: FloatContext, slot: number, lo: number, hi: number): void {
  const { words } = f;
  const sign = hi < 0 ? 1 : 0;
  const magnitudeLo = sign === 1 ? -lo | 0 : lo;
  const magnitudeHi = sign === 1 ? (~hi + (lo === 0 ? 1 : 0)) | 0 : hi;
  words[slot] = magnitudeLo;
  words[slot + Part.Hi] = magnitudeHi;
  words[slot + Part.Sign] = sign;
  if ((magnitudeLo | magnitudeHi) === 0) {
    words[slot + Part.Exponent] = 0;
    return;
  }
  words[slot + Part.Exponent] = BIAS + 63;
  normalise(words, slot);
}

/** What FLD makes of an unpacked A: a signaling NaN is quieted and invalid. R is the value. */
export function quietLoad(f: FloatContext): void {
  const kind = classOf(f.words, Slot.A);
  if (kind === Class.Signaling) propagateOne(f, kind);
  else {
    if (f.narrowDenormal) denormalOperand(f);
    f.copy(Slot.A, Slot.R);
  }
}

/**
 * Rounds A to a format of memory: its bits to `f.lo` and `f.hi` (32-bit values to `f.lo` alone).
 * With an unmasked overflow or underflow nothing else is raised; the bits mean nothing and must not be stored.
 * @param bits 32 or 64
 */
export function packBinary(f: FloatContext, bits: number): void {
  const { words } = f;
  const precision = bits === 32 ? 24 : 53;
  const top = bits === 32 ? 0xff : 0x7ff;
  const bias = bits === 32 ? BIAS32 : BIAS64;
  const kind = classOf(words, Slot.A);
  const sign = words[Slot.A + Part.Sign];
  if (kind >= Class.Quiet) {
    propagateOne(f, kind);
    assemble(f, bits, words[Slot.R + Part.Sign], top);
    return;
  }
  f.copy(Slot.A, Slot.R);
  words[REST] = 0;
  if (kind === Class.Zero || kind === Class.Infinity) {
    assemble(f, bits, sign, kind === Class.Zero ? 0 : top);
    return;
  }
  if (kind === Class.Denormal) {
    normalise(words, Slot.R);
    // Storing is an operation on the value only as far as it rounds: #D is not raised (SDM vol. 2, FST).
  }
  const exponent = words[Slot.R + Part.Exponent] - BIAS + bias;
  if (exponent <= 0) {
    packTiny(f, bits, precision, exponent);
    return;
  }
  const outcome = roundSignificand(f, precision);
  const rounded = outcome === Rounded.Carried ? exponent + 1 : exponent;
  if (rounded >= top) {
    f.flags |= FloatFlag.Overflow;
    if ((f.masks & FloatFlag.Overflow) === 0) return;
    f.flags |= FloatFlag.Precision;
    if (roundsAway(f, sign)) {
      f.flags |= FloatFlag.C1;
      setResult(words, 0, 0, 0, sign);
      assemble(f, bits, sign, top);
    } else {
      setResult(words, -1, -1, 0, sign);
      assemble(f, bits, sign, top - 1);
    }
    return;
  }
  noteInexact(f, outcome);
  assemble(f, bits, sign, rounded);
}

function noteInexact(f: FloatContext, outcome: number): void {
  if (outcome === Rounded.Exact) return;
  f.flags |= FloatFlag.Precision;
  if (outcome >= Rounded.Up) f.flags |= FloatFlag.C1;
}

function packTiny(f: FloatContext, bits: number, precision: number, exponent: number): void {
  const { words } = f;
  const lo = words[Slot.R];
  const hi = words[Slot.R + Part.Hi];
  const outcome = roundSignificand(f, precision);
  const tiny = exponent < 0 || outcome !== Rounded.Carried;
  if (tiny && (f.masks & FloatFlag.Underflow) === 0) {
    f.flags |= FloatFlag.Underflow;
    return;
  }
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = hi;
  shiftRightSticky(words, 1 - exponent);
  const denormal = roundSignificand(f, precision);
  noteInexact(f, denormal);
  if (tiny && denormal !== Rounded.Exact) f.flags |= FloatFlag.Underflow;
  assemble(f, bits, words[Slot.R + Part.Sign], words[Slot.R + Part.Hi] < 0 ? 1 : 0);
}

/** Puts sign, exponent and the fraction of R together. */
function assemble(f: FloatContext, bits: number, sign: number, exponent: number): void {
  const { words } = f;
  const hi = words[Slot.R + Part.Hi] & 0x7fffffff;
  if (bits === 32) {
    f.lo = (sign << 31) | (exponent << 23) | (hi >>> 8);
    f.hi = 0;
  } else {
    f.lo = (words[Slot.R] >>> 11) | (hi << 21);
    f.hi = (sign << 31) | (exponent << 20) | (hi >>> 11);
  }
}

/** Rounds the magnitude of R, a nonzero number, to an integer in R's significand words. @returns a `Rounded` number, `Carried` never */
function roundToInteger(f: FloatContext): number {
  const { words } = f;
  const shift = BIAS + 63 - words[Slot.R + Part.Exponent];
  words[REST] = 0;
  shiftRightSticky(words, shift);
  const fraction = words[REST];
  words[REST] = 0;
  if (fraction === 0) return Rounded.Exact;
  const size = fraction >>> 0;
  const lo = words[Slot.R];
  let up = false;
  if (f.rounding === Rounding.Nearest) up = size > 0x80000000 || (size === 0x80000000 && (lo & 1) === 1);
  else if (f.rounding !== Rounding.Zero)
    up = (f.rounding === Rounding.Down) === (words[Slot.R + Part.Sign] === 1);
  if (!up) return Rounded.Down;
  words[Slot.R] = lo + 1;
  if (words[Slot.R] === 0) words[Slot.R + Part.Hi] += 1;
  return Rounded.Up;
}

/**
 * Rounds A to a signed integer in `f.lo` and `f.hi`; what does not fit is invalid and gives the integer indefinite.
 * @param bits 16, 32 or 64
 */
export function packInteger(f: FloatContext, bits: number): void {
  const { words } = f;
  const kind = classOf(words, Slot.A);
  const sign = words[Slot.A + Part.Sign];
  if (kind === Class.Zero) {
    f.lo = 0;
    f.hi = 0;
    return;
  }
  if (kind >= Class.Infinity || words[Slot.A + Part.Exponent] > BIAS + 63) {
    integerIndefinite(f, bits);
    return;
  }
  f.copy(Slot.A, Slot.R);
  if (kind === Class.Denormal) normalise(words, Slot.R);
  const outcome = roundToInteger(f);
  const lo = words[Slot.R];
  const hi = words[Slot.R + Part.Hi];
  if (!fits(lo, hi, sign, bits)) {
    integerIndefinite(f, bits);
    return;
  }
  noteInexact(f, outcome);
  f.lo = sign === 1 ? -lo | 0 : lo;
  f.hi = sign === 1 ? (~hi + (lo === 0 ? 1 : 0)) | 0 : hi;
}

function fits(lo: number, hi: number, sign: number, bits: number): boolean {
  if (bits === 64) return hi >= 0 || (sign === 1 && hi === -0x80000000 && lo === 0);
  const limit = bits === 32 ? 0x80000000 : 0x8000;
  return hi === 0 && lo >>> 0 < limit + sign;
}

function integerIndefinite(f: FloatContext, bits: number): void {
  f.flags |= FloatFlag.Invalid;
  indefinite(f, bits);
}

/** The integer indefinite of a size. */
export function indefinite(f: FloatContext, bits: number): void {
  f.lo = bits === 64 ? 0 : bits === 32 ? 0x80000000 | 0 : -0x8000;
  f.hi = bits === 64 ? 0x80000000 | 0 : -1;
}

/** R = A rounded to an integral value. */
export function roundToIntegral(f: FloatContext): void {
  const { words } = f;
  const kind = classOf(words, Slot.A);
  if (kind >= Class.Quiet) {
    propagateOne(f, kind);
    return;
  }
  f.copy(Slot.A, Slot.R);
  if (kind === Class.Denormal && !denormalOperand(f)) return;
  if (kind === Class.Zero || kind === Class.Infinity || words[Slot.A + Part.Exponent] >= BIAS + 63) return;
  if (kind === Class.Denormal) normalise(words, Slot.R);
  noteInexact(f, roundToInteger(f));
  if ((words[Slot.R] | words[Slot.R + Part.Hi]) === 0) {
    words[Slot.R + Part.Exponent] = 0;
    return;
  }
  words[Slot.R + Part.Exponent] = BIAS + 63;
  normaliseResult(words);
}
