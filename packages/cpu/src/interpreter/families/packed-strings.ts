import { Flag, State } from "../../cpu-state.js";
import { setArithmeticFlags } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { byteOf, halfOf, vectorSource } from "../vector-operands.js";

/** Fields of the immediate (SDM vol. 2, 4.1). */
const HALVES = 1;
const SIGNED = 2;
const Aggregation = { EqualAny: 0, Ranges: 1, EqualEach: 2, EqualOrdered: 3 } as const;
const NEGATIVE = 0x10;
const MASKED = 0x20;
/** The last index instead of the first, elements instead of bits. */
const OTHER_OUTPUT = 0x40;

/** Variant bits. */
const EXPLICIT = 1;
const INDEX = 2;

const RAX = State.Gpr;
const RCX = State.Gpr + 2;
const RDX = State.Gpr + 4;

function elementOf(words: Int32Array, register: number, i: number, format: number): number {
  if ((format & HALVES) !== 0) {
    const half = halfOf(words, register, i);
    return (format & SIGNED) !== 0 ? (half << 16) >> 16 : half;
  }
  const byte = byteOf(words, register, i);
  return (format & SIGNED) !== 0 ? (byte << 24) >> 24 : byte;
}

/** Elements before the first zero. */
function implicitLength(words: Int32Array, register: number, count: number, format: number): number {
  let i = 0;
  while (i < count && elementOf(words, register, i, format) !== 0) i++;
  return i;
}

/** Absolute value of a length in a general register, at most `count`. */
function explicitLength(words: Int32Array, register: number, count: number, wide: boolean): number {
  const lo = words[register];
  const sign = wide ? words[register + 1] : lo >> 31;
  // Of a 64-bit number only one that its low word holds can be short.
  if (sign === 0) return lo >>> 0 < count ? lo : count;
  return sign === -1 && lo < 0 && -lo < count ? -lo : count;
}

/** Bit `i` of the answer: how element `i` of the second operand fares; lengths are in elements. */
function matches(
  words: Int32Array,
  a: number,
  aLength: number,
  b: number,
  bLength: number,
  i: number,
  immediate: number,
): boolean {
  const count = (immediate & HALVES) !== 0 ? 8 : 16;
  const format = immediate & 3;
  switch ((immediate >> 2) & 3) {
    case Aggregation.EqualAny: {
      if (i >= bLength) return false;
      const value = elementOf(words, b, i, format);
      for (let j = 0; j < aLength; j++) if (elementOf(words, a, j, format) === value) return true;
      return false;
    }
    case Aggregation.Ranges: {
      if (i >= bLength) return false;
      const value = elementOf(words, b, i, format);
      for (let j = 0; j + 1 < aLength; j += 2)
        if (value >= elementOf(words, a, j, format) && value <= elementOf(words, a, j + 1, format))
          return true;
      return false;
    }
    case Aggregation.EqualEach:
      if (i >= aLength || i >= bLength) return i >= aLength && i >= bLength;
      return elementOf(words, a, i, format) === elementOf(words, b, i, format);
    default:
      // The first operand as a whole from element `i` on; beyond its end everything matches.
      for (let j = 0; j < aLength && i + j < count; j++)
        if (i + j >= bLength || elementOf(words, a, j, format) !== elementOf(words, b, i + j, format))
          return false;
      return true;
  }
}

/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. */
function compareStrings(core: ExecutionCore, pc: number): number {
  const b = vectorSource(core, pc, 16, 0);
  if (b < 0) return Status.Fault;
  const { words, code } = core;
  const a = code[pc + Entry.A];
  const immediate = code[pc + Entry.Immediate];
  const variant = core.variantOf(pc);
  const count = (immediate & HALVES) !== 0 ? 8 : 16;
  const wide = core.sizeOf(pc) === 3;
  const explicit = (variant & EXPLICIT) !== 0;
  const aLength = explicit
    ? explicitLength(words, RAX, count, wide)
    : implicitLength(words, a, count, immediate & HALVES);
  const bLength = explicit
    ? explicitLength(words, RDX, count, wide)
    : implicitLength(words, b, count, immediate & HALVES);
  let result = 0;
  for (let i = 0; i < count; i++) {
    const negate = (immediate & NEGATIVE) !== 0 && ((immediate & MASKED) === 0 || i < bLength);
    if (matches(words, a, aLength, b, bLength, i, immediate) !== negate) result |= 1 << i;
  }
  const other = (immediate & OTHER_OUTPUT) !== 0;
  if ((variant & INDEX) !== 0) {
    let index = count;
    if (result !== 0) index = 31 - Math.clz32(other ? result : result & -result);
    core.writeRegister(RCX, 2, index, 0);
  } else storeMask(words, result, other ? (count === 8 ? 2 : 1) : 0);
  setArithmeticFlags(
    words,
    (result !== 0 ? Flag.Cf : 0) |
      (bLength < count ? Flag.Zf : 0) |
      (aLength < count ? Flag.Sf : 0) |
      ((result & 1) !== 0 ? Flag.Of : 0),
  );
  return Status.Next;
}

/** The mask to XMM0: as bits, or each bit as an element of so many bytes. */
function storeMask(words: Int32Array, mask: number, bytes: number): void {
  const to = State.Vector;
  for (let i = 0; i < 4; i++) {
    let word = i === 0 && bytes === 0 ? mask : 0;
    if (bytes === 1) {
      for (let j = 0; j < 4; j++) if (((mask >> (4 * i + j)) & 1) !== 0) word |= 0xff << (8 * j);
    } else if (bytes === 2)
      word =
        (((mask >> (2 * i)) & 1) !== 0 ? 0xffff : 0) | (((mask >> (2 * i + 1)) & 1) !== 0 ? 0xffff0000 : 0);
    words[to + i] = word;
  }
}

export const PACKED_STRINGS: Family = {
  pcmpestri: [compareStrings, EXPLICIT | INDEX],
  pcmpestrm: [compareStrings, EXPLICIT],
  pcmpistri: [compareStrings, INDEX],
  pcmpistrm: [compareStrings, 0],
};
