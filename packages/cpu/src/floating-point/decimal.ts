import { indefinite, packInteger, unpackInteger } from "./convert.js";
import { type FloatContext, FloatFlag } from "./float-context.js";

const EIGHT_DIGITS = 1e8;
/** 10^18 - 1, the largest packed decimal. */
const LARGEST_HI = 0x0de0b6b3;
const LARGEST_LO = 0xa763ffff;

/**
 * Unpacks 18 packed decimal digits and a sign. Digits above 9, which the architecture leaves undefined, count with their
 * value.
 * @param lo,hi the 16 lower digits @param top the upper two, with the sign in bit 15
 */
export function unpackDecimal(f: FloatContext, slot: number, lo: number, hi: number, top: number): void {
  const head = ((top >> 4) & 15) * 10 + (top & 15);
  // At most 34 bits; then times 10^8 in digits of 16 bits, whose products doubles hold exactly.
  const upper = head * EIGHT_DIGITS + eightDigits(hi);
  const t0 = (upper % 0x10000) * EIGHT_DIGITS + eightDigits(lo);
  const t1 = (Math.floor(upper / 0x10000) % 0x10000) * EIGHT_DIGITS + Math.floor(t0 / 0x10000);
  const t2 = Math.floor(upper / 0x100000000) * EIGHT_DIGITS + Math.floor(t1 / 0x10000);
  unpackInteger(f, slot, ((t1 % 0x10000) << 16) | (t0 % 0x10000), t2);
  f.words[slot + 3] = (top >> 15) & 1;
}

function eightDigits(word: number): number {
  let value = 0;
  for (let shift = 28; shift >= 0; shift -= 4) value = value * 10 + ((word >>> shift) & 15);
  return value;
}

function packedDigits(value: number): number {
  let rest = value;
  let word = 0;
  for (let shift = 0; shift < 32; shift += 4) {
    word |= (rest % 10) << shift;
    rest = Math.floor(rest / 10);
  }
  return word;
}

/**
 * Rounds A to 18 packed decimal digits: the lower sixteen to `f.lo` and `f.hi`; what does not fit is invalid and gives
 * the packed decimal indefinite.
 * @returns the upper two digits with the sign in bit 15
 */
export function packDecimal(f: FloatContext, slot: number): number {
  const sign = f.words[slot + 3];
  packInteger(f, 64);
  let { lo, hi } = f;
  if (sign === 1) {
    hi = (~hi + (lo === 0 ? 1 : 0)) | 0;
    lo = -lo | 0;
  }
  const tooLarge = hi < 0 || hi > LARGEST_HI || (hi === LARGEST_HI && lo >>> 0 > LARGEST_LO);
  if ((f.flags & FloatFlag.Invalid) !== 0 || tooLarge) {
    f.flags = FloatFlag.Invalid;
    return decimalIndefinite(f);
  }
  const t1 = (hi % EIGHT_DIGITS) * 0x10000 + (lo >>> 16);
  const t0 = (t1 % EIGHT_DIGITS) * 0x10000 + (lo & 0xffff);
  const upper =
    Math.floor(hi / EIGHT_DIGITS) * 0x100000000 +
    Math.floor(t1 / EIGHT_DIGITS) * 0x10000 +
    Math.floor(t0 / EIGHT_DIGITS);
  f.lo = packedDigits(t0 % EIGHT_DIGITS);
  f.hi = packedDigits(upper % EIGHT_DIGITS);
  return (packedDigits(Math.floor(upper / EIGHT_DIGITS)) & 0xff) | (sign << 15);
}

/** The packed decimal indefinite, in the same places. */
export function decimalIndefinite(f: FloatContext): number {
  indefinite(f, 64);
  f.hi = 0xc0000000 | 0;
  return 0xffff;
}
