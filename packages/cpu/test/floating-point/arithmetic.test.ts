import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { add } from "../../src/floating-point/add.js";
import { compare } from "../../src/floating-point/compare.js";
import { roundToIntegral } from "../../src/floating-point/convert.js";
import { divide } from "../../src/floating-point/divide.js";
import { type FloatContext, FloatFlag, Slot } from "../../src/floating-point/float-context.js";
import { multiply } from "../../src/floating-point/multiply.js";
import { Reduction, remainder, scale } from "../../src/floating-point/remainder.js";
import { squareRoot } from "../../src/floating-point/square-root.js";
import {
  type Extended,
  encode,
  integerRoot,
  negate,
  order,
  power2,
  product,
  quotient,
  type Rational,
  roundInteger,
  roundValue,
  sum,
  toRational,
} from "./rational.js";
import { context, controls, load, numbers, result } from "./values.js";

const RUNS = { numRuns: 500 };
const MINIMUM = -16382;
const MAXIMUM = 16383;
const OUTCOME =
  FloatFlag.Overflow | FloatFlag.Underflow | FloatFlag.Precision | FloatFlag.Invalid | FloatFlag.C1;

/** What the exact result should become. */
function expected(exact: Rational, precision: number, rounding: number): { value: Extended; flags: number } {
  const rounded = roundValue(exact, precision, MINIMUM, MAXIMUM, rounding);
  let flags = 0;
  if (rounded.overflow) flags |= FloatFlag.Overflow;
  if (rounded.underflow) flags |= FloatFlag.Underflow;
  if (rounded.inexact) flags |= FloatFlag.Precision;
  if (rounded.up) flags |= FloatFlag.C1;
  return { value: encode(rounded), flags };
}

function check(f: FloatContext, exact: Rational, precision: number, rounding: number): void {
  if (exact.numerator === 0n) {
    expect(result(f).significand).toBe(0n);
    expect(f.flags & OUTCOME).toBe(0);
    return;
  }
  const { value, flags } = expected(exact, precision, rounding);
  expect(result(f)).toEqual(value);
  expect(f.flags & OUTCOME).toBe(flags);
}

type Operation = readonly [string, (f: FloatContext) => void, (a: Rational, b: Rational) => Rational];

const OPERATIONS: readonly Operation[] = [
  ["adds", (f) => add(f, false), sum],
  ["subtracts", (f) => add(f, true), (a, b) => sum(a, negate(b))],
  ["multiplies", multiply, product],
  ["divides", divide, quotient],
];

