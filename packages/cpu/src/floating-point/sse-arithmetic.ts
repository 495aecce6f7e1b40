import { Mxcsr } from "./mxcsr.js";
import { Rounding } from "./rounding.js";
import {
  addMagnitudes,
  divideMagnitudes,
  multiplyMagnitudes,
  squareRoot as squareRootOf,
  subtractMagnitudes,
} from "./significand-arithmetic.js";
import type { SseUnit } from "./sse-unit.js";
import { NumberKind, type Unpacked } from "./unpacked.js";

/*
 * One lane of the arithmetic instructions: `wide` is binary64, results go to the unit's `lo` and `hi`, exceptions to
 * its `exceptions`. Precedence is that of SDM vol. 1, 11.5.2: SNaN, QNaN, other invalid operations and division by
 * zero, denormal operands, then what rounding finds.
 */

/** Quotient and root bits: the significand, one to round by, one to spare. */
const WIDE_BITS = 55;
const NARROW_BITS = 26;

/**
 * Handles NaN operands: the first that is one, made quiet (SDM vol. 1, table 4-7).
 * @returns whether there was one
 */
function givesNan(unit: SseUnit, wide: boolean, aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  const { a, b } = unit;
  if (a.kind < NumberKind.QuietNan && b.kind < NumberKind.QuietNan) return false;
  if (a.kind === NumberKind.SignalingNan || b.kind === NumberKind.SignalingNan)
    unit.exceptions |= Mxcsr.Invalid;
  if (a.kind >= NumberKind.QuietNan) unit.giveQuiet(wide, aLo, aHi);
  else unit.giveQuiet(wide, bLo, bHi);
  return true;
}

/** Takes both operands. @returns false: one was a NaN, and the result is there */
function takeNumbers(
  unit: SseUnit,
  wide: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): boolean {
  unit.takeA(wide, aLo, aHi);
  unit.takeB(wide, bLo, bHi);
  return !givesNan(unit, wide, aLo, aHi, bLo, bHi);
}

function noteDenormal(unit: SseUnit): void {
  if (unit.a.denormal || unit.b.denormal) unit.exceptions |= Mxcsr.Denormal;
}

/** `a + b`, or `a - b`. */
export function addLane(
  unit: SseUnit,
  wide: boolean,
  subtract: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  const { a, b, exact } = unit;
  if (!takeNumbers(unit, wide, aLo, aHi, bLo, bHi)) return;
  if (subtract) b.negative = !b.negative;
  const opposite = a.negative !== b.negative;
  if (a.kind === NumberKind.Infinity && b.kind === NumberKind.Infinity && opposite) {
    unit.giveInvalid(wide);
    return;
  }
  noteDenormal(unit);
  if (a.kind === NumberKind.Finite && b.kind === NumberKind.Finite) {
    exact.kind = NumberKind.Finite;
    exact.negative = a.negative;
    if (!opposite) addMagnitudes(a, b, exact);
    else {
      const order = subtractMagnitudes(a, b, exact);
      if (order === 0) {
        unit.giveZero(wide, unit.rounding === Rounding.Down);
        return;
      }
      if (order < 0) exact.negative = b.negative;
    }
  } else if (a.kind === NumberKind.Zero && b.kind === NumberKind.Zero) {
    unit.giveZero(wide, opposite ? unit.rounding === Rounding.Down : a.negative);
    return;
  } else exact.takeValue(a.kind > b.kind ? a : b);
  if (!unit.giveSpecial(wide)) unit.giveRounded(wide);
}

export function multiplyLane(
  unit: SseUnit,
  wide: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  const { a, b, exact } = unit;
  if (!takeNumbers(unit, wide, aLo, aHi, bLo, bHi)) return;
  const large = Math.max(a.kind, b.kind);
  const small = Math.min(a.kind, b.kind);
  if (large === NumberKind.Infinity && small === NumberKind.Zero) {
    unit.giveInvalid(wide);
    return;
  }
  noteDenormal(unit);
  exact.negative = a.negative !== b.negative;
  exact.kind = large === NumberKind.Infinity ? large : small;
  if (unit.giveSpecial(wide)) return;
  multiplyMagnitudes(a, b, exact);
  unit.giveRounded(wide);
}

