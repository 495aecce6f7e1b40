import {
  BIAS,
  Class,
  classOf,
  denormalOperands,
  infiniteResult,
  invalidResult,
  normalise,
  propagate,
  zeroResult,
} from "./extended.js";
import { type FloatContext, FloatFlag, Part, Slot } from "./float-context.js";
import {
  FRACTION_BITS,
  INVERSE_LN2,
  LN2,
  ONE,
  packWide,
  powerOf,
  shift,
  significandOf,
} from "./wide-real.js";

const FRACTION = BigInt(FRACTION_BITS);
/** Below 2^this log2(1 + x) is x / ln 2 as far as rounding can see. */
const TINY = -130;

/** R = B * log2(A) (SDM vol. 2, FYL2X). */
export function timesLogarithm(f: FloatContext): void {
  const { words } = f;
  const kindX = classOf(words, Slot.A);
  const kindY = classOf(words, Slot.B);
  if (kindX >= Class.Quiet || kindY >= Class.Quiet) {
    propagate(f, kindX, kindY);
    return;
  }
  const signY = words[Slot.B + Part.Sign];
  if (kindX !== Class.Zero && words[Slot.A + Part.Sign] === 1) {
    invalidResult(f);
    return;
  }
  if (kindX === Class.Zero) {
    logarithmOfZero(f, kindY, signY);
    return;
  }
  const exponent = words[Slot.A + Part.Exponent];
  const power2 = kindX === Class.Normal && words[Slot.A] === 0 && words[Slot.A + Part.Hi] << 1 === 0;
  const isOne = power2 && exponent === BIAS;
  if ((isOne && kindY === Class.Infinity) || (kindX === Class.Infinity && kindY === Class.Zero)) {
    invalidResult(f);
    return;
  }
  if (!denormalOperands(f, kindX, kindY)) return;
  const negative = kindX !== Class.Infinity && exponent < BIAS;
  const sign = signY ^ (negative ? 1 : 0);
  if (kindX === Class.Infinity || kindY === Class.Infinity) {
    infiniteResult(f, sign);
    return;
  }
  if (isOne || kindY === Class.Zero) {
    zeroResult(f, sign);
    return;
  }
  if (kindX === Class.Denormal) normalise(words, Slot.A);
  if (kindY === Class.Denormal) normalise(words, Slot.B);
  const scale = words[Slot.A + Part.Exponent] - BIAS;
  const mantissa = significandOf(words, Slot.A);
  if (mantissa === 1n << 63n) {
    product(f, BigInt(Math.abs(scale)), 0, sign, true);
    return;
  }
  const logarithm = BigInt(scale) * ONE + binaryLogarithm(mantissa);
  product(f, logarithm < 0n ? -logarithm : logarithm, -FRACTION_BITS, sign, false);
}

function logarithmOfZero(f: FloatContext, kindY: number, signY: number): void {
  if (kindY === Class.Zero) {
    invalidResult(f);
    return;
  }
  if (kindY !== Class.Infinity) f.flags |= FloatFlag.ZeroDivide;
  infiniteResult(f, signY ^ 1);
}

/** R = magnitude * 2^power * B, rounded. */
function product(f: FloatContext, magnitude: bigint, power: number, sign: number, exact: boolean): void {
  const { words } = f;
  packWide(f, magnitude * significandOf(words, Slot.B), power + powerOf(words, Slot.B), sign, exact);
}

/** log2 of mantissa / 2^63, between 0 and 1. */
function binaryLogarithm(mantissa: bigint): bigint {
  const unit = 1n << 63n;
  const ratio = ((mantissa - unit) << FRACTION) / (mantissa + unit);
  return (twiceInverseTangent(ratio) << FRACTION) / LN2;
}

/** ln((1 + s) / (1 - s)) = 2 (s + s^3 / 3 + ...). */
function twiceInverseTangent(s: bigint): bigint {
  const square = (s * s) >> FRACTION;
  let power = s;
  let sum = 0n;
  for (let n = 1n; power !== 0n && power !== -1n; n += 2n) {
    sum += power / n;
    power = (power * square) >> FRACTION;
  }
  return 2n * sum;
}

/**
 * R = B * log2(1 + A) (SDM vol. 2, FYL2XP1). For A of -1 and below, which the architecture leaves undefined, it is A,
 * inexact, as on Zen 3.
 */
export function timesLogarithmPlusOne(f: FloatContext): void {
  const { words } = f;
  const kindX = classOf(words, Slot.A);
  const kindY = classOf(words, Slot.B);
  if (kindX >= Class.Quiet || kindY >= Class.Quiet) {
    propagate(f, kindX, kindY);
    return;
  }
  const signX = words[Slot.A + Part.Sign];
  const sign = signX ^ words[Slot.B + Part.Sign];
  const invalid =
    kindX === Class.Infinity
      ? signX === 1 || kindY === Class.Zero
      : kindX === Class.Zero && kindY === Class.Infinity;
  if (invalid) {
    invalidResult(f);
    return;
  }
  if (!denormalOperands(f, kindX, kindY)) return;
  if (kindX === Class.Infinity || kindY === Class.Infinity) {
    infiniteResult(f, sign);
    return;
  }
  if (kindX === Class.Zero || kindY === Class.Zero) {
    zeroResult(f, sign);
    return;
  }
  if (signX === 1 && words[Slot.A + Part.Exponent] >= BIAS) {
    f.copy(Slot.A, Slot.R);
    f.flags |= FloatFlag.Precision;
    return;
  }
  if (kindX === Class.Denormal) normalise(words, Slot.A);
  if (kindY === Class.Denormal) normalise(words, Slot.B);
  const significand = significandOf(words, Slot.A);
  const power = powerOf(words, Slot.A);
  if (power + 64 < TINY) {
    product(f, significand * INVERSE_LN2, power - FRACTION_BITS, sign, false);
    return;
  }
  if (power > 64) {
    // 1 + x is x as far as rounding can see.
    const scale = words[Slot.A + Part.Exponent] - BIAS;
    product(f, BigInt(scale) * ONE + binaryLogarithm(significand), -FRACTION_BITS, sign, false);
    return;
  }
  const x = shift(significand, power + FRACTION_BITS) * (signX === 1 ? -1n : 1n);
  const logarithm = naturalLogarithm(ONE + x, x);
  const magnitude = ((logarithm < 0n ? -logarithm : logarithm) << FRACTION) / LN2;
  product(f, magnitude, -FRACTION_BITS, sign, false);
}

/** ln of `value` = 1 + x; powers of two are taken out where x is not small. */
function naturalLogarithm(value: bigint, x: bigint): bigint {
  if (x > -ONE / 2n && x < ONE) return twiceInverseTangent((x << FRACTION) / (2n * ONE + x));
  const halvings = value.toString(2).length - 1 - FRACTION_BITS;
  const mantissa = shift(value << FRACTION, -halvings) >> FRACTION;
  return BigInt(halvings) * LN2 + twiceInverseTangent(((mantissa - ONE) << FRACTION) / (mantissa + ONE));
}
