import fc from "fast-check";
import { FloatContext, Part, Slot } from "../../src/floating-point/float-context.js";
import type { Extended } from "./rational.js";

/** Significands with the integer bit set, many of them near a rounding boundary. */
const significands = fc.oneof(
  fc.bigInt({ min: 1n << 63n, max: (1n << 64n) - 1n }),
  fc.bigInt({ min: 0n, max: 0xfffn }).map((low) => (1n << 63n) | low),
  fc.bigInt({ min: 0n, max: 0xfffn }).map((low) => (1n << 64n) - 1n - low),
  fc.tuple(fc.bigInt({ min: 0n, max: 0x7fffffn }), fc.bigInt({ min: 0n, max: 0x1ffn })).map(
    // Near the last places of 24- and 53-bit results.
    ([high, low]) => (1n << 63n) | (high << 40n) | (low << 32n) | (low << 3n),
  ),
);

const exponents = fc.oneof(
  fc.integer({ min: 1, max: 0x7ffe }),
  fc.integer({ min: 0x3fff - 70, max: 0x3fff + 70 }),
  fc.integer({ min: 1, max: 70 }),
  fc.integer({ min: 0x7ffe - 70, max: 0x7ffe }),
);

/** Finite numbers that are not zero: normal, denormal, pseudo-denormal. */
export const numbers: fc.Arbitrary<Extended> = fc
  .record({
    significand: significands,
    exponent: exponents,
    negative: fc.boolean(),
    denormal: fc.integer({ min: 0, max: 12 }),
    shift: fc.bigInt({ min: 0n, max: 62n }),
  })
  .map(({ significand, exponent, negative, denormal, shift }) => {
    const sign = negative ? 0x8000 : 0;
    if (denormal === 0) return { significand: significand >> (shift + 1n), se: sign };
    if (denormal === 1) return { significand, se: sign };
    return { significand, se: sign | exponent };
  });

/** Control words with everything masked: any precision and rounding. */
export const controls: fc.Arbitrary<{ precision: number; rounding: number; word: number }> = fc
  .record({ precision: fc.constantFrom(24, 53, 64), rounding: fc.integer({ min: 0, max: 3 }) })
  .map(({ precision, rounding }) => {
    const field = precision === 24 ? 0 : precision === 53 ? 2 : 3;
    return { precision, rounding, word: 0x7f | (field << 8) | (rounding << 10) };
  });

export function load(f: FloatContext, slot: number, { significand, se }: Extended): void {
  f.unpack(slot, Number(significand & 0xffffffffn), Number(significand >> 32n), se);
}

/** R as it would be stored. */
export function result(f: FloatContext): Extended {
  const hi = BigInt(f.words[Slot.R + Part.Hi] >>> 0);
  return { significand: (hi << 32n) | BigInt(f.words[Slot.R] >>> 0), se: f.signExponent(Slot.R) };
}

/** A context that is ready for one operation. */
export function context(control: number): FloatContext {
  const f = new FloatContext();
  f.begin(control);
  return f;
}
