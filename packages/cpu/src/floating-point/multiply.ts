import {
  BIAS,
  Class,
  classOf,
  denormalOperands,
  infiniteResult,
  invalidResult,
  normalise,
  propagate,
  roundAndPack,
  setResult,
  zeroResult,
} from "./extended.js";
import { type FloatContext, Part, REST, Slot, WORK } from "./float-context.js";

const TWO_32 = 0x100000000;

/** Adds the product of two words to three words of a sum of 32-bit digits, low first; its carry stays below the fourth. */
function addProduct(words: Int32Array, at: number, a: number, b: number): void {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);
  const other = a0 * b1 + (middle & 0xffff);
  const productLo = Math.imul(a, b) >>> 0;
  const productHi = a1 * b1 + (middle >>> 16) + (other >>> 16);
  const sum = (words[at] >>> 0) + productLo;
  const next = (words[at + 1] >>> 0) + productHi + (sum >= TWO_32 ? 1 : 0);
  words[at] = sum;
  words[at + 1] = next;
  if (next >= TWO_32) words[at + 2] = words[at + 2] + 1;
}

/** Product of 128 bits of two 64-bit numbers to four words from {@link WORK} on, low first. */
export function multiplyWords(words: Int32Array, aLo: number, aHi: number, bLo: number, bHi: number): void {
  words[WORK] = 0;
  words[WORK + 1] = 0;
  words[WORK + 2] = 0;
  words[WORK + 3] = 0;
  addProduct(words, WORK, aLo, bLo);
  addProduct(words, WORK + 1, aLo, bHi);
  addProduct(words, WORK + 1, aHi, bLo);
  addProduct(words, WORK + 2, aHi, bHi);
}

/** R = A * B. */
export function multiply(f: FloatContext): void {
  const { words } = f;
  const kindA = classOf(words, Slot.A);
  const kindB = classOf(words, Slot.B);
  if (kindA >= Class.Quiet || kindB >= Class.Quiet) {
    propagate(f, kindA, kindB);
    return;
  }
  const sign = words[Slot.A + Part.Sign] ^ words[Slot.B + Part.Sign];
  const infinite = kindA === Class.Infinity || kindB === Class.Infinity;
  const zero = kindA === Class.Zero || kindB === Class.Zero;
  if (infinite && zero) {
    invalidResult(f);
    return;
  }
  if (!denormalOperands(f, kindA, kindB)) return;
  if (infinite) {
    infiniteResult(f, sign);
    return;
  }
  if (zero) {
    zeroResult(f, sign);
    return;
  }
  if (kindA === Class.Denormal) normalise(words, Slot.A);
  if (kindB === Class.Denormal) normalise(words, Slot.B);
  multiplyWords(words, words[Slot.A], words[Slot.A + Part.Hi], words[Slot.B], words[Slot.B + Part.Hi]);
  let exponent = words[Slot.A + Part.Exponent] + words[Slot.B + Part.Exponent] - BIAS + 1;
  let hi = words[WORK + 3];
  let lo = words[WORK + 2];
  let rest = words[WORK + 1];
  let last = words[WORK];
  if (hi >= 0) {
    hi = (hi << 1) | (lo >>> 31);
    lo = (lo << 1) | (rest >>> 31);
    rest = (rest << 1) | (last >>> 31);
    last <<= 1;
    exponent--;
  }
  setResult(words, lo, hi, exponent, sign);
  words[REST] = last === 0 ? rest : rest | 1;
  roundAndPack(f, f.precision);
}
