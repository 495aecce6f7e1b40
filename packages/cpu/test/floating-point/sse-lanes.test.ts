import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reciprocal, reciprocalRoot } from "../../src/floating-point/approximation.js";
import { HostOperation, hostLane } from "../../src/floating-point/host-arithmetic.js";
import {
  addLane,
  divideLane,
  multiplyLane,
  squareRootLane,
} from "../../src/floating-point/sse-arithmetic.js";
import { SseUnit } from "../../src/floating-point/sse-unit.js";

const Flag = { Invalid: 1, Denormal: 2, Overflow: 8, Underflow: 0x10, Precision: 0x20 } as const;
const MASKED = 0x1f80;
const unit = new SseUnit();

interface Format {
  readonly wide: boolean;
  readonly bits: number;
  /** Significand bits. */
  readonly precision: number;
  /** Of the smallest normal number. */
  readonly first: number;
  readonly last: number;
}
const SINGLE: Format = { wide: false, bits: 32, precision: 24, first: -126, last: 127 };
const DOUBLE: Format = { wide: true, bits: 64, precision: 53, first: -1022, last: 1023 };

/** Exact rationals: value = n / d, d > 0. */
interface Rational {
  readonly n: bigint;
  readonly d: bigint;
}

function exact({ precision, first }: Format, word: bigint, bits: number): Rational {
  const fractionBits = BigInt(precision - 1);
  const field = (word >> fractionBits) & ((1n << BigInt(bits - precision)) - 1n);
  const fraction = word & ((1n << fractionBits) - 1n);
  const significand = field === 0n ? fraction : fraction | (1n << fractionBits);
  const exponent = first - (precision - 1) + (field === 0n ? 0 : Number(field) - 1);
  const n = (word >> BigInt(bits - 1)) & 1n ? -significand : significand;
  return exponent < 0 ? { n, d: 1n << BigInt(-exponent) } : { n: n << BigInt(exponent), d: 1n };
}

/** floor(log2(n / d)) of a positive rational. */
function logarithm({ n, d }: Rational): number {
  let e = n.toString(2).length - d.toString(2).length;
  const below = e >= 0 ? n < d << BigInt(e) : n << BigInt(-e) < d;
  if (below) e--;
  return e;
}

/** n / d * 2^shift rounded to an integer, and whether it was one. */
function roundScaled({ n, d }: Rational, shift: number, mode: number, negative: boolean): [bigint, boolean] {
  const numerator = shift >= 0 ? n << BigInt(shift) : n;
  const denominator = shift >= 0 ? d : d << BigInt(-shift);
  const quotient = numerator / denominator;
  const rest = numerator % denominator;
  if (rest === 0n) return [quotient, true];
  const half = 2n * rest;
  let up = half > denominator || (half === denominator && (quotient & 1n) === 1n);
  if (mode === 1) up = negative;
  else if (mode === 2) up = !negative;
  else if (mode === 3) up = false;
  return [up ? quotient + 1n : quotient, false];
}

/** What IEEE 754 gives for an exact result that is not zero, tininess after rounding, exceptions masked. */
function rounded(format: Format, value: Rational, mode: number): { word: bigint; flags: number } {
  const { precision, first, last, bits } = format;
  const negative = value.n < 0n;
  const magnitude = { n: negative ? -value.n : value.n, d: value.d };
  const sign = negative ? 1n << BigInt(bits - 1) : 0n;
  const implicit = 1n << BigInt(precision - 1);
  const e = logarithm(magnitude);
  let [unbounded, unboundedExact] = roundScaled(magnitude, precision - 1 - e, mode, negative);
  let top = e;
  if (unbounded === implicit << 1n) {
    unbounded >>= 1n;
    top++;
  }
  if (top > last) {
    const toInfinity = mode === 0 || mode === (negative ? 1 : 2);
    const infinity = ((1n << BigInt(bits - precision)) - 1n) << BigInt(precision - 1);
    return { word: sign | (toInfinity ? infinity : infinity - 1n), flags: Flag.Overflow | Flag.Precision };
  }
  if (top >= first)
    return {
      word: sign | ((BigInt(top - first) << BigInt(precision - 1)) + unbounded),
      flags: unboundedExact ? 0 : Flag.Precision,
    };
  const [tiny, tinyExact] = roundScaled(magnitude, precision - 1 - first, mode, negative);
  return { word: sign | tiny, flags: tinyExact ? 0 : Flag.Underflow | Flag.Precision };
}

