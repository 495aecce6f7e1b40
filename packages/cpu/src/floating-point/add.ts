import {
  Class,
  classOf,
  compareSignificands,
  denormalOperands,
  infiniteResult,
  invalidResult,
  normalise,
  normaliseResult,
  propagate,
  roundAndPack,
  shiftRightSticky,
  zeroResult,
} from "./extended.js";
import { type FloatContext, Part, REST, Slot } from "./float-context.js";
import { Rounding } from "./rounding.js";

/** R = A + B, or A - B. */
export function add(f: FloatContext, subtract: boolean): void {
  const { words } = f;
  const kindA = classOf(words, Slot.A);
  const kindB = classOf(words, Slot.B);
  if (kindA >= Class.Quiet || kindB >= Class.Quiet) {
    propagate(f, kindA, kindB);
    return;
  }
  if (subtract) words[Slot.B + Part.Sign] ^= 1;
  const signA = words[Slot.A + Part.Sign];
  const signB = words[Slot.B + Part.Sign];
  if (kindA === Class.Infinity && kindB === Class.Infinity && signA !== signB) {
    invalidResult(f);
    return;
  }
  if (!denormalOperands(f, kindA, kindB)) return;
  if (kindA === Class.Infinity || kindB === Class.Infinity) {
    infiniteResult(f, kindA === Class.Infinity ? signA : signB);
    return;
  }
  if (kindA === Class.Zero && kindB === Class.Zero) {
    zeroResult(f, signA === signB ? signA : zeroSign(f));
    return;
  }
  if (kindA === Class.Denormal) normalise(words, Slot.A);
  if (kindB === Class.Denormal) normalise(words, Slot.B);
  words[REST] = 0;
  if (kindA === Class.Zero) f.copy(Slot.B, Slot.R);
  else if (kindB === Class.Zero) f.copy(Slot.A, Slot.R);
  else if (signA === signB) addMagnitudes(f);
  else if (!subtractMagnitudes(f)) return;
  roundAndPack(f, f.precision);
}

/** The sign of an exact zero difference. */
function zeroSign(f: FloatContext): number {
  return f.rounding === Rounding.Down ? 1 : 0;
}

function addMagnitudes(f: FloatContext): void {
  const { words } = f;
  const swap = words[Slot.A + Part.Exponent] < words[Slot.B + Part.Exponent];
  const large = swap ? Slot.B : Slot.A;
  const small = swap ? Slot.A : Slot.B;
  const exponent = words[large + Part.Exponent];
  f.copy(small, Slot.R);
  shiftRightSticky(words, exponent - words[small + Part.Exponent]);
  const lo = (words[Slot.R] >>> 0) + (words[large] >>> 0);
  const hi = (words[Slot.R + Part.Hi] >>> 0) + (words[large + Part.Hi] >>> 0) + (lo > 0xffffffff ? 1 : 0);
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = hi;
  words[Slot.R + Part.Exponent] = exponent;
  if (hi > 0xffffffff) {
    shiftRightSticky(words, 1);
    words[Slot.R + Part.Hi] |= 0x80000000;
    words[Slot.R + Part.Exponent] = exponent + 1;
  }
}

/** @returns false when R is an exact zero and done */
function subtractMagnitudes(f: FloatContext): boolean {
  const { words } = f;
  let order = words[Slot.A + Part.Exponent] - words[Slot.B + Part.Exponent];
  if (order === 0) order = compareSignificands(words, Slot.A, Slot.B);
  if (order === 0) {
    zeroResult(f, zeroSign(f));
    return false;
  }
  const large = order > 0 ? Slot.A : Slot.B;
  const small = order > 0 ? Slot.B : Slot.A;
  const exponent = words[large + Part.Exponent];
  f.copy(small, Slot.R);
  shiftRightSticky(words, exponent - words[small + Part.Exponent]);
  const rest = words[REST];
  const borrow = rest === 0 ? 0 : 1;
  const lo = (words[large] >>> 0) - (words[Slot.R] >>> 0) - borrow;
  words[REST] = -rest;
  words[Slot.R] = lo;
  words[Slot.R + Part.Hi] = words[large + Part.Hi] - words[Slot.R + Part.Hi] - (lo < 0 ? 1 : 0);
  words[Slot.R + Part.Exponent] = exponent;
  words[Slot.R + Part.Sign] = words[large + Part.Sign];
  normaliseResult(words);
  return true;
}
