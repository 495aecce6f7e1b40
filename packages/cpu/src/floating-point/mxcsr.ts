/** Bits of MXCSR (SDM vol. 1, 10.2.3; APM vol. 1, 4.2.2). */
export const Mxcsr = {
  Invalid: 1,
  Denormal: 2,
  DivideByZero: 4,
  Overflow: 8,
  Underflow: 0x10,
  Precision: 0x20,
  /** Denormal operands count as zeros. */
  DenormalsAreZeros: 0x40,
  /** The masks of the six exceptions are their flags shifted left by this. */
  MaskShift: 7,
  UnderflowMask: 0x800,
  OverflowMask: 0x400,
  PrecisionMask: 0x1000,
  /** A rounding mode lies here, see `rounding.ts`. */
  RoundingShift: 13,
  /** Tiny results become zero while underflow is masked. */
  FlushToZero: 0x8000,
  /** What software may set everywhere. */
  Defined: 0xffff,
  /** AMD: misaligned operands of packed instructions are allowed (APM vol. 1, 4.2.2). */
  MisalignedMask: 0x20000,
} as const;

/** Exceptions that are found before a result is computed; they go before those of the result. */
export const OPERAND_EXCEPTIONS: number = Mxcsr.Invalid | Mxcsr.Denormal | Mxcsr.DivideByZero;
