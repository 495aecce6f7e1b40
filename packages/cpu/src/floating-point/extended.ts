import { type FloatContext, FloatFlag, Part, REST, Slot } from "./float-context.js";
import { Rounding } from "./rounding.js";

/** Encodings of extended values (SDM vol. 1, 4.8.3 and 8.2.2). Those from `Quiet` on are no numbers. */
export const Class = {
  Zero: 0,
  Normal: 1,
  /** Pseudo-denormals too: exponent 0 with the integer bit set. */
  Denormal: 2,
  Infinity: 3,
  Quiet: 4,
  Signaling: 5,
  /** Pseudo-NaNs, pseudo-infinities and unnormals: integer bit clear, exponent not 0. */
  Unsupported: 6,
} as const;

export const BIAS = 0x3fff;
const EXPONENT_TOP = 0x7fff;
const INTEGER_BIT = 0x80000000 | 0;
const QUIET_BIT = 0x40000000;
const HALF = 0x80000000;
/** What unmasked overflow and underflow move the exponent by (SDM vol. 1, 8.5.4). */
const WRAP = 0x6000;

/** Class of the value in a slot. */
export function classOf(words: Int32Array, slot: number): number {
  const hi = words[slot + Part.Hi];
  const exponent = words[slot + Part.Exponent];
  if (exponent === 0) return (hi | words[slot]) === 0 ? Class.Zero : Class.Denormal;
  if (hi >= 0) return Class.Unsupported;
  if (exponent !== EXPONENT_TOP) return Class.Normal;
  if (hi << 1 === 0 && words[slot] === 0) return Class.Infinity;
  return (hi & QUIET_BIT) !== 0 ? Class.Quiet : Class.Signaling;
}

/** Gives a denormal its integer bit; the exponent goes to 1 and below. */
export function normalise(words: Int32Array, slot: number): void {
  const hi = words[slot + Part.Hi];
  const lo = words[slot];
  const shift = hi !== 0 ? Math.clz32(hi) : 32 + Math.clz32(lo);
  if (words[slot + Part.Exponent] === 0) words[slot + Part.Exponent] = 1;
  if (shift === 0) return;
  words[slot + Part.Exponent] -= shift;
  if (shift >= 32) {
    words[slot + Part.Hi] = lo << (shift - 32);
    words[slot] = 0;
  } else {
    words[slot + Part.Hi] = (hi << shift) | (lo >>> (32 - shift));
    words[slot] = lo << shift;
  }
}

/** Makes R a value as it is stored. */
export function setResult(words: Int32Array, lo: number, hi: number, exponent: number, sign: number): void {
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = hi;
  words[Slot.R + Part.Exponent] = exponent;
  words[Slot.R + Part.Sign] = sign;
}

export function zeroResult(f: FloatContext, sign: number): void {
  setResult(f.words, 0, 0, 0, sign);
}

export function infiniteResult(f: FloatContext, sign: number): void {
  setResult(f.words, 0, INTEGER_BIT, EXPONENT_TOP, sign);
}

/** The real indefinite: what masked invalid operations answer. */
export function defaultNan(f: FloatContext): void {
  setResult(f.words, 0, INTEGER_BIT | QUIET_BIT, EXPONENT_TOP, 1);
}

export function invalidResult(f: FloatContext): void {
  f.flags |= FloatFlag.Invalid;
  defaultNan(f);
}

/** Raises #D. @returns whether the operation goes on, because #D is masked */
export function denormalOperand(f: FloatContext): boolean {
  f.flags |= FloatFlag.Denormal;
  return (f.masks & FloatFlag.Denormal) !== 0;
}

/**
 * Raises #D when an operand is denormal, in its own format.
 * @returns whether the operation goes on: not with an unmasked #D
 */
export function denormalOperands(f: FloatContext, kindA: number, kindB: number): boolean {
  if (kindA !== Class.Denormal && kindB !== Class.Denormal && !f.narrowDenormal) return true;
  return denormalOperand(f);
}

function quieted(f: FloatContext, slot: number): void {
  f.copy(slot, Slot.R);
  f.words[Slot.R + Part.Hi] |= QUIET_BIT;
}

/** Result of an operation with one operand, A, that is no number. */
export function propagateOne(f: FloatContext, kind: number): void {
  if (kind === Class.Unsupported) {
    invalidResult(f);
    return;
  }
  if (kind === Class.Signaling) f.flags |= FloatFlag.Invalid;
  quieted(f, Slot.A);
}

