import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { pairSource, wordsOf } from "../vector-operands.js";
import { saturate, saturateUnsigned } from "./packed-arithmetic.js";

const LOW = 0;
const HIGH = 4;

/** Two bytes in the low half of a word, moved to its bytes 0 and 2. */
function spread(value: number): number {
  return (value & 0xff) | ((value & 0xff00) << 8);
}

/** First word of what a pair of words becomes when elements of 2^size bytes alternate. */
function interleaveFirst(size: number, a: number, b: number): number {
  if (size === 0) return spread(a) | (spread(b) << 8);
  return size === 1 ? (a & 0xffff) | (b << 16) : a;
}

function interleaveSecond(size: number, a: number, b: number): number {
  if (size === 0) return spread(a >>> 16) | (spread(b >>> 16) << 8);
  return size === 1 ? (a >>> 16) | (b & 0xffff0000) : b;
}

/** PUNPCKL, PUNPCKH, UNPCKL, UNPCKH: elements of one half of both operands in turn. The variant's low bits are log2 bytes. */
function unpack(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  // The low half of an MMX operand is all that is read (SDM vol. 2, PUNPCKLBW: mm/m32), on Zen 3 also of an XMM one.
  const from = variant >= HIGH ? pairSource(core, pc) : pairSource(core, pc, 4, 8);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const size = variant & 3;
  const count = wordsOf(to);
  const skip = variant >= HIGH ? count >> 1 : 0;
  const a = words[to + skip];
  const b = words[from + skip];
  if (count === 2) {
    words[to] = interleaveFirst(size, a, b);
    words[to + 1] = interleaveSecond(size, a, b);
    return Status.Next;
  }
  const aNext = words[to + skip + 1];
  const bNext = words[from + skip + 1];
  if (size === 3) {
    words[to] = a;
    words[to + 1] = aNext;
    words[to + 2] = b;
    words[to + 3] = bNext;
  } else {
    words[to] = interleaveFirst(size, a, b);
    words[to + 1] = interleaveSecond(size, a, b);
    words[to + 2] = interleaveFirst(size, aNext, bNext);
    words[to + 3] = interleaveSecond(size, aNext, bNext);
  }
  return Status.Next;
}

const SIGNED_BYTES = 0;
const UNSIGNED_BYTES = 1;
const SIGNED_HALVES = 2;

/** Two words as one, each element saturated to half its width. */
function narrow(kind: number, low: number, high: number): number {
  if (kind === SIGNED_HALVES) return (saturate(low, 32767) & 0xffff) | (saturate(high, 32767) << 16);
  if (kind > SIGNED_HALVES) return saturateUnsigned(low, 65535) | (saturateUnsigned(high, 65535) << 16);
  return narrowHalves(kind, low) | (narrowHalves(kind, high) << 16);
}

function narrowHalves(kind: number, value: number): number {
  const low = (value << 16) >> 16;
  const high = value >> 16;
  if (kind === UNSIGNED_BYTES) return saturateUnsigned(low, 255) | (saturateUnsigned(high, 255) << 8);
  return (saturate(low, 127) & 0xff) | ((saturate(high, 127) & 0xff) << 8);
}

/** PACKSSWB, PACKUSWB, PACKSSDW, PACKUSDW. */
function pack(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const kind = core.variantOf(pc);
  const b = narrow(kind, words[from], words[from + 1]);
  if (wordsOf(to) === 2) {
    words[to] = narrow(kind, words[to], words[to + 1]);
    words[to + 1] = b;
    return Status.Next;
  }
  const bNext = narrow(kind, words[from + 2], words[from + 3]);
  words[to] = narrow(kind, words[to], words[to + 1]);
  words[to + 1] = narrow(kind, words[to + 2], words[to + 3]);
  words[to + 2] = b;
  words[to + 3] = bNext;
  return Status.Next;
}

export const PACKED_UNPACKS: Family = {
  punpcklbw: [unpack, LOW],
  punpcklwd: [unpack, LOW + 1],
  punpckldq: [unpack, LOW + 2],
  punpcklqdq: [unpack, LOW + 3],
  punpckhbw: [unpack, HIGH],
  punpckhwd: [unpack, HIGH + 1],
  punpckhdq: [unpack, HIGH + 2],
  punpckhqdq: [unpack, HIGH + 3],
  unpcklps: [unpack, LOW + 2],
  unpcklpd: [unpack, LOW + 3],
  unpckhps: [unpack, HIGH + 2],
  unpckhpd: [unpack, HIGH + 3],
  packsswb: [pack, SIGNED_BYTES],
  packuswb: [pack, UNSIGNED_BYTES],
  packssdw: [pack, SIGNED_HALVES],
  packusdw: [pack, SIGNED_HALVES + 1],
};
