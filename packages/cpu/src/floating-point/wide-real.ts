import { BIAS, roundAndPack } from "./extended.js";
import { type FloatContext, Part, REST, Slot } from "./float-context.js";

/*
 * Transcendental functions compute with integers of any size: a magnitude times a power of two. They are rare enough.
 */

/** Bits after the point that series are summed with. */
export const FRACTION_BITS = 320;
const FRACTION = BigInt(FRACTION_BITS);
/** pi, ln 2 and 1 / ln 2 with that many bits, cut. */
export const PI: bigint = machinPi();
export const LN2: bigint = naturalLogarithmOf2();
export const INVERSE_LN2: bigint = (1n << (2n * FRACTION)) / LN2;
export const ONE: bigint = 1n << FRACTION;

/** Sum of x^(2n+1) / (2n+1), signs alternating for the arctangent, of x = 1 / `inverse`. */
function reciprocalSeries(inverse: bigint, alternating: boolean, bits: bigint): bigint {
  const square = inverse * inverse;
  let power = (1n << bits) / inverse;
  let sum = 0n;
  for (let n = 1n; power !== 0n; n += 2n) {
    sum += alternating && (n & 2n) !== 0n ? -(power / n) : power / n;
    power /= square;
  }
  return sum;
}

/** pi / 4 = 4 atan(1/5) - atan(1/239). */
function machinPi(): bigint {
  const bits = FRACTION + 32n;
  const quarter = 4n * reciprocalSeries(5n, true, bits) - reciprocalSeries(239n, true, bits);
  return (4n * quarter) >> 32n;
}

/** ln 2 = 2 atanh(1/3). */
function naturalLogarithmOf2(): bigint {
  return (2n * reciprocalSeries(3n, false, FRACTION + 32n)) >> 32n;
}

/** Number of bits of a magnitude; 0 for 0. */
export function bitLength(magnitude: bigint): number {
  if (magnitude === 0n) return 0;
  const digits = magnitude.toString(16);
  return 4 * digits.length - Math.clz32(Number.parseInt(digits.charAt(0), 16)) + 28;
}

/** Shifts left, or right when the count is negative. */
export function shift(value: bigint, count: number): bigint {
  return count >= 0 ? value << BigInt(count) : value >> BigInt(-count);
}

/** Significand of a slot as an integer; its value is that times 2^{@link powerOf}. */
export function significandOf(words: Int32Array, slot: number): bigint {
  return (BigInt(words[slot + Part.Hi] >>> 0) << 32n) | BigInt(words[slot] >>> 0);
}

export function powerOf(words: Int32Array, slot: number): number {
  return words[slot + Part.Exponent] - BIAS - 63;
}

/**
 * Rounds a magnitude, not 0, times 2^power to R.
 * @param exact false when the magnitude was cut: the value is a little larger
 */
export function packWide(
  f: FloatContext,
  magnitude: bigint,
  power: number,
  sign: number,
  exact: boolean,
): void {
  const { words } = f;
  const length = bitLength(magnitude);
  const surplus = length - 96;
  const top = shift(magnitude, -surplus);
  const whole = exact && shift(top, surplus) === magnitude;
  words[Slot.R + Part.Hi] = Number(top >> 64n);
  words[Slot.R] = Number((top >> 32n) & 0xffffffffn);
  words[REST] = Number(top & 0xffffffffn) | (whole ? 0 : 1);
  words[Slot.R + Part.Exponent] = power + length - 1 + BIAS;
  words[Slot.R + Part.Sign] = sign;
  roundAndPack(f, 64);
}
