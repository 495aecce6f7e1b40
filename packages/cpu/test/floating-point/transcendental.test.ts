import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AngleFunction, angle, isOutOfRange } from "../../src/floating-point/angle.js";
import { arctangent } from "../../src/floating-point/arctangent.js";
import { packBinary, unpack64 } from "../../src/floating-point/convert.js";
import { exponential } from "../../src/floating-point/exponential.js";
import { type FloatContext, FloatFlag, Slot } from "../../src/floating-point/float-context.js";
import { timesLogarithm, timesLogarithmPlusOne } from "../../src/floating-point/logarithm.js";
import type { Extended } from "./rational.js";
import { context, load, result } from "./values.js";

const RUNS = { numRuns: 300 };
const view = new DataView(new ArrayBuffer(8));

function put(f: FloatContext, slot: number, value: number): void {
  view.setFloat64(0, value);
  unpack64(f, slot, view.getInt32(4), view.getInt32(0));
}

/** R rounded to a number of the host. */
function get(f: FloatContext): number {
  f.copy(Slot.R, Slot.A);
  packBinary(f, 64);
  view.setInt32(0, f.hi);
  view.setInt32(4, f.lo);
  return view.getFloat64(0);
}

/** Host functions are good to about one unit in their last place, which is never smaller than the smallest number. */
function expectNear(actual: number, expected: number): void {
  const close = Math.max(4 * Number.EPSILON * Math.abs(expected), Number.MIN_VALUE);
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(close);
}

function unary(operate: (f: FloatContext) => void, x: number): number {
  const f = context(0x37f);
  put(f, Slot.A, x);
  operate(f);
  return get(f);
}

function binary(operate: (f: FloatContext) => void, x: number, y: number): number {
  const f = context(0x37f);
  put(f, Slot.A, x);
  put(f, Slot.B, y);
  operate(f);
  return get(f);
}

const finite = (max: number) => fc.double({ min: -max, max, noNaN: true });

describe("transcendental functions agree with the host's to its precision", () => {
  it.each([
    ["sine", AngleFunction.Sine, Math.sin],
    ["cosine", AngleFunction.Cosine, Math.cos],
    ["tangent", AngleFunction.Tangent, Math.tan],
  ] as const)("%s", (_name, wanted, host) => {
    // Near multiples of pi / 2 the 66 bits of pi show.
    fc.assert(
      fc.property(finite(1000), (x) => {
        const near = Math.abs(x / (Math.PI / 2) - Math.round(x / (Math.PI / 2)));
        fc.pre(near > 1e-3 || Math.abs(x) < 0.7);
        expectNear(
          unary((f) => angle(f, wanted), x),
          host(x),
        );
      }),
      RUNS,
    );
  });

  it("2^x - 1", () => {
    fc.assert(
      fc.property(finite(1), (x) => {
        const host = Math.abs(x) < 1e-200 ? x * Math.LN2 : Math.expm1(x * Math.LN2);
        expectNear(unary(exponential, x), host);
      }),
      RUNS,
    );
  });

  it("arctangent of a quotient", () => {
    fc.assert(
      fc.property(finite(1e6), finite(1e6), (x, y) => {
        expectNear(binary(arctangent, x, y), Math.atan2(y, x));
      }),
      RUNS,
    );
  });

  it("y log2 x", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), finite(1e6), (x, y) => {
        fc.pre(Math.abs(x - 1) > 0.01 && Math.abs(y) > 1e-200);
        expectNear(binary(timesLogarithm, x, y), y * Math.log2(x));
      }),
      RUNS,
    );
  });

  it("y log2 (1 + x)", () => {
    fc.assert(
      fc.property(finite(0.29), fc.double({ min: 0.5, max: 1e6, noNaN: true }), (x, y) => {
        fc.pre(Math.abs(x) > 1e-290);
        expectNear(binary(timesLogarithmPlusOne, x, y), (y * Math.log1p(x)) / Math.LN2);
      }),
      RUNS,
    );
  });
});

