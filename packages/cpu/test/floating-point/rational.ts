/*
 * The arithmetic of IEC 60559 on extended values, as slow and obvious as it can be: exact fractions, then one rounding.
 */

/** Exact number: sign * numerator / denominator. */
export interface Rational {
  readonly negative: boolean;
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** An extended value as it is stored. */
export interface Extended {
  readonly significand: bigint;
  /** Sign and exponent, 16 bits. */
  readonly se: number;
}

export function power2(exponent: number): Rational {
  return exponent >= 0
    ? { negative: false, numerator: 1n << BigInt(exponent), denominator: 1n }
    : { negative: false, numerator: 1n, denominator: 1n << BigInt(-exponent) };
}

/** Value of a finite extended number, denormals and pseudo-denormals included. */
export function toRational({ significand, se }: Extended): Rational {
  const exponent = Math.max(se & 0x7fff, 1);
  const scale = power2(exponent - 16383 - 63);
  return {
    negative: se >> 15 === 1,
    numerator: significand * scale.numerator,
    denominator: scale.denominator,
  };
}

export function negate(a: Rational): Rational {
  return { ...a, negative: !a.negative };
}

function signed(a: Rational): bigint {
  return a.negative ? -a.numerator : a.numerator;
}

export function sum(a: Rational, b: Rational): Rational {
  const numerator = signed(a) * b.denominator + signed(b) * a.denominator;
  return {
    negative: numerator < 0n,
    numerator: numerator < 0n ? -numerator : numerator,
    denominator: a.denominator * b.denominator,
  };
}

export function product(a: Rational, b: Rational): Rational {
  return {
    negative: a.negative !== b.negative,
    numerator: a.numerator * b.numerator,
    denominator: a.denominator * b.denominator,
  };
}

export function quotient(a: Rational, b: Rational): Rational {
  return {
    negative: a.negative !== b.negative,
    numerator: a.numerator * b.denominator,
    denominator: a.denominator * b.numerator,
  };
}

/** -1, 0 or 1. */
export function order(a: Rational, b: Rational): number {
  const difference = signed(a) * b.denominator - signed(b) * a.denominator;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Integer that a nonnegative fraction rounds to, and how. */
export interface RoundedInteger {
  readonly value: bigint;
  readonly inexact: boolean;
  readonly up: boolean;
}

/** @param mode rounding control: nearest even, down, up, toward zero */
export function roundInteger(
  numerator: bigint,
  denominator: bigint,
  negative: boolean,
  mode: number,
): RoundedInteger {
  const floor = numerator / denominator;
  const twice = 2n * (numerator - floor * denominator);
  const inexact = twice !== 0n;
  let up = false;
  if (mode === 0) up = twice > denominator || (twice === denominator && (floor & 1n) === 1n);
  else if (mode === 1) up = inexact && negative;
  else if (mode === 2) up = inexact && !negative;
  return { value: up ? floor + 1n : floor, inexact, up };
}

/** A result and the exceptions it raises, all of them masked. */
export interface RoundedValue {
  readonly negative: boolean;
  /** Integer multiple of 2^power; the format's infinity when `infinite`. */
  readonly multiple: bigint;
  readonly power: number;
  readonly infinite: boolean;
  readonly overflow: boolean;
  readonly underflow: boolean;
  readonly inexact: boolean;
  readonly up: boolean;
}

/** Exponent e of 2^e <= a < 2^(e + 1). */
function exponentOf(a: Rational): number {
  let e = a.numerator.toString(2).length - a.denominator.toString(2).length;
  while (order({ ...a, negative: false }, power2(e)) < 0) e--;
  while (order({ ...a, negative: false }, power2(e + 1)) >= 0) e++;
  return e;
}

function roundAt(a: Rational, power: number, mode: number): RoundedInteger {
  const unit = power2(power);
  return roundInteger(a.numerator * unit.denominator, a.denominator * unit.numerator, a.negative, mode);
}

/**
 * Rounds a nonzero number to `precision` bits with exponents from `minimum` to `maximum`, denormals below.
 * @param width bits of the format's significand, where denormals end; the precision may be less
 */
export function roundValue(
  a: Rational,
  precision: number,
  minimum: number,
  maximum: number,
  mode: number,
): RoundedValue {
  const e = exponentOf(a);
  const unbounded = roundAt(a, e - precision + 1, mode);
  const limit = 1n << BigInt(precision);
  const roundedExponent = unbounded.value === limit ? e + 1 : e;
  const base = { negative: a.negative, infinite: false, overflow: false, underflow: false };
  if (roundedExponent > maximum) {
    const infinite = mode === 0 || (mode === 1 && a.negative) || (mode === 2 && !a.negative);
    const power = maximum - precision + 1;
    return { ...base, multiple: limit - 1n, power, infinite, overflow: true, inexact: true, up: infinite };
  }
  if (e >= minimum) return { ...base, ...pick(unbounded, e - precision + 1) };
  const power = minimum - precision + 1;
  const denormal = roundAt(a, power, mode);
  // Tiny after rounding with an unbounded exponent.
  const tiny = roundedExponent < minimum;
  return { ...base, ...pick(denormal, power), underflow: tiny && denormal.inexact };
}

function pick({ value, inexact, up }: RoundedInteger, power: number) {
  return { multiple: value, power, inexact, up };
}

/** A rounded value as an extended number. */
export function encode({ negative, multiple, power, infinite }: RoundedValue): Extended {
  const sign = negative ? 0x8000 : 0;
  if (infinite) return { significand: 1n << 63n, se: sign | 0x7fff };
  if (multiple === 0n) return { significand: 0n, se: sign };
  let significand = multiple;
  let exponent = power + 16383 + 63;
  while (significand < 1n << 63n && exponent > 1) {
    significand <<= 1n;
    exponent--;
  }
  while (significand >= 1n << 64n || exponent < 1) {
    significand >>= 1n;
    exponent++;
  }
  return { significand, se: sign | (significand < 1n << 63n ? 0 : exponent) };
}

/** floor(sqrt(n)). */
export function integerRoot(n: bigint): bigint {
  if (n < 2n) return n;
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (x + n / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
}
