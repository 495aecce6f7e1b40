import { State } from "./cpu-state.js";

const WORD = 0x100000000;

/** A signed 64-bit value in two state words as a number; exact up to 2^53. */
export function wide(words: Int32Array, lo: number): number {
  return (words[lo] >>> 0) + words[lo + 1] * WORD;
}

export function setWide(words: Int32Array, lo: number, value: number): void {
  words[lo] = value | 0;
  words[lo + 1] = Math.floor(value / WORD) | 0;
}

/** Sets a guest's time stamp to the processor's own rate: one, in AMD's 8.32 or Intel's 16.48 fixed point. */
export function unscale(words: Int32Array, amd: boolean): void {
  words[State.TscRatioLo] = 0;
  words[State.TscRatioHi] = amd ? 1 : 0x10000;
}

/** Cycles times the ratio, rounded down (APM vol. 2, 15.30.5; SDM vol. 3, 26.3): exact, and allocates unless it is one. */
export function scaleTimestamp(words: Int32Array, amd: boolean, cycles: number): number {
  const lo = words[State.TscRatioLo];
  const hi = words[State.TscRatioHi];
  if (lo === 0 && hi === (amd ? 1 : 0x10000)) return cycles;
  const ratio = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
  return Number((BigInt(cycles) * ratio) >> (amd ? 32n : 48n));
}
