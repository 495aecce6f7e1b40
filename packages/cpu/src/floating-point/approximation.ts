import type { HostNumbers } from "./host-numbers.js";

/*
 * RCPPS and RSQRTPS promise a relative error of at most 1.5 * 2^-12 and leave the bits to the vendor (SDM vol. 2, RCPPS,
 * RSQRTPS). These are the correctly rounded values, so no vendor's.
 */

const EXPONENTS = 0x7f800000;
const SIGN = 0x80000000;
const QUIET = 0x400000;

/** 1 / x of a binary32; denormal operands count as zeros, and tiny results are zeros. Raises nothing. */
export function reciprocal(host: HostNumbers, word: number): number {
  const exponent = word & EXPONENTS;
  if (exponent === 0) return (word & SIGN) | EXPONENTS;
  if (exponent === EXPONENTS) return (word & 0x7fffff) === 0 ? word & SIGN : word | QUIET;
  const { words, singles } = host;
  words[0] = word;
  singles[0] = 1 / singles[0];
  return (words[0] & EXPONENTS) === 0 ? word & SIGN : words[0];
}

/** 1 / sqrt(x) of a binary32; denormal operands count as zeros. Raises nothing. */
export function reciprocalRoot(host: HostNumbers, word: number): number {
  const exponent = word & EXPONENTS;
  if (exponent === 0) return (word & SIGN) | EXPONENTS;
  if (exponent === EXPONENTS && (word & 0x7fffff) !== 0) return word | QUIET;
  if (word < 0) return 0xffc00000 | 0;
  if (exponent === EXPONENTS) return 0;
  const { words, singles } = host;
  words[0] = word;
  singles[0] = 1 / Math.sqrt(singles[0]);
  return words[0];
}
