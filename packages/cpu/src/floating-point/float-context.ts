import { Rounding } from "./rounding.js";

/** Exception flags as the x87 status word has them (SDM vol. 1, 8.1.3), and what else an operation reports. */
export const FloatFlag = {
  Invalid: 1,
  Denormal: 2,
  ZeroDivide: 4,
  Overflow: 8,
  Underflow: 0x10,
  Precision: 0x20,
  StackFault: 0x40,
  /** C1 where it says that the result was rounded away from zero, or that the stack overflowed. */
  C1: 0x200,
} as const;

/** Places of unpacked values in {@link FloatContext.words}. */
export const Slot = { A: 0, B: 4, R: 8 } as const;

/** Words of an unpacked value. */
export const Part = {
  Lo: 0,
  Hi: 1,
  /** Biased by 16383; beyond 15 bits while a result is not rounded, or when a denormal was normalised. */
  Exponent: 2,
  /** 0 or 1. */
  Sign: 3,
} as const;

/**
 * Bits below the significand of R: the first 32, the lowest of which stands for all that follow (sticky). SSE results,
 * of 53 bits at most, round inside 64 and do without, see `significand-arithmetic.ts`.
 */
export const REST = 12;
/** Words that one operation may use as it likes. */
export const WORK = 16;

/** Operands, result and environment of one floating-point operation; reused by every operation. */
export class FloatContext {
  readonly words: Int32Array = new Int32Array(32);
  /** `FloatFlag` bits that the operation raised. */
  flags = 0;
  /** Exceptions that are masked: bits 5:0 of the control word. */
  masks = 0x3f;
  /** A {@link Rounding} number: bits 11:10 of the control word. */
  rounding: number = Rounding.Nearest;
  /** Bits of the significand that arithmetic rounds to: 24, 53 or 64. */
  precision = 64;
  /** An operand was a denormal of a narrower format; it has been normalised. */
  narrowDenormal = false;
  /** Integer results. */
  lo = 0;
  hi = 0;

  /** Takes masks, rounding and precision from a control word and forgets raised flags. */
  begin(control: number): void {
    this.flags = 0;
    this.narrowDenormal = false;
    this.masks = control & 0x3f;
    this.rounding = (control >> 10) & 3;
    const precision = (control >> 8) & 3;
    this.precision = precision === 0 ? 24 : precision === 2 ? 53 : 64;
  }

  /** Unpacks an extended value. @param se sign and exponent, 16 bits */
  unpack(slot: number, lo: number, hi: number, se: number): void {
    const { words } = this;
    words[slot] = lo;
    words[slot + Part.Hi] = hi;
    words[slot + Part.Exponent] = se & 0x7fff;
    words[slot + Part.Sign] = (se >> 15) & 1;
  }

  /** Sign and exponent of a packed value, 16 bits. */
  signExponent(slot: number): number {
    const { words } = this;
    return (words[slot + Part.Sign] << 15) | (words[slot + Part.Exponent] & 0x7fff);
  }

  copy(from: number, to: number): void {
    this.words.copyWithin(to, from, from + 4);
  }
}
