import { HostNumbers } from "./host-numbers.js";
import { Mxcsr, OPERAND_EXCEPTIONS } from "./mxcsr.js";
import { Rounding } from "./rounding.js";
import { NumberKind, Unpacked } from "./unpacked.js";

/**
 * What the lanes of one SSE floating-point instruction share: the control bits of MXCSR, the exceptions raised so far,
 * and room for operands and result. Numbers of both formats are words `lo` and `hi`; binary32 ones have `hi` 0.
 */
export class SseUnit {
  readonly a: Unpacked = new Unpacked();
  readonly b: Unpacked = new Unpacked();
  /** Result of an operation before it is rounded. */
  readonly exact: Unpacked = new Unpacked();
  readonly host: HostNumbers = new HostNumbers();
  /** Result of the latest lane. */
  lo = 0;
  hi = 0;
  /** The instruction's results until it is known that none of its exceptions is unmasked. */
  readonly results: Int32Array = new Int32Array(4);
  /** MXCSR as it was when the instruction began. */
  control = 0;
  /** Exceptions of all lanes so far, as MXCSR flags. */
  exceptions = 0;

  /** @param control MXCSR */
  begin(control: number): void {
    this.control = control;
    this.exceptions = 0;
  }

  /** A {@link Rounding} number. */
  get rounding(): number {
    return (this.control >>> Mxcsr.RoundingShift) & 3;
  }

  get zeroDenormals(): boolean {
    return (this.control & Mxcsr.DenormalsAreZeros) !== 0;
  }

  /**
   * The exceptions to note in MXCSR: with an unmasked one among those of the operands, of any lane, results are not
   * computed and raise nothing (SDM vol. 1, 11.5.3).
   */
  settle(): number {
    const unmasked = this.exceptions & ~(this.control >>> Mxcsr.MaskShift);
    if ((unmasked & OPERAND_EXCEPTIONS) !== 0) this.exceptions &= OPERAND_EXCEPTIONS;
    return this.exceptions;
  }

  /** Takes the first operand. */
  takeA(wide: boolean, lo: number, hi: number): void {
    if (wide) this.a.take64(lo, hi, this.zeroDenormals);
    else this.a.take32(lo, this.zeroDenormals);
  }

  /** Takes the second operand. */
  takeB(wide: boolean, lo: number, hi: number): void {
    if (wide) this.b.take64(lo, hi, this.zeroDenormals);
    else this.b.take32(lo, this.zeroDenormals);
  }

  giveZero(wide: boolean, negative: boolean): void {
    const sign = negative ? 0x80000000 | 0 : 0;
    this.lo = wide ? 0 : sign;
    this.hi = wide ? sign : 0;
  }

  giveInfinity(wide: boolean, negative: boolean): void {
    this.giveZero(wide, negative);
    if (wide) this.hi |= 0x7ff00000;
    else this.lo |= 0x7f800000;
  }

  /** The QNaN floating-point indefinite, with #I. */
  giveInvalid(wide: boolean): void {
    this.exceptions |= Mxcsr.Invalid;
    this.lo = wide ? 0 : 0xffc00000 | 0;
    this.hi = wide ? 0xfff80000 | 0 : 0;
  }

  /** A NaN operand, quiet. */
  giveQuiet(wide: boolean, lo: number, hi: number): void {
    this.lo = wide ? lo : lo | 0x400000;
    this.hi = wide ? hi | 0x80000 : 0;
  }

