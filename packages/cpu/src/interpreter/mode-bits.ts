import { Flag, Segment, SegmentWord, State } from "../cpu-state.js";

/** What the decoding of a block depends on besides its bytes. */
export const ModeBits = {
  /** 0: 16-bit code, 1: 32-bit, 2: 64-bit. */
  CodeMask: 3,
  /** The stack pointer has 32 bits (outside 64-bit mode). */
  BigStack: 4,
  /** Writable data segment with base 0 and limit 4 GiB. */
  FlatEs: 8,
  FlatSs: 0x10,
  FlatDs: 0x20,
  /** Blocks of one instruction: TF is set, or an interrupt shadow must end. */
  Single: 0x40,
  /** Misaligned accesses raise #AC: memory operands stay with handlers. */
  Aligned: 0x80,
} as const;

const PRESENT_WRITABLE_DATA = 0x92;
const EFER_LMA = 0x400;
const CR0_AM = 0x40000;

/** CR0.AM, EFLAGS.AC and CPL 3: accesses have to be aligned (SDM vol. 3, 6.15, #AC). */
function checksAlignment(words: Int32Array): boolean {
  return (words[State.Flags] & Flag.Ac) !== 0 && words[State.Cpl] === 3 && (words[State.Cr0] & CR0_AM) !== 0;
}

/** Mode bits from CS, SS, DS, ES, EFER, and what asks for alignment checks. */
export function modeBitsOf(words: Int32Array): number {
  const cs = words[State.Segments + 8 * Segment.Cs + SegmentWord.Attributes];
  const aligned = checksAlignment(words) ? ModeBits.Aligned : 0;
  if ((words[State.EferLo] & EFER_LMA) !== 0 && (cs & 0x2000) !== 0) return 2 | aligned;
  let bits = (cs & 0x4000) !== 0 ? 1 | aligned : aligned;
  const ss = words[State.Segments + 8 * Segment.Ss + SegmentWord.Attributes];
  if ((ss & 0x4000) !== 0) bits |= ModeBits.BigStack;
  if (isFlat(words, Segment.Es)) bits |= ModeBits.FlatEs;
  if (isFlat(words, Segment.Ss)) bits |= ModeBits.FlatSs;
  if (isFlat(words, Segment.Ds)) bits |= ModeBits.FlatDs;
  return bits;
}

function isFlat(words: Int32Array, segment: number): boolean {
  const at = State.Segments + 8 * segment;
  // Present, S, data, not expand-down, writable; usable.
  const attributes = words[at + SegmentWord.Attributes] & 0x1009e;
  return (
    attributes === PRESENT_WRITABLE_DATA &&
    words[at + SegmentWord.BaseLo] === 0 &&
    words[at + SegmentWord.Limit] === -1
  );
}

/** 16, 32 or 64. */
export function codeBits(bits: number): number {
  return 16 << (bits & ModeBits.CodeMask);
}

/** Whether a segment (0-5) is flat under these bits. */
export function segmentIsFlat(bits: number, segment: number): boolean {
  if (segment === Segment.Es) return (bits & ModeBits.FlatEs) !== 0;
  if (segment === Segment.Ss) return (bits & ModeBits.FlatSs) !== 0;
  return segment === Segment.Ds && (bits & ModeBits.FlatDs) !== 0;
}