type Operation = "add" | "subtract" | "multiply" | "divide";

function apply(operation: Operation, { wide }: Format, a: bigint, b: bigint): void {
  const aLo = Number(BigInt.asIntN(32, a));
  const bLo = Number(BigInt.asIntN(32, b));
  const aHi = Number(BigInt.asIntN(32, a >> 32n));
  const bHi = Number(BigInt.asIntN(32, b >> 32n));
  if (operation === "multiply") multiplyLane(unit, wide, aLo, aHi, bLo, bHi);
  else if (operation === "divide") divideLane(unit, wide, aLo, aHi, bLo, bHi);
  else addLane(unit, wide, operation === "subtract", aLo, aHi, bLo, bHi);
}

function result({ wide }: Format): bigint {
  const lo = BigInt(unit.lo >>> 0);
  return wide ? lo | (BigInt(unit.hi >>> 0) << 32n) : lo;
}

function rational(operation: Operation, a: Rational, b: Rational): Rational {
  if (operation === "multiply") return { n: a.n * b.n, d: a.d * b.d };
  if (operation === "divide") {
    const n = a.n * b.d;
    const d = a.d * b.n;
    return d < 0n ? { n: -n, d: -d } : { n, d };
  }
  const other = operation === "subtract" ? -b.n : b.n;
  return { n: a.n * b.d + other * a.d, d: a.d * b.d };
}

/** Finite numbers, denormal ones among them, with fractions that round badly. */
function numbers({ bits, precision }: Format): fc.Arbitrary<bigint> {
  const fields = 2 ** (bits - precision) - 2;
  const middle = fields >> 1;
  const field = fc.oneof(
    fc.integer({ min: 0, max: fields }),
    fc.integer({ min: 0, max: 2 }),
    fc.integer({ min: fields - 2, max: fields }),
    fc.integer({ min: middle - 30, max: middle + 30 }),
  );
  const top = (1n << BigInt(precision - 1)) - 1n;
  const fraction = fc.oneof(
    fc.bigInt({ min: 0n, max: top }),
    fc.constantFrom(0n, 1n, top, top - 1n, (top + 1n) >> 1n),
  );
  return fc
    .tuple(fc.boolean(), field, fraction)
    .map(([negative, e, f]) =>
      negative
        ? (1n << BigInt(bits - 1)) | (BigInt(e) << BigInt(precision - 1)) | f
        : (BigInt(e) << BigInt(precision - 1)) | f,
    );
}