/** Result of an operation on A and B of which at least one is no number (SDM vol. 1, table 4-7, the x87 column). */
export function propagate(f: FloatContext, kindA: number, kindB: number): void {
  if (kindA === Class.Unsupported || kindB === Class.Unsupported) {
    invalidResult(f);
    return;
  }
  if (kindA === Class.Signaling || kindB === Class.Signaling) f.flags |= FloatFlag.Invalid;
  if (kindA < Class.Quiet) quieted(f, Slot.B);
  else if (kindB < Class.Quiet) quieted(f, Slot.A);
  else if (kindA !== kindB) quieted(f, kindA === Class.Quiet ? Slot.A : Slot.B);
  else quieted(f, largerNan(f.words));
}

/** The NaN with the larger significand; of two that are equal, the positive one. */
function largerNan(words: Int32Array): number {
  const order = compareSignificands(words, Slot.A, Slot.B);
  if (order !== 0) return order > 0 ? Slot.A : Slot.B;
  return words[Slot.A + Part.Sign] === 0 ? Slot.A : Slot.B;
}

/** -1, 0 or 1. */
export function compareSignificands(words: Int32Array, a: number, b: number): number {
  const aHi = words[a + Part.Hi] >>> 0;
  const bHi = words[b + Part.Hi] >>> 0;
  if (aHi !== bHi) return aHi < bHi ? -1 : 1;
  const aLo = words[a] >>> 0;
  const bLo = words[b] >>> 0;
  return aLo === bLo ? 0 : aLo < bLo ? -1 : 1;
}

/** Shifts the significand of R with its rest right; what falls out stays visible in the lowest bit of the rest. */
export function shiftRightSticky(words: Int32Array, count: number): void {
  let hi = words[Slot.R + Part.Hi];
  let lo = words[Slot.R];
  let rest = words[REST];
  let left = count;
  let sticky = 0;
  while (left >= 32) {
    if (left >= 128) {
      sticky = hi | lo | rest;
      hi = 0;
      lo = 0;
      rest = 0;
      left = 0;
      break;
    }
    sticky |= rest;
    rest = lo;
    lo = hi;
    hi = 0;
    left -= 32;
  }
  if (left > 0) {
    sticky |= rest << (32 - left);
    rest = (rest >>> left) | (lo << (32 - left));
    lo = (lo >>> left) | (hi << (32 - left));
    hi >>>= left;
  }
  words[Slot.R + Part.Hi] = hi;
  words[Slot.R] = lo;
  words[REST] = sticky === 0 ? rest : rest | 1;
}

/** Brings the significand of R with its rest, which is not 0, to the left; the exponent follows. */
export function normaliseResult(words: Int32Array): void {
  let hi = words[Slot.R + Part.Hi];
  let lo = words[Slot.R];
  let rest = words[REST];
  let exponent = words[Slot.R + Part.Exponent];
  while (hi === 0) {
    hi = lo;
    lo = rest;
    rest = 0;
    exponent -= 32;
  }
  const shift = Math.clz32(hi);
  if (shift !== 0) {
    hi = (hi << shift) | (lo >>> (32 - shift));
    lo = (lo << shift) | (rest >>> (32 - shift));
    rest <<= shift;
    exponent -= shift;
  }
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = hi;
  words[Slot.R + Part.Exponent] = exponent;
  words[REST] = rest;
}

/** Outcome of {@link roundSignificand}. */
export const Rounded = { Exact: 0, Down: 1, Up: 2, Carried: 3 } as const;

/**
 * Rounds the significand of R and its rest to a number of bits, counted from the top.
 * @param precision 24, 53 or 64
 * @returns a {@link Rounded} number; `Carried`: up, and out of the top, which leaves the integer bit alone
 */
export function roundSignificand(f: FloatContext, precision: number): number {
  const { words } = f;
  let hi = words[Slot.R + Part.Hi];
  let lo = words[Slot.R];
  let fraction = words[REST];
  if (precision === 53) {
    fraction = (lo << 21) | (fraction === 0 ? 0 : 1);
    lo &= ~0x7ff;
  } else if (precision === 24) {
    fraction = (hi << 24) | ((lo | fraction) === 0 ? 0 : 1);
    hi &= ~0xff;
    lo = 0;
  }
  words[REST] = 0;
  if (fraction === 0) {
    words[Slot.R + Part.Hi] = hi;
    words[Slot.R] = lo;
    return Rounded.Exact;
  }
  const odd = precision === 64 ? lo & 1 : precision === 53 ? lo & 0x800 : hi & 0x100;
  let up = false;
  if (f.rounding === Rounding.Nearest) {
    const size = fraction >>> 0;
    up = size > HALF || (size === HALF && odd !== 0);
  } else if (f.rounding !== Rounding.Zero)
    up = (f.rounding === Rounding.Down) === (words[Slot.R + Part.Sign] === 1);
  let outcome: number = Rounded.Down;
  if (up) {
    outcome = Rounded.Up;
    if (precision === 24) hi = (hi + 0x100) | 0;
    else {
      lo = (lo + (precision === 53 ? 0x800 : 1)) | 0;
      if (lo === 0) hi = (hi + 1) | 0;
    }
    if (hi === 0 && lo === 0) {
      hi = INTEGER_BIT;
      outcome = Rounded.Carried;
    }
  }
  words[Slot.R + Part.Hi] = hi;
  words[Slot.R] = lo;
  return outcome;
}

