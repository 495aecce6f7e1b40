import {
  BIAS,
  Class,
  classOf,
  denormalOperand,
  invalidResult,
  normalise,
  propagateOne,
  setResult,
  zeroResult,
} from "./extended.js";
import { type FloatContext, Part, Slot } from "./float-context.js";
import { bitLength, FRACTION_BITS, ONE, packWide, powerOf, shift, significandOf } from "./wide-real.js";

/** What {@link angle} computes of A. */
export const AngleFunction = { Sine: 0, Cosine: 1, Tangent: 2 } as const;

/** pi as processors reduce with it: 66 bits (SDM vol. 1, 8.3.8), times 2^-66; pi / 2 is that times 2^-67. */
const PI_66 = 0xc90fdaa22168c234cn;
const HALF_PI_BITS = 67;
const FRACTION = BigInt(FRACTION_BITS);
/** Arguments below 2^this differ from their sine by less than rounding can see, but not by nothing. */
const TINY = -50;

/** Angle of at most pi / 4 and the multiple of pi / 2 that was taken away: magnitude * 2^power, sign, quadrant. */
interface Reduced {
  readonly magnitude: bigint;
  readonly power: number;
  readonly negative: boolean;
  readonly quadrant: number;
}

/** Whether A is a finite number beyond 2^63, which these functions refuse with C2. */
export function isOutOfRange(f: FloatContext): boolean {
  const { words } = f;
  return classOf(words, Slot.A) === Class.Normal && words[Slot.A + Part.Exponent] >= BIAS + 63;
}

/** R = sine, cosine or tangent of A, which {@link isOutOfRange} is false for. */
export function angle(f: FloatContext, wanted: number): void {
  const { words } = f;
  const kind = classOf(words, Slot.A);
  const sign = words[Slot.A + Part.Sign];
  if (kind >= Class.Quiet) {
    propagateOne(f, kind);
    return;
  }
  if (kind === Class.Infinity) {
    invalidResult(f);
    return;
  }
  if (kind === Class.Zero) {
    if (wanted === AngleFunction.Cosine) setResult(words, 0, 0x80000000 | 0, BIAS, 0);
    else zeroResult(f, sign);
    return;
  }
  if (kind === Class.Denormal) {
    if (!denormalOperand(f)) return;
    normalise(words, Slot.A);
  }
  const reduced = reduce(words);
  const odd = (reduced.quadrant & 1) !== 0;
  if (wanted === AngleFunction.Tangent) {
    // The cotangent of the reduced angle, negated, in odd quadrants.
    tangent(f, reduced, odd, (sign === 1) !== (reduced.negative !== odd));
    return;
  }
  const second =
    wanted === AngleFunction.Sine ? (reduced.quadrant & 2) !== 0 : ((reduced.quadrant + 1) & 2) !== 0;
  const asSine = (wanted === AngleFunction.Sine) !== odd;
  const odder = wanted === AngleFunction.Sine && sign === 1;
  const negative = (asSine && reduced.negative) !== (second !== odder);
  sineOrCosine(f, reduced, asSine, negative);
}

function reduce(words: Int32Array): Reduced {
  const significand = significandOf(words, Slot.A);
  const power = powerOf(words, Slot.A);
  // Below 1/2 there is nothing to take away.
  if (power < -64) return { magnitude: significand, power, negative: false, quadrant: 0 };
  const scaled = significand << BigInt(power + HALF_PI_BITS);
  const multiple = (2n * scaled + PI_66) / (2n * PI_66);
  const rest = scaled - multiple * PI_66;
  return {
    magnitude: rest < 0n ? -rest : rest,
    power: -HALF_PI_BITS,
    negative: rest < 0n,
    quadrant: Number(multiple & 3n),
  };
}

function isTiny({ magnitude, power }: Reduced): boolean {
  return bitLength(magnitude) + power < TINY;
}

function sineOrCosine(f: FloatContext, reduced: Reduced, sine: boolean, negative: boolean): void {
  const sign = negative ? 1 : 0;
  if (isTiny(reduced)) {
    // A little less than the angle, or than 1.
    if (sine) packWide(f, (reduced.magnitude << 128n) - 1n, reduced.power - 128, sign, false);
    else packWide(f, ONE - 1n, -FRACTION_BITS, sign, false);
    return;
  }
  const x = shift(reduced.magnitude, reduced.power + FRACTION_BITS);
  packWide(f, sine ? sineSeries(x) : cosineSeries(x), -FRACTION_BITS, sign, false);
}

function sineSeries(x: bigint): bigint {
  return series(x, x, 2n);
}

function cosineSeries(x: bigint): bigint {
  return series(ONE, x, 1n);
}

/** first - first * x^2 / (n (n + 1)) + ... */
function series(first: bigint, x: bigint, start: bigint): bigint {
  const square = (x * x) >> FRACTION;
  let term = first;
  let sum = first;
  for (let n = start; term !== 0n; n += 2n) {
    term = -((term * square) >> FRACTION) / (n * (n + 1n));
    sum += term;
  }
  return sum;
}

function tangent(f: FloatContext, reduced: Reduced, inverse: boolean, negative: boolean): void {
  const sign = negative ? 1 : 0;
  const { magnitude, power } = reduced;
  if (isTiny(reduced)) {
    if (!inverse) {
      // A little more than the angle.
      packWide(f, (magnitude << 128n) + 1n, power - 128, sign, false);
      return;
    }
    // A little less than its reciprocal.
    const dividend = 1n << 256n;
    const quotient = dividend / magnitude;
    packWide(f, quotient * magnitude === dividend ? quotient - 1n : quotient, -256 - power, sign, false);
    return;
  }
  const x = shift(magnitude, power + FRACTION_BITS);
  const sine = sineSeries(x);
  const cosine = cosineSeries(x);
  const quotient = inverse ? (cosine << FRACTION) / sine : (sine << FRACTION) / cosine;
  packWide(f, quotient, -FRACTION_BITS, sign, false);
}