  /** {@link exact} with its sign, kind finite, rounded to binary32 or binary64. */
  giveRounded(wide: boolean): void {
    const { exact, control } = this;
    const first = wide ? -1022 : -126;
    const last = wide ? 1023 : 127;
    const { negative, exponent } = exact;
    const lost = wide ? exact.lo & 0x7ff : (exact.hi & 0xff) | (exact.lo === 0 ? 0 : 1);
    let inexact = lost !== 0;
    let denormal = false;
    if (exponent < first) {
      // Tiny is what would lie below the normal numbers if rounded with an unbounded exponent.
      const tiny = exponent < first - 1 || !this.carriesOut(wide);
      if (tiny && (control & Mxcsr.UnderflowMask) === 0) {
        this.exceptions |= Mxcsr.Underflow | (inexact ? Mxcsr.Precision : 0);
        return;
      }
      if (tiny && (control & Mxcsr.FlushToZero) !== 0) {
        this.exceptions |= Mxcsr.Underflow | Mxcsr.Precision;
        this.giveZero(wide, negative);
        return;
      }
      exact.shiftRightSticky(first - exponent);
      denormal = true;
      inexact = wide ? (exact.lo & 0x7ff) !== 0 : ((exact.hi & 0xff) | exact.lo) !== 0;
      if (tiny && inexact) this.exceptions |= Mxcsr.Underflow;
    }
    const up = this.roundsUp(wide) ? 1 : 0;
    // A significand that rounds up to the next power of two moves the exponent field on by itself.
    const field = denormal ? 0 : exponent - first;
    let overflows = exponent > last;
    if (wide) {
      const kept = (exact.hi << 21) | (exact.lo >>> 11);
      const lo = (kept + up) | 0;
      const hi = ((field << 20) + (exact.hi >>> 11) + (up === 1 && lo === 0 ? 1 : 0)) | 0;
      overflows ||= hi >= 0x7ff00000;
      this.lo = lo;
      this.hi = negative ? hi | 0x80000000 : hi;
    } else {
      const word = ((field << 23) + (exact.hi >>> 8) + up) | 0;
      overflows ||= word < 0 || word >= 0x7f800000;
      this.lo = negative ? word | 0x80000000 : word;
      this.hi = 0;
    }
    if (overflows) this.giveOverflow(wide, negative, inexact);
    else if (inexact) this.exceptions |= Mxcsr.Precision;
  }

  private giveOverflow(wide: boolean, negative: boolean, inexact: boolean): void {
    const masked = (this.control & Mxcsr.OverflowMask) !== 0;
    this.exceptions |= Mxcsr.Overflow | (masked || inexact ? Mxcsr.Precision : 0);
    this.giveInfinity(wide, negative);
    const { rounding } = this;
    if (rounding === Rounding.Nearest || rounding === (negative ? Rounding.Down : Rounding.Up)) return;
    // The largest finite number is the one before infinity.
    if (wide) {
      this.lo = -1;
      this.hi--;
    } else this.lo--;
  }

  /** Whether the bits of {@link exact} below the format's significand round its magnitude up. */
  private roundsUp(wide: boolean): boolean {
    const { exact } = this;
    const half = wide ? exact.lo & 0x400 : exact.hi & 0x80;
    const below = wide ? exact.lo & 0x3ff : (exact.hi & 0x7f) | exact.lo;
    switch (this.rounding) {
      case Rounding.Nearest: {
        const odd = wide ? exact.lo & 0x800 : exact.hi & 0x100;
        return half !== 0 && (below | odd) !== 0;
      }
      case Rounding.Down:
        return exact.negative && (half | below) !== 0;
      case Rounding.Up:
        return !exact.negative && (half | below) !== 0;
      default:
        return false;
    }
  }

  /** Whether rounding carries into the next power of two. */
  private carriesOut(wide: boolean): boolean {
    const { hi, lo } = this.exact;
    const ones = wide ? hi === -1 && lo >>> 11 === 0x1fffff : hi >>> 8 === 0xffffff;
    return ones && this.roundsUp(wide);
  }

  /** {@link exact} as it stands, when it is a zero or infinity. @returns whether it was */
  giveSpecial(wide: boolean): boolean {
    const { exact } = this;
    if (exact.kind === NumberKind.Zero) this.giveZero(wide, exact.negative);
    else if (exact.kind === NumberKind.Infinity) this.giveInfinity(wide, exact.negative);
    else return false;
    return true;
  }
}