function noteInexact(f: FloatContext, outcome: number): void {
  if (outcome === Rounded.Exact) return;
  f.flags |= FloatFlag.Precision;
  if (outcome >= Rounded.Up) f.flags |= FloatFlag.C1;
}

/**
 * Rounds R with its rest, a normalised significand and an exponent of any size, and makes it a stored value, with
 * overflow and underflow as their masks say (SDM vol. 1, 8.5.4 to 8.5.6). Tininess is detected after rounding.
 */
export function roundAndPack(f: FloatContext, precision: number): void {
  const { words } = f;
  const exponent = words[Slot.R + Part.Exponent];
  if (exponent <= 0) {
    packTiny(f, precision);
    return;
  }
  const outcome = roundSignificand(f, precision);
  const rounded = outcome === Rounded.Carried ? exponent + 1 : exponent;
  words[Slot.R + Part.Exponent] = rounded;
  if (rounded >= EXPONENT_TOP) packHuge(f, precision, outcome);
  else noteInexact(f, outcome);
}

function packHuge(f: FloatContext, precision: number, outcome: number): void {
  const { words } = f;
  f.flags |= FloatFlag.Overflow;
  if ((f.masks & FloatFlag.Overflow) === 0) {
    noteInexact(f, outcome);
    words[Slot.R + Part.Exponent] -= WRAP;
    // Only FSCALE goes that far.
    if (words[Slot.R + Part.Exponent] >= EXPONENT_TOP) {
      f.flags |= FloatFlag.Precision;
      overflowTo(f, true, precision);
    }
    return;
  }
  f.flags |= FloatFlag.Precision;
  overflowTo(f, roundsAway(f, words[Slot.R + Part.Sign]), precision);
}

/** Whether an overflowing value of that sign becomes infinite. */
export function roundsAway(f: FloatContext, sign: number): boolean {
  if (f.rounding === Rounding.Nearest) return true;
  return f.rounding !== Rounding.Zero && (f.rounding === Rounding.Down) === (sign === 1);
}

function overflowTo(f: FloatContext, infinite: boolean, precision: number): void {
  const { words } = f;
  const sign = words[Slot.R + Part.Sign];
  if (infinite) {
    infiniteResult(f, sign);
    f.flags |= FloatFlag.C1;
  } else {
    const lo = precision === 64 ? -1 : precision === 53 ? ~0x7ff : 0;
    setResult(words, lo, precision === 24 ? ~0xff : -1, EXPONENT_TOP - 1, sign);
  }
}

function packTiny(f: FloatContext, precision: number): void {
  const { words } = f;
  const exponent = words[Slot.R + Part.Exponent];
  const lo = words[Slot.R];
  const hi = words[Slot.R + Part.Hi];
  const rest = words[REST];
  const outcome = roundSignificand(f, precision);
  const tiny = exponent < 0 || outcome !== Rounded.Carried;
  if (tiny && (f.masks & FloatFlag.Underflow) === 0) {
    f.flags |= FloatFlag.Underflow;
    noteInexact(f, outcome);
    words[Slot.R + Part.Exponent] = exponent + WRAP + (outcome === Rounded.Carried ? 1 : 0);
    if (words[Slot.R + Part.Exponent] <= 0) {
      f.flags |= FloatFlag.Precision;
      zeroResult(f, words[Slot.R + Part.Sign]);
    }
    return;
  }
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = hi;
  words[REST] = rest;
  shiftRightSticky(words, 1 - exponent);
  const denormal = roundSignificand(f, precision);
  // Rounding up to the smallest normal value gives it its exponent.
  words[Slot.R + Part.Exponent] = words[Slot.R + Part.Hi] < 0 ? 1 : 0;
  noteInexact(f, denormal);
  if (tiny && denormal !== Rounded.Exact) f.flags |= FloatFlag.Underflow;
}