describe.each([
  ["binary32", SINGLE],
  ["binary64", DOUBLE],
] as const)("%s lanes against exact rationals", (_name, format) => {
  it.each(["add", "subtract", "multiply", "divide"] as const)("%s", (operation) => {
    const mode = fc.integer({ min: 0, max: 3 });
    fc.assert(
      fc.property(numbers(format), numbers(format), mode, (a, b, rounding) => {
        const x = exact(format, a, format.bits);
        const y = exact(format, b, format.bits);
        if (operation === "divide" && y.n === 0n) return;
        const value = rational(operation, x, y);
        if (value.n === 0n) return;
        unit.begin(MASKED | (rounding << 13));
        apply(operation, format, a, b);
        const expected = rounded(format, value, rounding);
        expect(result(format)).toBe(expected.word);
        expect(unit.settle() & ~Flag.Denormal).toBe(expected.flags);
      }),
      { numRuns: 1500 },
    );
  });

  it("square root is the number whose neighbours' squares enclose the operand", () => {
    fc.assert(
      fc.property(numbers(format), (word) => {
        const a = BigInt.asUintN(format.bits - 1, word);
        const value = exact(format, a, format.bits);
        if (value.n === 0n) return;
        unit.begin(MASKED | (3 << 13)); // towards zero
        squareRootLane(unit, format.wide, Number(BigInt.asIntN(32, a)), Number(BigInt.asIntN(32, a >> 32n)));
        const low = exact(format, result(format), format.bits);
        const high = exact(format, result(format) + 1n, format.bits);
        const square = low.n * low.n * value.d;
        const operand = value.n * low.d * low.d;
        expect(square <= operand).toBe(true);
        expect(high.n * high.n * value.d > value.n * high.d * high.d).toBe(true);
        expect((unit.exceptions & Flag.Precision) === 0).toBe(square === operand);
      }),
      { numRuns: 1500 },
    );
  });

  it("the host's arithmetic, where it is used, gives the same", () => {
    const operations = ["add", "multiply", "subtract", "divide"] as const;
    let used = 0;
    fc.assert(
      fc.property(numbers(format), numbers(format), fc.integer({ min: 0, max: 3 }), (a, b, which) => {
        const split = (word: bigint, by: bigint) => Number(BigInt.asIntN(32, word >> by));
        const operation: number = HostOperation[(["Add", "Multiply", "Subtract", "Divide"] as const)[which]];
        const { wide } = format;
        if (!hostLane(unit, operation, wide, split(a, 0n), split(a, 32n), split(b, 0n), split(b, 32n)))
          return;
        used++;
        const quick = result(format);
        unit.begin(MASKED | Flag.Precision);
        apply(operations[which], format, a, b);
        expect(quick).toBe(result(format));
        // Nothing that MXCSR does not show already.
        expect(unit.settle() & ~Flag.Precision).toBe(0);
      }),
      { numRuns: 3000 },
    );
    expect(used).toBeGreaterThan(300);
  });
});

const BOUND = 1.5 * 2 ** -12;
const float = new Float32Array(1);
const word = new Int32Array(float.buffer);

describe("approximations", () => {
  it("stay within their documented relative error", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0x800000, max: 0x7e7fffff }), (bits) => {
        word[0] = bits;
        const x = float[0];
        word[0] = reciprocal(unit.host, bits);
        expect(Math.abs(float[0] * x - 1)).toBeLessThanOrEqual(BOUND);
        word[0] = reciprocalRoot(unit.host, bits);
        expect(Math.abs(float[0] * Math.sqrt(x) - 1)).toBeLessThanOrEqual(BOUND);
      }),
    );
  });

  it.each([
    ["1 / 0", reciprocal, 0, 0x7f800000],
    ["1 / -0", reciprocal, 0x80000000, 0xff800000],
    ["1 / denormal", reciprocal, 1, 0x7f800000],
    ["1 / -infinity", reciprocal, 0xff800000, 0x80000000],
    ["1 / a number whose reciprocal is denormal", reciprocal, 0x7f000000, 0],
    ["1 / SNaN", reciprocal, 0x7f800001, 0x7fc00001],
    ["1 / sqrt(-1)", reciprocalRoot, 0xbf800000, 0xffc00000],
    ["1 / sqrt(-0)", reciprocalRoot, 0x80000000, 0xff800000],
    ["1 / sqrt(infinity)", reciprocalRoot, 0x7f800000, 0],
    ["1 / sqrt(4)", reciprocalRoot, 0x40800000, 0x3f000000],
  ] as const)("%s", (_name, approximation, operand, expected) => {
    expect(approximation(unit.host, operand | 0) >>> 0).toBe(expected);
  });
});
