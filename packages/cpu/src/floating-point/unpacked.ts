/** What a floating-point number is. */
export const NumberKind = { Zero: 0, Finite: 1, Infinity: 2, QuietNan: 3, SignalingNan: 4 } as const;

/**
 * A floating-point number taken apart: `(hi:lo / 2^63) * 2^exponent` for finite ones, with bit 63 of the significand
 * set. Holds any binary32 and binary64 number exactly, with room below for what rounding looks at.
 */
export class Unpacked {
  /** A {@link NumberKind}. */
  kind: number = NumberKind.Zero;
  negative = false;
  /** The operand was denormal; not set for those that count as zeros. */
  denormal = false;
  exponent = 0;
  hi = 0;
  lo = 0;

  /** @param zeroDenormals denormal numbers are zeros of their sign */
  take32(word: number, zeroDenormals: boolean): void {
    const field = (word >>> 23) & 0xff;
    const fraction = word & 0x7fffff;
    this.negative = word < 0;
    this.denormal = false;
    this.lo = 0;
    if (field === 0) {
      if (fraction === 0 || zeroDenormals) this.kind = NumberKind.Zero;
      else this.setDenormal(fraction << 8, 0, -126);
    } else if (field === 0xff) {
      this.kind =
        fraction === 0
          ? NumberKind.Infinity
          : (word & 0x400000) !== 0
            ? NumberKind.QuietNan
            : NumberKind.SignalingNan;
    } else {
      this.kind = NumberKind.Finite;
      this.exponent = field - 127;
      this.hi = (0x800000 | fraction) << 8;
    }
  }

  /** @param zeroDenormals denormal numbers are zeros of their sign */
  take64(lo: number, hi: number, zeroDenormals: boolean): void {
    const field = (hi >>> 20) & 0x7ff;
    const fractionHi = hi & 0xfffff;
    this.negative = hi < 0;
    this.denormal = false;
    if (field === 0) {
      if ((fractionHi | lo) === 0 || zeroDenormals) this.kind = NumberKind.Zero;
      else this.setDenormal((fractionHi << 11) | (lo >>> 21), lo << 11, -1022);
    } else if (field === 0x7ff) {
      this.kind =
        (fractionHi | lo) === 0
          ? NumberKind.Infinity
          : (hi & 0x80000) !== 0
            ? NumberKind.QuietNan
            : NumberKind.SignalingNan;
    } else {
      this.kind = NumberKind.Finite;
      this.exponent = field - 1023;
      this.hi = 0x80000000 | (fractionHi << 11) | (lo >>> 21);
      this.lo = lo << 11;
    }
  }

  /** An integer of up to 64 bits. */
  takeMagnitude(negative: boolean, lo: number, hi: number): void {
    this.negative = negative;
    this.denormal = false;
    this.kind = (lo | hi) === 0 ? NumberKind.Zero : NumberKind.Finite;
    this.exponent = 63;
    this.hi = hi;
    this.lo = lo;
    if (this.kind === NumberKind.Finite) this.normalize();
  }

  /** Takes kind, sign and value of another number. */
  takeValue(from: Unpacked): void {
    this.kind = from.kind;
    this.negative = from.negative;
    this.exponent = from.exponent;
    this.hi = from.hi;
    this.lo = from.lo;
  }

  /** Moves the leading one to bit 63; the significand is not zero. */
  normalize(): void {
    if (this.hi === 0) {
      this.hi = this.lo;
      this.lo = 0;
      this.exponent -= 32;
    }
    const shift = Math.clz32(this.hi);
    if (shift === 0) return;
    this.hi = (this.hi << shift) | (this.lo >>> (32 - shift));
    this.lo <<= shift;
    this.exponent -= shift;
  }

  /** Shifts the significand right; ones that fall out leave their trace in bit 0. @param count 1 or more */
  shiftRightSticky(count: number): void {
    const { hi, lo } = this;
    if (count > 63) {
      this.lo = (hi | lo) === 0 ? 0 : 1;
      this.hi = 0;
    } else if (count > 31) {
      const rest = count - 32;
      const lost = rest === 0 ? lo : lo | (hi << (32 - rest));
      this.lo = (hi >>> rest) | (lost === 0 ? 0 : 1);
      this.hi = 0;
    } else {
      this.lo = (hi << (32 - count)) | (lo >>> count) | (lo << (32 - count) === 0 ? 0 : 1);
      this.hi = hi >>> count;
    }
  }

  private setDenormal(hi: number, lo: number, exponent: number): void {
    this.kind = NumberKind.Finite;
    this.denormal = true;
    this.exponent = exponent;
    this.hi = hi;
    this.lo = lo;
    this.normalize();
  }
}