export function divideLane(
  unit: SseUnit,
  wide: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  const { a, b, exact } = unit;
  if (!takeNumbers(unit, wide, aLo, aHi, bLo, bHi)) return;
  if (a.kind === b.kind && a.kind !== NumberKind.Finite) {
    unit.giveInvalid(wide); // 0 / 0, infinity / infinity
    return;
  }
  exact.negative = a.negative !== b.negative;
  if (b.kind === NumberKind.Zero && a.kind === NumberKind.Finite) {
    unit.exceptions |= Mxcsr.DivideByZero;
    unit.giveInfinity(wide, exact.negative);
    return;
  }
  noteDenormal(unit);
  exact.kind = a.kind;
  if (b.kind === NumberKind.Infinity) exact.kind = NumberKind.Zero;
  if (unit.giveSpecial(wide)) return;
  divideMagnitudes(a, b, wide ? WIDE_BITS : NARROW_BITS, exact);
  unit.giveRounded(wide);
}

/** Square root of `b`. */
export function squareRootLane(unit: SseUnit, wide: boolean, bLo: number, bHi: number): void {
  const { a, b, exact } = unit;
  unit.takeB(wide, bLo, bHi);
  a.kind = NumberKind.Zero;
  a.denormal = false;
  if (givesNan(unit, wide, 0, 0, bLo, bHi)) return;
  if (b.negative && b.kind !== NumberKind.Zero) {
    unit.giveInvalid(wide);
    return;
  }
  noteDenormal(unit);
  exact.kind = b.kind;
  exact.negative = b.negative;
  if (unit.giveSpecial(wide)) return;
  squareRootOf(b, wide ? WIDE_BITS : NARROW_BITS, exact);
  unit.giveRounded(wide);
}

/** What {@link compareLane} answers. */
export const Order = { Less: 0, Equal: 1, Greater: 2, Unordered: 3 } as const;

/**
 * Compares two numbers; zeros of either sign are equal.
 * @param quiet QNaNs raise nothing
 * @returns an {@link Order}
 */
export function compareLane(
  unit: SseUnit,
  wide: boolean,
  quiet: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): number {
  const { a, b } = unit;
  unit.takeA(wide, aLo, aHi);
  unit.takeB(wide, bLo, bHi);
  const kind = Math.max(a.kind, b.kind);
  if (kind >= NumberKind.QuietNan) {
    if (!quiet || kind === NumberKind.SignalingNan) unit.exceptions |= Mxcsr.Invalid;
    return Order.Unordered;
  }
  noteDenormal(unit);
  if (a.kind === NumberKind.Zero && b.kind === NumberKind.Zero) return Order.Equal;
  const aSign = a.kind === NumberKind.Zero ? 0 : a.negative ? -1 : 1;
  const bSign = b.kind === NumberKind.Zero ? 0 : b.negative ? -1 : 1;
  if (aSign !== bSign) return aSign < bSign ? Order.Less : Order.Greater;
  const larger = compareMagnitudes(a, b);
  if (larger === 0) return Order.Equal;
  return larger === aSign ? Order.Greater : Order.Less;
}

/** 1, 0 or -1 as |a| is above, equal to or below |b|; neither is zero. */
function compareMagnitudes(a: Unpacked, b: Unpacked): number {
  if (a.kind !== b.kind) return a.kind > b.kind ? 1 : -1;
  if (a.kind === NumberKind.Infinity) return 0;
  if (a.exponent !== b.exponent) return a.exponent > b.exponent ? 1 : -1;
  if (a.hi !== b.hi) return a.hi >>> 0 > b.hi >>> 0 ? 1 : -1;
  if (a.lo !== b.lo) return a.lo >>> 0 > b.lo >>> 0 ? 1 : -1;
  return 0;
}

/** MIN and MAX: the second operand where the two are equal zeros or one is a NaN of any kind, which is #I. */
export function extremeLane(
  unit: SseUnit,
  wide: boolean,
  maximum: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  const order = compareLane(unit, wide, false, aLo, aHi, bLo, bHi);
  const first = order === (maximum ? Order.Greater : Order.Less);
  const from = first ? unit.a : unit.b;
  // A denormal operand that counts as zero is given as one.
  if (from.kind === NumberKind.Zero) unit.giveZero(wide, from.negative);
  else {
    unit.lo = first ? aLo : bLo;
    unit.hi = first ? aHi : bHi;
  }
}
