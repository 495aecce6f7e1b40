import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  byteOf,
  enterMmx,
  isVector,
  keepOld,
  mmxUsable,
  pairSource,
  wordsOf,
  xmmUsable,
} from "../vector-operands.js";

const LEFT = 0;
const RIGHT = 1;
const ARITHMETIC = 2;

/** Shift by an immediate: only the register's usability is in question. @returns whether it may run */
function immediateUsable(core: ExecutionCore, register: number): boolean {
  if (isVector(register)) return xmmUsable(core);
  if (!mmxUsable(core)) return false;
  enterMmx(core.words);
  core.words[register + 2] = 0xffff;
  return true;
}

/** PSLL, PSRL, PSRA of 16-, 32- and 64-bit elements. The variant is the direction plus 4 times log2 bytes. */
function shift(core: ExecutionCore, pc: number): number {
  const { code, words } = core;
  const to = code[pc + Entry.A];
  const variant = core.variantOf(pc);
  const size = variant >> 2;
  const bits = 8 << size;
  let count: number;
  if ((code[pc + Entry.Form] & Form.ImmediateSecond) !== 0) {
    if (!immediateUsable(core, to)) return Status.Fault;
    count = code[pc + Entry.Immediate] & 0xff;
  } else {
    // The count is 64 bits, and Zen 3 reads no more of the 16 bytes.
    const from = pairSource(core, pc, 8, 8);
    if (from < 0) return Status.Fault;
    // All 64 bits of the source count.
    count = words[from + 1] !== 0 || words[from] >>> 0 > bits ? bits : words[from];
  }
  if (count > bits) count = bits;
  const direction = variant & 3;
  const end = to + wordsOf(to);
  if (size === 3) for (let at = to; at < end; at += 2) shiftQuad(words, at, direction, count);
  else if (size === 2) for (let at = to; at < end; at++) words[at] = shiftWord(words[at], direction, count);
  else for (let at = to; at < end; at++) words[at] = shiftHalves(words[at], direction, count);
  return Status.Next;
}

function shiftQuad(words: Int32Array, at: number, direction: number, count: number): void {
  const lo = words[at];
  const hi = words[at + 1];
  if (count === 0) return;
  if (count >= 64) {
    words[at] = 0;
    words[at + 1] = 0;
  } else if (direction === LEFT) {
    words[at] = count < 32 ? lo << count : 0;
    words[at + 1] = count < 32 ? (hi << count) | (lo >>> (32 - count)) : lo << (count - 32);
  } else {
    words[at] = count < 32 ? (lo >>> count) | (hi << (32 - count)) : hi >>> (count - 32);
    words[at + 1] = count < 32 ? hi >>> count : 0;
  }
}

function shiftWord(value: number, direction: number, count: number): number {
  if (direction === ARITHMETIC) return value >> Math.min(count, 31);
  if (count > 31) return 0;
  return direction === LEFT ? value << count : value >>> count;
}

function shiftHalves(value: number, direction: number, count: number): number {
  if (direction === ARITHMETIC) {
    const by = Math.min(count, 15);
    return ((((value << 16) >> 16) >> by) & 0xffff) | (((value >> 16) >> by) << 16);
  }
  if (count > 15) return 0;
  if (direction === LEFT) return ((value << count) & 0xffff) | ((value & 0xffff0000) << count);
  return ((value & 0xffff) >>> count) | (((value >>> 16) >>> count) << 16);
}

/** PSLLDQ, PSRLDQ: the whole register by bytes. */
function shiftBytes(core: ExecutionCore, pc: number): number {
  if (!xmmUsable(core)) return Status.Fault;
  const { code, words } = core;
  const to = code[pc + Entry.A];
  const count = code[pc + Entry.Immediate] & 0xff;
  const step = core.variantOf(pc) === LEFT ? -count : count;
  const old = keepOld(words, to);
  for (let i = 0; i < 4; i++) {
    let word = 0;
    for (let j = 0; j < 4; j++) {
      const source = 4 * i + j + step;
      if (source >= 0 && source < 16) word |= byteOf(words, old, source) << (8 * j);
    }
    words[to + i] = word;
  }
  return Status.Next;
}

export const PACKED_SHIFTS: Family = {
  psllw: [shift, LEFT | (1 << 2)],
  psrlw: [shift, RIGHT | (1 << 2)],
  psraw: [shift, ARITHMETIC | (1 << 2)],
  pslld: [shift, LEFT | (2 << 2)],
  psrld: [shift, RIGHT | (2 << 2)],
  psrad: [shift, ARITHMETIC | (2 << 2)],
  psllq: [shift, LEFT | (3 << 2)],
  psrlq: [shift, RIGHT | (3 << 2)],
  pslldq: [shiftBytes, LEFT],
  psrldq: [shiftBytes, RIGHT],
};
