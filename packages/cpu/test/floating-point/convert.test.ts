import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  packBinary,
  packInteger,
  quietLoad,
  unpack32,
  unpack64,
  unpackInteger,
} from "../../src/floating-point/convert.js";
import { packDecimal, unpackDecimal } from "../../src/floating-point/decimal.js";
import { FloatFlag, Slot } from "../../src/floating-point/float-context.js";
import { type Rational, roundInteger, roundValue, toRational } from "./rational.js";
import { context, controls, load, numbers, result } from "./values.js";

const RUNS = { numRuns: 1000 };
const view = new DataView(new ArrayBuffer(8));

function asNumber(bits: number, lo: number, hi: number): number {
  if (bits === 32) {
    view.setInt32(0, lo);
    return view.getFloat32(0);
  }
  view.setInt32(0, hi);
  view.setInt32(4, lo);
  return view.getFloat64(0);
}

/** Exact value of a finite number of the host. */
function exact(value: number): Rational {
  let size = Math.abs(value);
  let shift = 0n;
  while (!Number.isInteger(size)) {
    size *= 2;
    shift++;
  }
  return { negative: value < 0, numerator: BigInt(size), denominator: 1n << shift };
}

describe.each([32, 64])("%i-bit values", (bits) => {
  const bounds = bits === 32 ? [24, -126, 127] : [53, -1022, 1023];

  it("are stored as the exact value, rounded once", () => {
    const scaled = fc
      .tuple(numbers, fc.integer({ min: bounds[1] - 70, max: bounds[2] + 3 }), fc.boolean())
      .map(([a, e, near]) =>
        near && a.significand >= 1n << 63n ? { ...a, se: (a.se & 0x8000) | (0x3fff + e) } : a,
      );
    fc.assert(
      fc.property(scaled, controls, (a, { word, rounding }) => {
        const f = context(word);
        load(f, Slot.A, a);
        packBinary(f, bits);
        const [precision, minimum, maximum] = bounds;
        const rounded = roundValue(toRational(a), precision, minimum, maximum, rounding);
        const stored = asNumber(bits, f.lo, f.hi);
        if (rounded.infinite) expect(stored).toBe(rounded.negative ? -Infinity : Infinity);
        else {
          const { numerator, denominator } = exact(stored);
          const power = rounded.power;
          const [n, d] =
            power >= 0 ? [rounded.multiple << BigInt(power), 1n] : [rounded.multiple, 1n << BigInt(-power)];
          expect(numerator * d).toBe(n * denominator);
          expect(Object.is(stored, -0) || stored < 0).toBe(rounded.negative);
        }
        let flags = 0;
        if (rounded.overflow) flags |= FloatFlag.Overflow;
        if (rounded.underflow) flags |= FloatFlag.Underflow;
        if (rounded.inexact) flags |= FloatFlag.Precision;
        if (rounded.up) flags |= FloatFlag.C1;
        expect(f.flags).toBe(flags);
      }),
      RUNS,
    );
  });

  it("come back as they were stored, signaling NaNs quieted", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (lo, hi) => {
        const f = context(0x37f);
        if (bits === 32) unpack32(f, Slot.A, lo);
        else unpack64(f, Slot.A, lo, hi);
        quietLoad(f);
        const value = asNumber(bits, lo, hi);
        const { flags } = f;
        f.copy(Slot.R, Slot.A);
        f.begin(0x37f);
        packBinary(f, bits);
        const quiet = bits === 32 ? 0x400000 : 0x80000;
        const top = bits === 32 ? lo : hi;
        if (Number.isNaN(value)) {
          expect(bits === 32 ? f.lo : f.hi).toBe(top | quiet);
          expect(flags).toBe((top & quiet) === 0 ? FloatFlag.Invalid : 0);
        } else {
          expect([f.lo, bits === 32 ? 0 : f.hi]).toEqual([lo, bits === 32 ? 0 : hi]);
          const least = bits === 32 ? 2 ** -126 : 2 ** -1022;
          expect(flags).toBe(value !== 0 && Math.abs(value) < least ? FloatFlag.Denormal : 0);
        }
      }),
      RUNS,
    );
  });
});

describe.each([16, 32, 64])("%i-bit integers", (bits) => {
  it("are stored rounded, or as the indefinite when they do not fit", () => {
    const near = fc
      .tuple(numbers, fc.integer({ min: -4, max: 66 }))
      .map(([a, e]) => (a.significand >= 1n << 63n ? { ...a, se: (a.se & 0x8000) | (0x3fff + e) } : a));
    fc.assert(
      fc.property(near, controls, (a, { word, rounding }) => {
        const f = context(word);
        load(f, Slot.A, a);
        packInteger(f, bits);
        const { numerator, denominator, negative } = toRational(a);
        const whole = roundInteger(numerator, denominator, negative, rounding);
        const value = negative ? -whole.value : whole.value;
        const stored = (BigInt(f.hi) << 32n) | BigInt(f.lo >>> 0);
        const fits = BigInt.asIntN(bits, value) === value;
        expect(BigInt.asIntN(bits, stored)).toBe(fits ? value : -(1n << BigInt(bits - 1)));
        const flags = (whole.inexact ? FloatFlag.Precision : 0) | (whole.up ? FloatFlag.C1 : 0);
        expect(f.flags).toBe(fits ? flags : FloatFlag.Invalid);
      }),
      RUNS,
    );
  });

  it("are loaded exactly", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (lo, hi) => {
        const f = context(0x37f);
        unpackInteger(f, Slot.R, lo, hi);
        const { numerator, denominator, negative } = toRational(result(f));
        const value = (BigInt(hi) << 32n) | BigInt(lo >>> 0);
        expect((negative ? -numerator : numerator) / denominator).toBe(value);
      }),
      RUNS,
    );
  });
});

describe("packed decimals", () => {
  it("hold eighteen digits and a sign both ways", () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 18n - 1n });
    fc.assert(
      fc.property(digits, fc.boolean(), (value, negative) => {
        const packed = BigInt(`0x${value}`);
        const top = Number(packed >> 64n) | (negative ? 0x8000 : 0);
        const f = context(0x37f);
        unpackDecimal(
          f,
          Slot.A,
          Number(packed & 0xffffffffn) | 0,
          Number((packed >> 32n) & 0xffffffffn) | 0,
          top,
        );
        f.copy(Slot.A, Slot.R);
        const loaded = toRational(result(f));
        expect(loaded.numerator).toBe(value * loaded.denominator);
        expect(loaded.negative).toBe(negative);
        expect(packDecimal(f, Slot.A)).toBe(top);
        expect((BigInt(f.hi >>> 0) << 32n) | BigInt(f.lo >>> 0)).toBe(packed & 0xffffffffffffffffn);
      }),
      RUNS,
    );
  });

  it("of 10^18 and more are invalid", () => {
    const f = context(0x37f);
    load(f, Slot.A, { significand: (10n ** 18n) << 4n, se: 0x3fff + 59 });
    expect(packDecimal(f, Slot.A)).toBe(0xffff);
    expect(f.flags).toBe(FloatFlag.Invalid);
    load(f, Slot.A, { significand: (10n ** 18n - 1n) << 4n, se: 0x3fff + 59 });
    f.begin(0x37f);
    expect(packDecimal(f, Slot.A)).toBe(0x99);
    expect([f.hi, f.lo]).toEqual([0x99999999 | 0, 0x99999999 | 0]);
  });
});
