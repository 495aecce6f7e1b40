import { State } from "../../cpu-state.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { byteOf, halfOf, keepOld, pairSource, vectorSource, wordsOf } from "../vector-operands.js";

/** PSHUFD and SHUFPS: the first operand gives the lower two words of SHUFPS, the second all of PSHUFD. */
function shuffleWords(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const order = code[pc + Entry.Immediate];
  const first = core.variantOf(pc) === 0 ? from : to;
  const w0 = words[first + (order & 3)];
  const w1 = words[first + ((order >> 2) & 3)];
  const w2 = words[from + ((order >> 4) & 3)];
  const w3 = words[from + ((order >> 6) & 3)];
  words[to] = w0;
  words[to + 1] = w1;
  words[to + 2] = w2;
  words[to + 3] = w3;
  return Status.Next;
}

/** SHUFPD. */
function shuffleQuads(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const order = code[pc + Entry.Immediate];
  const a = to + 2 * (order & 1);
  const b = from + (order & 2);
  const a0 = words[a];
  const a1 = words[a + 1];
  const b0 = words[b];
  const b1 = words[b + 1];
  words[to] = a0;
  words[to + 1] = a1;
  words[to + 2] = b0;
  words[to + 3] = b1;
  return Status.Next;
}

const LOW = 0;

/** PSHUFW, PSHUFLW, PSHUFHW: four 16-bit elements of one half; the other half is copied. */
function shuffleHalves(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const order = code[pc + Entry.Immediate];
  const at = core.variantOf(pc);
  const source = from + at;
  const low = halfOf(words, source, order & 3) | (halfOf(words, source, (order >> 2) & 3) << 16);
  const high = halfOf(words, source, (order >> 4) & 3) | (halfOf(words, source, (order >> 6) & 3) << 16);
  if (wordsOf(to) === 4) {
    const other = 2 - at;
    words[to + other] = words[from + other];
    words[to + other + 1] = words[from + other + 1];
  }
  words[to + at] = low;
  words[to + at + 1] = high;
  return Status.Next;
}

/** PSHUFB. */
function shuffleBytes(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  const last = 4 * count - 1;
  const old = keepOld(words, to);
  for (let i = 0; i < count; i++) {
    const order = words[from + i];
    let word = 0;
    for (let shift = 0; shift < 32; shift += 8) {
      const which = order >>> shift;
      if ((which & 0x80) === 0) word |= byteOf(words, old, which & last) << shift;
    }
    words[to + i] = word;
  }
  return Status.Next;
}

/** PALIGNR: bytes from the middle of the two operands, the first one on top. */
function align(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const count = wordsOf(to);
  const bytes = 4 * count;
  const by = code[pc + Entry.Immediate] & 0xff;
  const high = keepOld(words, to);
  // The source may be the destination itself; then its bytes are those kept.
  const low = from === to ? high : from;
  for (let i = 0; i < count; i++) {
    let word = 0;
    for (let j = 0; j < 4; j++) {
      const at = 4 * i + j + by;
      if (at < bytes) word |= byteOf(words, low, at) << (8 * j);
      else if (at < 2 * bytes) word |= byteOf(words, high, at - bytes) << (8 * j);
    }
    words[to + i] = word;
  }
  return Status.Next;
}

/** BLENDPS, BLENDPD, PBLENDW: immediate bits choose elements of 2^variant bytes. */
function blend(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const choice = code[pc + Entry.Immediate];
  const size = core.variantOf(pc);
  for (let i = 0; i < 4; i++) {
    let mask = -((choice >> (size === 3 ? i >> 1 : i)) & 1);
    if (size === 1) mask = (-((choice >> (2 * i)) & 1) & 0xffff) | (-((choice >> (2 * i + 1)) & 1) << 16);
    words[to + i] = (words[from + i] & mask) | (words[to + i] & ~mask);
  }
  return Status.Next;
}

/** PBLENDVB, BLENDVPS, BLENDVPD: top bits of XMM0's elements of 2^variant bytes choose. */
function blendByMask(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const size = core.variantOf(pc);
  const old = keepOld(words, State.Vector);
  for (let i = 0; i < 4; i++) {
    const choice = words[old + (size === 3 ? i | 1 : i)];
    // Each byte's top bit spread over the byte.
    const mask = size === 0 ? Math.imul((choice >>> 7) & 0x01010101, 0xff) : choice >> 31;
    words[to + i] = (words[from + i] & mask) | (words[to + i] & ~mask);
  }
  return Status.Next;
}

export const PACKED_SHUFFLES: Family = {
  pshufd: [shuffleWords, 0],
  shufps: [shuffleWords, 1],
  shufpd: shuffleQuads,
  pshufw: [shuffleHalves, LOW],
  pshuflw: [shuffleHalves, LOW],
  pshufhw: [shuffleHalves, 2],
  pshufb: shuffleBytes,
  palignr: align,
  pblendw: [blend, 1],
  blendps: [blend, 2],
  blendpd: [blend, 3],
  pblendvb: [blendByMask, 0],
  blendvps: [blendByMask, 2],
  blendvpd: [blendByMask, 3],
};