/** pi rounded to 64 bits, as FLDPI loads it. */
const PI: Extended = { significand: 0xc90fdaa22168c235n, se: 0x4000 };

describe("transcendental functions", () => {
  it("reduce with pi of 66 bits: the sine of pi is how far that is from 64", () => {
    const f = context(0x37f);
    load(f, Slot.A, PI);
    angle(f, AngleFunction.Sine);
    expect(result(f)).toEqual({ significand: 1n << 63n, se: 0x8000 | (0x3fff - 64) });
  });

  it("refuse angles of 2^63 and more, and no others", () => {
    const f = context(0x37f);
    load(f, Slot.A, { significand: (1n << 64n) - 1n, se: 0x3fff + 62 });
    expect(isOutOfRange(f)).toBe(false);
    load(f, Slot.A, { significand: 1n << 63n, se: 0xbfff + 63 });
    expect(isOutOfRange(f)).toBe(true);
  });

  it("are exact where the result is", () => {
    expect(binary(timesLogarithm, 1024, 0.75)).toBe(7.5);
    expect(binary(timesLogarithm, 2 ** -1000, 3)).toBe(-3000);
    expect(unary(exponential, 1)).toBe(1);
    expect(unary(exponential, -1)).toBe(-0.5);
    for (const [x, y] of [
      [1024, 0.75],
      [1, -3],
    ]) {
      const f = context(0x37f);
      put(f, Slot.A, x);
      put(f, Slot.B, y);
      timesLogarithm(f);
      expect(f.flags).toBe(0);
    }
  });

  it("follow the rounding control where a tiny term decides", () => {
    // sin x is a little less than x, tan x a little more.
    const tiny: Extended = { significand: 1n << 63n, se: 0x3fff - 60 };
    const outcomes = [0x37f, 0x77f, 0xb7f].map((control) => {
      const f = context(control);
      load(f, Slot.A, tiny);
      angle(f, AngleFunction.Sine);
      const sine = result(f).significand;
      f.begin(control);
      load(f, Slot.A, tiny);
      angle(f, AngleFunction.Tangent);
      return [sine, result(f).significand];
    });
    const one = 1n << 63n;
    expect(outcomes).toEqual([
      [one, one],
      [(1n << 64n) - 1n, one],
      [one, one + 1n],
    ]);
  });

  it("know pi / 4 and its multiples by quadrant", () => {
    const quarter = Math.PI / 4;
    expect(binary(arctangent, 1, 1)).toBe(quarter);
    expect(binary(arctangent, -1, 1)).toBe(3 * quarter);
    expect(binary(arctangent, -1, -0)).toBe(-4 * quarter);
    expect(binary(arctangent, 0, 5)).toBe(2 * quarter);
    expect(binary(arctangent, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY)).toBe(-3 * quarter);
  });

  it("raise what special operands call for", () => {
    const flagsOf = (operate: (f: FloatContext) => void, x: number, y: number) => {
      const f = context(0x37f);
      put(f, Slot.A, x);
      put(f, Slot.B, y);
      operate(f);
      return f.flags;
    };
    expect(flagsOf(timesLogarithm, 0, 2)).toBe(FloatFlag.ZeroDivide);
    expect(flagsOf(timesLogarithm, -1, 2)).toBe(FloatFlag.Invalid);
    expect(flagsOf(timesLogarithm, 0, 0)).toBe(FloatFlag.Invalid);
    expect(flagsOf(timesLogarithm, 1, Number.POSITIVE_INFINITY)).toBe(FloatFlag.Invalid);
    expect(flagsOf(timesLogarithmPlusOne, 0, Number.POSITIVE_INFINITY)).toBe(FloatFlag.Invalid);
    expect(flagsOf((f) => angle(f, AngleFunction.Cosine), Number.POSITIVE_INFINITY, 0)).toBe(
      FloatFlag.Invalid,
    );
  });
});
