import { State } from "./cpu-state.js";

const WORD = 0x100000000;
/** Fraction bits of the multiplier in the state words. */
const FRACTION = 32n;

/** A signed 64-bit value in two state words as a number; exact up to 2^53. */
export function wide(words: Int32Array, lo: number): number {
  return (words[lo] >>> 0) + words[lo + 1] * WORD;
}

export function setWide(words: Int32Array, lo: number, value: number): void {
  words[lo] = value | 0;
  words[lo + 1] = Math.floor(value / WORD) | 0;
}

/** Whether a guest's time stamp runs at the processor's own rate. */
export function isUnscaled(words: Int32Array): boolean {
  return words[State.TscRatioHi] === 1 && words[State.TscRatioLo] === 0;
}

/** Cycles times the multiplier, rounded down (APM vol. 2, 15.30.5; SDM vol. 3, 26.3): exact, and allocates. */
export function scaleTimestamp(words: Int32Array, cycles: number): number {
  const ratio = (BigInt(words[State.TscRatioHi] >>> 0) << FRACTION) | BigInt(words[State.TscRatioLo] >>> 0);
  return Number((BigInt(cycles) * ratio) >> FRACTION);
}