describe("extended arithmetic is exact arithmetic, rounded once", () => {
  it.each(OPERATIONS)("%s", (_name, operate, exact) => {
    fc.assert(
      fc.property(numbers, numbers, controls, (a, b, { word, precision, rounding }) => {
        const f = context(word);
        load(f, Slot.A, a);
        load(f, Slot.B, b);
        operate(f);
        check(f, exact(toRational(a), toRational(b)), precision, rounding);
      }),
      RUNS,
    );
  });

  it("adds numbers that nearly cancel", () => {
    const delta = fc.bigInt({ min: -3n, max: 3n });
    const shift = fc.integer({ min: -2, max: 2 });
    fc.assert(
      fc.property(numbers, delta, shift, controls, (a, d, s, { word, precision, rounding }) => {
        const exponent = a.se & 0x7fff;
        fc.pre(exponent > 2 && exponent < 0x7ffc && a.significand >= 1n << 63n);
        const near = BigInt.asUintN(64, a.significand + d) | (1n << 63n);
        const b = { significand: near, se: (a.se ^ 0x8000) + s };
        const f = context(word);
        load(f, Slot.A, a);
        load(f, Slot.B, b);
        add(f, false);
        check(f, sum(toRational(a), toRational(b)), precision, rounding);
      }),
      RUNS,
    );
  });

  it("takes square roots", () => {
    fc.assert(
      fc.property(numbers, controls, (a, { word, precision, rounding }) => {
        const f = context(word);
        const positive = { ...a, se: a.se & 0x7fff };
        load(f, Slot.A, positive);
        squareRoot(f);
        const { numerator, denominator } = toRational(positive);
        // The root of n/d is that of n*d, over d; scaled up far enough, an odd last bit stands for what is cut off.
        const scaled = (numerator * denominator) << 400n;
        const root = integerRoot(scaled);
        const exact = root * root === scaled;
        const value = {
          negative: false,
          numerator: 2n * root + (exact ? 0n : 1n),
          denominator: denominator << 201n,
        };
        check(f, value, precision, rounding);
      }),
      RUNS,
    );
  });

  it("rounds to integral values", () => {
    fc.assert(
      fc.property(numbers, controls, (a, { word, rounding }) => {
        const f = context(word);
        load(f, Slot.A, a);
        roundToIntegral(f);
        const { numerator, denominator, negative } = toRational(a);
        const whole = roundInteger(numerator, denominator, negative, rounding);
        const value = toRational(result(f));
        expect(value.numerator).toBe(whole.value * value.denominator);
        expect(result(f).se >> 15).toBe(a.se >> 15);
        const flags = (whole.inexact ? FloatFlag.Precision : 0) | (whole.up ? FloatFlag.C1 : 0);
        expect(f.flags & OUTCOME).toBe(flags);
      }),
      RUNS,
    );
  });

  it("scales by powers of two", () => {
    fc.assert(
      fc.property(numbers, fc.integer({ min: -40000, max: 40000 }), controls, (a, n, { word, rounding }) => {
        fc.pre(n !== 0);
        const f = context(word);
        load(f, Slot.A, a);
        const size = BigInt(Math.abs(n));
        const bits = size.toString(2).length;
        load(f, Slot.B, {
          significand: size << BigInt(64 - bits),
          se: (n < 0 ? 0x8000 : 0) | (0x3fff + bits - 1),
        });
        scale(f);
        check(f, product(toRational(a), power2(n)), 64, rounding);
      }),
      RUNS,
    );
  });

  it("compares", () => {
    fc.assert(
      fc.property(numbers, numbers, fc.boolean(), (a, b, same) => {
        const other = same ? { ...b, se: (b.se & 0x8000) | (a.se & 0x7fff) } : b;
        fc.pre(!same || other.significand >= 1n << 63n || (other.se & 0x7fff) === 0);
        const f = context(0x37f);
        load(f, Slot.A, a);
        load(f, Slot.B, other);
        expect(compare(f, false)).toBe(order(toRational(a), toRational(other)));
      }),
      RUNS,
    );
  });
});

describe.each([
  ["FPREM", false],
  ["FPREM1", true],
])("%s", (_name, nearest) => {
  const close = fc.record({ a: numbers, b: numbers, distance: fc.integer({ min: -3, max: 75 }) });

  it("subtracts the multiple that the quotient names, or a part of it", () => {
    fc.assert(
      fc.property(close, ({ a, b, distance }) => {
        const exponent = Math.max(b.se & 0x7fff, 1) + distance;
        fc.pre(exponent > 0 && exponent < 0x7fff && a.significand >= 1n << 63n);
        const dividend = { significand: a.significand, se: (a.se & 0x8000) | exponent };
        fc.pre(b.significand !== 0n);
        const f = context(0x37f);
        load(f, Slot.A, dividend);
        load(f, Slot.B, b);
        const reduction = remainder(f, nearest);
        const x = toRational(dividend);
        const y = toRational(b);
        const q = quotient({ ...x, negative: false }, { ...y, negative: false });
        const left = result(f);
        expect(f.flags & OUTCOME & ~FloatFlag.Underflow).toBe(0);
        // What was taken away is a multiple of the divisor.
        const taken = quotient(sum(x, negate(toRational(left))), y);
        expect(taken.numerator % taken.denominator).toBe(0n);
        if (reduction === Reduction.Partial) {
          expect(order({ ...toRational(left), negative: false }, { ...x, negative: false })).toBeLessThan(0);
          return;
        }
        const whole = roundInteger(q.numerator, q.denominator, false, nearest ? 0 : 3);
        expect(taken.numerator / taken.denominator).toBe(whole.value);
        expect(reduction).toBe(Number(whole.value & 7n));
        if (left.significand === 0n) expect(left.se >> 15).toBe(dividend.se >> 15);
      }),
      RUNS,
    );
  });
});
