import { Mxcsr } from "./mxcsr.js";
import { Rounding } from "./rounding.js";
import type { SseUnit } from "./sse-unit.js";
import { NumberKind, type Unpacked } from "./unpacked.js";

/*
 * One lane of the conversions: results go to the unit's `lo` and `hi`. Denormal operands raise #D only where the result
 * is a floating-point number of the other format (SDM vol. 1, table 11-1 and the instructions' exception lists).
 */

const MINIMUM = 0x80000000 | 0;

/** binary32 to binary64; always exact. */
export function widenLane(unit: SseUnit, word: number): void {
  const { a, exact } = unit;
  unit.takeA(false, word, 0);
  if (a.kind >= NumberKind.QuietNan) {
    if (a.kind === NumberKind.SignalingNan) unit.exceptions |= Mxcsr.Invalid;
    unit.lo = word << 29;
    unit.hi = (word & 0x80000000) | 0x7ff80000 | ((word & 0x7fffff) >>> 3);
    return;
  }
  if (a.denormal) unit.exceptions |= Mxcsr.Denormal;
  exact.takeValue(a);
  if (!unit.giveSpecial(true)) unit.giveRounded(true);
}

/** binary64 to binary32. */
export function narrowLane(unit: SseUnit, lo: number, hi: number): void {
  const { a, exact } = unit;
  unit.takeA(true, lo, hi);
  if (a.kind >= NumberKind.QuietNan) {
    if (a.kind === NumberKind.SignalingNan) unit.exceptions |= Mxcsr.Invalid;
    unit.lo = (hi & 0x80000000) | 0x7fc00000 | ((hi & 0x7ffff) << 3) | (lo >>> 29);
    unit.hi = 0;
    return;
  }
  if (a.denormal) unit.exceptions |= Mxcsr.Denormal;
  exact.takeValue(a);
  if (!unit.giveSpecial(false)) unit.giveRounded(false);
}

/** A signed integer of 32 (`hi` its sign) or 64 bits to floating point. */
export function fromIntegerLane(unit: SseUnit, wide: boolean, lo: number, hi: number): void {
  const { exact } = unit;
  const negative = hi < 0;
  if (negative) exact.takeMagnitude(true, -lo | 0, (~hi + (lo === 0 ? 1 : 0)) | 0);
  else exact.takeMagnitude(false, lo, hi);
  if (exact.kind === NumberKind.Zero) unit.giveZero(wide, false);
  else unit.giveRounded(wide);
}

/**
 * Floating point to a signed integer of 32 or 64 bits, in `lo` and `hi`; what does not fit is #I and the integer
 * indefinite, 80...0h.
 * @param rounding a {@link Rounding} number
 */
export function toIntegerLane(
  unit: SseUnit,
  wide: boolean,
  lo: number,
  hi: number,
  long: boolean,
  rounding: number,
): void {
  const { a } = unit;
  unit.takeA(wide, lo, hi);
  unit.lo = 0;
  unit.hi = 0;
  if (a.kind === NumberKind.Zero) return;
  if (a.kind > NumberKind.Finite || !fitsInteger(unit, long, rounding)) {
    unit.exceptions |= Mxcsr.Invalid;
    unit.lo = long ? 0 : 0x80000000 | 0;
    unit.hi = long ? 0x80000000 | 0 : 0;
  }
}

/** Converts finite operand `a`. @returns false: too large */
function fitsInteger(unit: SseUnit, long: boolean, rounding: number): boolean {
  const { a } = unit;
  if (a.exponent > 63) return false;
  const inexact = roundToInteger(a, rounding);
  const { hi, lo, negative } = a;
  // The magnitude may be one larger below zero.
  const minimum = long ? lo === 0 && hi === MINIMUM : hi === 0 && lo === MINIMUM;
  const fits = long ? hi >= 0 : hi === 0 && lo >= 0;
  if (!fits && !(negative && minimum)) return false;
  if (inexact) unit.exceptions |= Mxcsr.Precision;
  unit.lo = negative ? -lo | 0 : lo;
  unit.hi = long ? (negative ? (~hi + (lo === 0 ? 1 : 0)) | 0 : hi) : 0;
  return true;
}

/** ROUNDPS and its kin: to an integer in the same format. @param inexact whether #P is raised */
export function roundLane(
  unit: SseUnit,
  wide: boolean,
  lo: number,
  hi: number,
  rounding: number,
  inexact: boolean,
): void {
  const { a, exact } = unit;
  unit.takeA(wide, lo, hi);
  if (a.kind >= NumberKind.QuietNan) {
    if (a.kind === NumberKind.SignalingNan) unit.exceptions |= Mxcsr.Invalid;
    unit.giveQuiet(wide, lo, hi);
    return;
  }
  exact.takeValue(a);
  if (unit.giveSpecial(wide)) return;
  // From here on a number has no fraction.
  if (a.exponent < (wide ? 52 : 23)) {
    const { negative } = a;
    if (roundToInteger(a, rounding) && inexact) unit.exceptions |= Mxcsr.Precision;
    exact.takeMagnitude(negative, a.lo, a.hi);
    if (unit.giveSpecial(wide)) return;
  }
  unit.giveRounded(wide);
}

/**
 * Turns the significand of a finite number below 2^64 into the integer that it rounds to.
 * @param rounding a {@link Rounding} number
 * @returns whether the number was not one
 */
function roundToInteger(number: Unpacked, rounding: number): boolean {
  const fractionBits = 63 - number.exponent;
  if (fractionBits <= 0) return false;
  const half = fractionBits < 65 && bitOf(number, fractionBits - 1);
  const below = fractionBits > 64 || anyBelow(number, fractionBits - 1);
  shiftRight(number, fractionBits);
  let up = false;
  if (rounding === Rounding.Nearest) up = half && (below || (number.lo & 1) !== 0);
  else if (rounding === Rounding.Down) up = number.negative && (half || below);
  else if (rounding === Rounding.Up) up = !number.negative && (half || below);
  if (up) {
    number.lo = (number.lo + 1) | 0;
    if (number.lo === 0) number.hi = (number.hi + 1) | 0;
  }
  return half || below;
}

/** Bit 0 to 63 of the significand. */
function bitOf({ hi, lo }: Unpacked, bit: number): boolean {
  return (((bit > 31 ? hi : lo) >>> (bit & 31)) & 1) !== 0;
}

/** Whether one of the lowest `count` bits (63 at most) of the significand is set. */
function anyBelow({ hi, lo }: Unpacked, count: number): boolean {
  if (count > 31) return (lo | (hi & ((1 << (count - 32)) - 1))) !== 0;
  return (lo & ((1 << count) - 1)) !== 0;
}

function shiftRight(number: Unpacked, count: number): void {
  const { hi, lo } = number;
  if (count > 63) number.lo = 0;
  else if (count > 31) number.lo = hi >>> (count - 32);
  else number.lo = (hi << (32 - count)) | (lo >>> count);
  number.hi = count > 31 ? 0 : hi >>> count;
  number.lo |= 0;
}
