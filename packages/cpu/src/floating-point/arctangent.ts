import { Class, classOf, denormalOperands, normalise, propagate, zeroResult } from "./extended.js";
import { type FloatContext, Part, Slot } from "./float-context.js";
import { FRACTION_BITS, PI, packWide, powerOf, shift, significandOf } from "./wide-real.js";

const FRACTION = BigInt(FRACTION_BITS);
/** Below 2^this the arctangent differs from its argument by less than rounding can see, but not by nothing. */
const TINY = -70;

/** R = angle of the point (A, B): arctangent of B / A in the quadrant that their signs name (SDM vol. 2, FPATAN). */
export function arctangent(f: FloatContext): void {
  const { words } = f;
  const kindX = classOf(words, Slot.A);
  const kindY = classOf(words, Slot.B);
  if (kindX >= Class.Quiet || kindY >= Class.Quiet) {
    propagate(f, kindX, kindY);
    return;
  }
  if (!denormalOperands(f, kindX, kindY)) return;
  const left = words[Slot.A + Part.Sign] === 1;
  const sign = words[Slot.B + Part.Sign];
  const infiniteX = kindX === Class.Infinity;
  if (kindY === Class.Infinity) {
    // pi / 2, or an odd multiple of pi / 4 when both are infinite.
    packWide(f, PI * (infiniteX ? (left ? 3n : 1n) : 2n), -FRACTION_BITS - 2, sign, false);
    return;
  }
  if (kindY === Class.Zero || infiniteX) {
    if (left) packWide(f, PI, -FRACTION_BITS, sign, false);
    else zeroResult(f, sign);
    return;
  }
  if (kindX === Class.Zero) {
    packWide(f, PI, -FRACTION_BITS - 1, sign, false);
    return;
  }
  if (kindX === Class.Denormal) normalise(words, Slot.A);
  if (kindY === Class.Denormal) normalise(words, Slot.B);
  const y = significandOf(words, Slot.B);
  const x = significandOf(words, Slot.A);
  const power = powerOf(words, Slot.B) - powerOf(words, Slot.A);
  if (power < TINY && !left) {
    tinyQuotient(f, y, x, power, sign);
    return;
  }
  const first = firstQuadrant(y, x, power);
  packWide(f, left ? PI - first : first, -FRACTION_BITS, sign, false);
}

/** A little less than y / x * 2^power. */
function tinyQuotient(f: FloatContext, y: bigint, x: bigint, power: number, sign: number): void {
  const dividend = y << 192n;
  const quotient = dividend / x;
  packWide(f, quotient * x === dividend ? quotient - 1n : quotient, power - 192, sign, false);
}

/** Arctangent of y / x * 2^power with {@link FRACTION_BITS}; y and x have the same number of bits. */
function firstQuadrant(y: bigint, x: bigint, power: number): bigint {
  const steep = power > 0 || (power === 0 && y > x);
  const distance = Math.min(Math.abs(power), 2 * FRACTION_BITS);
  const tangent = steep ? shift(x << FRACTION, -distance) / y : shift(y << FRACTION, -distance) / x;
  const value = series(tangent);
  return steep ? PI / 2n - value : value;
}

/** Euler's: t / (1 + t^2) * (1 + 2/3 z + 2/3 4/5 z^2 + ...) with z = t^2 / (1 + t^2), at most 1/2. */
function series(t: bigint): bigint {
  const square = t * t;
  const z = (square << FRACTION) / ((1n << (2n * FRACTION)) + square);
  let term = (t << (2n * FRACTION)) / ((1n << (2n * FRACTION)) + square);
  let sum = 0n;
  for (let n = 2n; term !== 0n; n += 2n) {
    sum += term;
    term = (((term * z) >> FRACTION) * n) / (n + 1n);
  }
  return sum;
}
