/** Words of one decoded instruction in a block store; `pc` below is the index of its first word. */
export const Entry = {
  /** A hot operation number, see `hot-op.ts`; once complete also `A` and `B`, see {@link pack}. */
  Op: 0,
  /** State word of the first register operand; byte registers AH-BH have {@link HIGH_BYTE} added. */
  A: 1,
  /** The same for the second register operand. */
  B: 2,
  /** State word of the base register, or of a zero pair. */
  Base: 3,
  /** State word of the index register, or of a zero pair. */
  Index: 4,
  /** {@link EaKind} | log2 scale << 8 | bytes of the access << 16; once complete also the registers, see {@link pack}. */
  Ea: 5,
  Displacement: 6,
  Immediate: 7,
  ImmediateHi: 8,
  /** Offset of the instruction from the start of the block | its length << 16. */
  Where: 9,
  /** Issue ticks of the instructions before it in the block. */
  Cost: 10,
  /** See {@link Form}. */
  Form: 11,
  Stride: 12,
} as const;

/**
 * Completes an entry for the hot loop, which pays for every word it reads: `A` and `B` also go to bits 16:8 and 25:17 of
 * the first word, halves of the base and index registers' state words to bits 28:24 and 6:2 of `Ea`.
 */
export function pack(code: Int32Array, at: number): void {
  code[at + Entry.Op] |= (code[at + Entry.A] << 8) | (code[at + Entry.B] << 17);
  code[at + Entry.Ea] |= ((code[at + Entry.Base] >> 1) << 24) | ((code[at + Entry.Index] >> 1) << 2);
}

/** Bit of a complete entry's first word: nobody sees the arithmetic flags that the operation would make. */
export const FLAGS_DEAD: number = 1 << 31;

/** Flag of a register operand that is bits 15:8 of its register. */
export const HIGH_BYTE = 0x100;

/** How the hot loop forms an address; everything else goes through a handler. */
export const EaKind = {
  /** 64-bit base + displacement. */
  Base64: 0,
  /** 64-bit base + index * scale + displacement. */
  Indexed64: 1,
  /** The same in 32 bits with a flat segment. */
  Flat32: 2,
  /** As Indexed64, plus the base of FS or GS. */
  Segment64: 3,
} as const;

/** Fields of the `Form` word, for handlers. */
export const Form = {
  /** log2 bytes of the operands. */
  SizeMask: 3,
  AddressShift: 2,
  SegmentShift: 4,
  Lock: 0x80,
  RepeatEqual: 0x100,
  RepeatNotEqual: 0x200,
  /** The first operand is in memory. */
  MemoryFirst: 0x400,
  /** The second operand is in memory. */
  MemorySecond: 0x800,
  /** The second operand is an immediate. */
  ImmediateSecond: 0x1000,
  /** The address is `Displacement`, `ImmediateHi`. */
  Absolute: 0x2000,
  /** A number that tells variants of a handler apart. */
  VariantShift: 16,
  /** Number of the handler. */
  HandlerShift: 24,
} as const;

/** What a handler answers. */
export const Status = {
  Next: 0,
  /** RIP is set; the block ends and the instruction has retired. */
  Jump: 1,
  /** An exception was raised with `core.raise` or a memory access failed; nothing was changed. */
  Fault: 2,
  /** The run stops with `core.stopReason`, RIP at the instruction, which has not retired. */
  Stop: 3,
  /** Run the same instruction again after a look at the run loop (repeated strings between pages). */
  Again: 4,
  /** The engine cannot execute it. */
  Unsupported: 5,
  /** Retired; the block ends, because what was decoded after it may no longer hold. */
  EndBlock: 6,
  /** Retired, then the run stops with `core.stopReason`. */
  RetireAndStop: 7,
  /** INT n and its kin: deliver `core.eventVector` with RIP after the instruction. */
  SoftwareEvent: 8,
} as const;
