import { multiplyHigh } from "../word-product.js";
import type { Unpacked } from "./unpacked.js";

/*
 * The four operations and the square root on numbers that are finite and not zero. Results are exact but for bit 0 of
 * the significand, which is also set when ones were lost below it: operands of at most 53 significant bits leave it far
 * below every place where a result of 53 bits is rounded. That is what makes two words enough here; the x87 operations
 * (`add.ts` and its neighbours) round results of 64 bits and carry a third word for it, see `REST`.
 */

/** Whether significand `a` is below significand `b`. */
function isBelow(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
}

/**
 * Sum of two magnitudes; neither operand's sign is looked at. May shift an operand.
 * @param into gets significand and exponent
 */
export function addMagnitudes(a: Unpacked, b: Unpacked, into: Unpacked): void {
  const large = a.exponent >= b.exponent ? a : b;
  const small = large === a ? b : a;
  const distance = large.exponent - small.exponent;
  if (distance > 0) small.shiftRightSticky(distance);
  const lo = (large.lo + small.lo) | 0;
  const carry = lo >>> 0 < large.lo >>> 0 ? 1 : 0;
  const sum = (large.hi >>> 0) + (small.hi >>> 0) + carry;
  into.exponent = large.exponent;
  into.lo = lo;
  into.hi = sum | 0;
  if (sum < 0x100000000) return;
  into.shiftRightSticky(1);
  into.hi |= 0x80000000;
  into.exponent++;
}

/**
 * Difference of two magnitudes. May shift an operand.
 * @returns 1: |a| is larger, -1: |b| is, 0: they are equal and `into` was left alone
 */
export function subtractMagnitudes(a: Unpacked, b: Unpacked, into: Unpacked): number {
  let aIsLarger = a.exponent > b.exponent;
  if (a.exponent === b.exponent) {
    if (a.hi === b.hi && a.lo === b.lo) return 0;
    aIsLarger = isBelow(b.lo, b.hi, a.lo, a.hi);
  }
  const large = aIsLarger ? a : b;
  const small = aIsLarger ? b : a;
  const distance = large.exponent - small.exponent;
  if (distance > 0) small.shiftRightSticky(distance);
  into.exponent = large.exponent;
  into.hi = (large.hi - small.hi - (large.lo >>> 0 < small.lo >>> 0 ? 1 : 0)) | 0;
  into.lo = (large.lo - small.lo) | 0;
  into.normalize();
  return aIsLarger ? 1 : -1;
}

export function multiplyMagnitudes(a: Unpacked, b: Unpacked, into: Unpacked): void {
  const { lo: aLo, hi: aHi } = a;
  const { lo: bLo, hi: bHi } = b;
  let hi = multiplyHigh(aHi, bHi);
  let lo = Math.imul(aHi, bHi);
  let below = 0;
  if ((aLo | bLo) !== 0) {
    const first = (multiplyHigh(aLo, bLo) >>> 0) + (Math.imul(aHi, bLo) >>> 0) + (Math.imul(aLo, bHi) >>> 0);
    const second =
      (lo >>> 0) +
      (multiplyHigh(aHi, bLo) >>> 0) +
      (multiplyHigh(aLo, bHi) >>> 0) +
      Math.floor(first / 0x100000000);
    below = first | 0;
    lo = second | 0;
    hi = (hi + Math.floor(second / 0x100000000)) | 0;
    if (Math.imul(aLo, bLo) !== 0) below |= 1;
  }
  into.exponent = a.exponent + b.exponent + 1;
  if (hi >= 0) {
    into.exponent--;
    hi = (hi << 1) | (lo >>> 31);
    lo = (lo << 1) | (below >>> 31);
    below <<= 1;
  }
  into.hi = hi;
  into.lo = below === 0 ? lo : lo | 1;
}

/** @param bits of the quotient that are wanted, 64 at most, one more than the significand and its rounding bit */
export function divideMagnitudes(a: Unpacked, b: Unpacked, bits: number, into: Unpacked): void {
  // Significands end in eleven zeros or more: two bits of room for remainders below twice the divisor.
  const divisorLo = (b.lo >>> 2) | (b.hi << 30);
  const divisorHi = b.hi >>> 2;
  let remainderLo = (a.lo >>> 2) | (a.hi << 30);
  let remainderHi = a.hi >>> 2;
  into.exponent = a.exponent - b.exponent;
  if (isBelow(remainderLo, remainderHi, divisorLo, divisorHi)) {
    into.exponent--;
    remainderHi = (remainderHi << 1) | (remainderLo >>> 31);
    remainderLo <<= 1;
  }
  let lo = 0;
  let hi = 0;
  for (let i = 0; i < bits; i++) {
    hi = (hi << 1) | (lo >>> 31);
    lo <<= 1;
    if (!isBelow(remainderLo, remainderHi, divisorLo, divisorHi)) {
      remainderHi = (remainderHi - divisorHi - (remainderLo >>> 0 < divisorLo >>> 0 ? 1 : 0)) | 0;
      remainderLo = (remainderLo - divisorLo) | 0;
      lo |= 1;
    }
    remainderHi = (remainderHi << 1) | (remainderLo >>> 31);
    remainderLo <<= 1;
  }
  placeAtTop(into, lo, hi, bits, (remainderLo | remainderHi) !== 0);
}

/** @param bits of the root that are wanted, 60 at most, one more than the significand and its rounding bit */
export function squareRoot(a: Unpacked, bits: number, into: Unpacked): void {
  // The radicand with two bits before the point, so that the exponent is even; its lowest bit is zero anyway.
  const odd = (a.exponent & 1) !== 0;
  let restLo = odd ? a.lo : (a.lo >>> 1) | (a.hi << 31);
  let restHi = odd ? a.hi : a.hi >>> 1;
  into.exponent = a.exponent >> 1;
  let lo = 0;
  let hi = 0;
  let remainderLo = 0;
  let remainderHi = 0;
  for (let i = 0; i < bits; i++) {
    remainderHi = (remainderHi << 2) | (remainderLo >>> 30);
    remainderLo = (remainderLo << 2) | (restHi >>> 30);
    restHi = (restHi << 2) | (restLo >>> 30);
    restLo <<= 2;
    const trialLo = (lo << 2) | 1;
    const trialHi = (hi << 2) | (lo >>> 30);
    hi = (hi << 1) | (lo >>> 31);
    lo <<= 1;
    if (isBelow(remainderLo, remainderHi, trialLo, trialHi)) continue;
    remainderHi = (remainderHi - trialHi - (remainderLo >>> 0 < trialLo >>> 0 ? 1 : 0)) | 0;
    remainderLo = (remainderLo - trialLo) | 0;
    lo |= 1;
  }
  placeAtTop(into, lo, hi, bits, (remainderLo | remainderHi | restLo | restHi) !== 0);
}

/** A significand of some bits, its first one set, moved to the top of 64. */
function placeAtTop(into: Unpacked, lo: number, hi: number, bits: number, inexact: boolean): void {
  const shift = 64 - bits;
  if (shift > 31) {
    into.hi = lo << (shift - 32);
    into.lo = 0;
  } else if (shift > 0) {
    into.hi = (hi << shift) | (lo >>> (32 - shift));
    into.lo = lo << shift;
  } else {
    into.hi = hi;
    into.lo = lo;
  }
  if (inexact) into.lo |= 1;
}
