import { Mxcsr } from "./mxcsr.js";
import type { SseUnit } from "./sse-unit.js";

/*
 * The host's own double arithmetic rounds to nearest like MXCSR's first mode, bit for bit. It does not say whether a
 * result was exact, which stops mattering once the precision flag, which only software clears, is set. What remains to
 * be excluded are operands and results that are not normal numbers. A binary32 sum, product, quotient or root is the
 * binary64 one rounded once more, because 53 bits are more than twice 24 and two.
 */

/** Operations of {@link hostLane}. */
export const HostOperation = { Add: 0, Multiply: 1, Subtract: 2, Divide: 3, SquareRoot: 4 } as const;

/** Flag and mask set, rounding to nearest. */
const PRECISION = Mxcsr.Precision | Mxcsr.PrecisionMask;
const CONTROL = PRECISION | (3 << Mxcsr.RoundingShift);
const SMALLEST = 2 ** -1021;
const SMALLEST_SINGLE = 2 ** -125;

/** Whether {@link hostLane} may be tried under this MXCSR. */
export function hostRounds(control: number): boolean {
  return (control & CONTROL) === PRECISION;
}

/** @returns whether the result is right and raises nothing new; it is in the unit's `lo` and `hi` */
export function hostLane(
  unit: SseUnit,
  operation: number,
  wide: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): boolean {
  return wide ? doubleLane(unit, operation, aLo, aHi, bLo, bHi) : singleLane(unit, operation, aLo, bLo);
}

function doubleLane(
  unit: SseUnit,
  operation: number,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): boolean {
  if (!isNormal(aHi, 0x7ff00000, 0x100000) || !isNormal(bHi, 0x7ff00000, 0x100000)) return false;
  const { words, doubles } = unit.host;
  words[0] = aLo;
  words[1] = aHi;
  words[2] = bLo;
  words[3] = bHi;
  const result = operate(operation, doubles[0], doubles[1]);
  const size = Math.abs(result);
  if (!(size >= SMALLEST && size < Number.POSITIVE_INFINITY)) return false;
  doubles[0] = result;
  unit.lo = words[0];
  unit.hi = words[1];
  return true;
}

function singleLane(unit: SseUnit, operation: number, a: number, b: number): boolean {
  if (!isNormal(a, 0x7f800000, 0x800000) || !isNormal(b, 0x7f800000, 0x800000)) return false;
  const { words, singles } = unit.host;
  words[0] = a;
  words[1] = b;
  const result = Math.fround(operate(operation, singles[0], singles[1]));
  const size = Math.abs(result);
  if (!(size >= SMALLEST_SINGLE && size < Number.POSITIVE_INFINITY)) return false;
  singles[0] = result;
  unit.lo = words[0];
  unit.hi = 0;
  return true;
}

/** Neither zero, denormal, infinity nor NaN, by the word with the exponent. */
function isNormal(word: number, exponents: number, smallest: number): boolean {
  const exponent = word & exponents;
  return exponent >= smallest && exponent < exponents;
}

/** The root is that of `b`; a negative one's is a NaN, which callers refuse. */
function operate(operation: number, a: number, b: number): number {
  switch (operation) {
    case HostOperation.Add:
      return a + b;
    case HostOperation.Multiply:
      return a * b;
    case HostOperation.Subtract:
      return a - b;
    case HostOperation.Divide:
      return a / b;
    default:
      return Math.sqrt(b);
  }
}
