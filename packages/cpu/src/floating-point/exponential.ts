import { BIAS, Class, classOf, denormalOperand, normalise, propagateOne, setResult } from "./extended.js";
import { type FloatContext, FloatFlag, Part, Slot } from "./float-context.js";
import { FRACTION_BITS, LN2, packWide, powerOf, shift, significandOf } from "./wide-real.js";

const FRACTION = BigInt(FRACTION_BITS);
/** Below 2^this 2^x - 1 is x ln 2 as far as rounding can see. */
const TINY = -130;

/**
 * R = 2^A - 1 (SDM vol. 2, F2XM1). Beyond -1 to 1 the architecture leaves the result undefined: it is A, inexact, as on
 * Zen 3.
 */
export function exponential(f: FloatContext): void {
  const { words } = f;
  const kind = classOf(words, Slot.A);
  const sign = words[Slot.A + Part.Sign];
  if (kind >= Class.Quiet) {
    propagateOne(f, kind);
    return;
  }
  if (kind === Class.Infinity && sign === 1) {
    setResult(words, 0, 0x80000000 | 0, BIAS, 1);
    return;
  }
  if (kind === Class.Zero || kind === Class.Infinity) {
    f.copy(Slot.A, Slot.R);
    return;
  }
  if (kind === Class.Denormal) {
    if (!denormalOperand(f)) return;
    normalise(words, Slot.A);
  }
  const significand = significandOf(words, Slot.A);
  const power = powerOf(words, Slot.A);
  if (words[Slot.A + Part.Exponent] >= BIAS) {
    beyond(f, significand, sign);
    return;
  }
  if (power + 64 < TINY) {
    packWide(f, significand * LN2, power - FRACTION_BITS, sign, false);
    return;
  }
  const x = shift(significand * LN2, power) * (sign === 1 ? -1n : 1n);
  const value = series(x);
  packWide(f, value < 0n ? -value : value, -FRACTION_BITS, sign, false);
}

/** 1 and -1 have exact results. */
function beyond(f: FloatContext, significand: bigint, sign: number): void {
  const { words } = f;
  f.copy(Slot.A, Slot.R);
  if (words[Slot.A + Part.Exponent] === BIAS && significand === 1n << 63n)
    words[Slot.R + Part.Exponent] = sign === 1 ? BIAS - 1 : BIAS;
  else f.flags |= FloatFlag.Precision;
}

/** e^x - 1 = x + x^2 / 2! + ... */
function series(x: bigint): bigint {
  let term = x;
  let sum = 0n;
  for (let n = 2n; term !== 0n && term !== -1n; n++) {
    sum += term;
    term = ((term * x) >> FRACTION) / n;
  }
  return sum;
}
