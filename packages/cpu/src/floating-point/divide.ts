import {
  BIAS,
  Class,
  classOf,
  compareSignificands,
  denormalOperands,
  infiniteResult,
  invalidResult,
  normalise,
  propagate,
  roundAndPack,
  zeroResult,
} from "./extended.js";
import { type FloatContext, FloatFlag, Part, REST, Slot, WORK } from "./float-context.js";
import { multiplyWords } from "./multiply.js";

const TWO_32 = 0x100000000;
/** The running remainder, two words after those of a product. */
const REMAINDER = WORK + 4;

/**
 * One digit of 32 bits of the long division of the remainder by B, whose top bit is set and which is larger than the
 * remainder. The estimate from doubles is off by one or two at most; the correction makes it exact.
 */
function digit(words: Int32Array): number {
  const dLo = words[Slot.B];
  const dHi = words[Slot.B + Part.Hi];
  const divisor = (dHi >>> 0) * TWO_32 + (dLo >>> 0);
  const remainder = (words[REMAINDER + 1] >>> 0) * TWO_32 + (words[REMAINDER] >>> 0);
  let q = Math.floor((remainder / divisor) * TWO_32);
  if (q >= TWO_32) q = TWO_32 - 1;
  multiplyWords(words, q | 0, 0, dLo, dHi);
  // remainder * 2^32 - q * divisor: three words, the top one with the sign.
  const w0 = -(words[WORK] >>> 0);
  const w1 = (words[REMAINDER] >>> 0) - (words[WORK + 1] >>> 0) - (w0 < 0 ? 1 : 0);
  let lo = w0 | 0;
  let hi = w1 | 0;
  let top = ((words[REMAINDER + 1] >>> 0) - (words[WORK + 2] >>> 0) - (w1 < 0 ? 1 : 0)) | 0;
  while (top < 0) {
    q--;
    const sum = (lo >>> 0) + (dLo >>> 0);
    const next = (hi >>> 0) + (dHi >>> 0) + (sum >= TWO_32 ? 1 : 0);
    lo = sum | 0;
    hi = next | 0;
    if (next >= TWO_32) top = (top + 1) | 0;
  }
  while (top > 0 || hi >>> 0 > dHi >>> 0 || (hi === dHi && lo >>> 0 >= dLo >>> 0)) {
    q++;
    const difference = (lo >>> 0) - (dLo >>> 0);
    const next = (hi >>> 0) - (dHi >>> 0) - (difference < 0 ? 1 : 0);
    lo = difference | 0;
    hi = next | 0;
    if (next < 0) top = (top - 1) | 0;
  }
  words[REMAINDER] = lo;
  words[REMAINDER + 1] = hi;
  return q | 0;
}

/** R and its rest = significand of A / significand of B, both normalised. @returns 1 when the quotient is at least 1 */
function divideSignificands(words: Int32Array): number {
  const atLeastOne = compareSignificands(words, Slot.A, Slot.B) >= 0;
  const lo = (words[Slot.A] >>> 0) - (atLeastOne ? words[Slot.B] >>> 0 : 0);
  words[REMAINDER] = lo;
  words[REMAINDER + 1] =
    words[Slot.A + Part.Hi] - (atLeastOne ? words[Slot.B + Part.Hi] : 0) - (lo < 0 ? 1 : 0);
  const first = digit(words);
  const second = digit(words);
  const third = digit(words);
  const sticky = (words[REMAINDER] | words[REMAINDER + 1]) === 0 ? 0 : 1;
  if (!atLeastOne) {
    words[Slot.R + Part.Hi] = first;
    words[Slot.R] = second;
    words[REST] = third | sticky;
    return 0;
  }
  // 1 before the digits.
  words[Slot.R + Part.Hi] = (first >>> 1) | 0x80000000;
  words[Slot.R] = (second >>> 1) | (first << 31);
  words[REST] = (third >>> 1) | (second << 31) | (third & 1) | sticky;
  return 1;
}

/** R = A / B. */
export function divide(f: FloatContext): void {
  const { words } = f;
  const kindA = classOf(words, Slot.A);
  const kindB = classOf(words, Slot.B);
  if (kindA >= Class.Quiet || kindB >= Class.Quiet) {
    propagate(f, kindA, kindB);
    return;
  }
  const sign = words[Slot.A + Part.Sign] ^ words[Slot.B + Part.Sign];
  if (kindA === kindB && (kindA === Class.Infinity || kindA === Class.Zero)) {
    invalidResult(f);
    return;
  }
  if (kindB === Class.Zero && kindA !== Class.Infinity) {
    f.flags |= FloatFlag.ZeroDivide;
    infiniteResult(f, sign);
    return;
  }
  if (!denormalOperands(f, kindA, kindB)) return;
  if (kindA === Class.Infinity) {
    infiniteResult(f, sign);
    return;
  }
  if (kindA === Class.Zero || kindB === Class.Infinity) {
    zeroResult(f, sign);
    return;
  }
  if (kindA === Class.Denormal) normalise(words, Slot.A);
  if (kindB === Class.Denormal) normalise(words, Slot.B);
  const exponent = words[Slot.A + Part.Exponent] - words[Slot.B + Part.Exponent] + BIAS - 1;
  words[Slot.R + Part.Exponent] = exponent + divideSignificands(words);
  words[Slot.R + Part.Sign] = sign;
  roundAndPack(f, f.precision);
}
