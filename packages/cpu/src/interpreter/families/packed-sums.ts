import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { byteOf, halfOf, keepOld, pairSource, vectorSource, wordsOf } from "../vector-operands.js";
import { saturate } from "./packed-arithmetic.js";

const ADD_HALVES = 0;
const ADD_HALVES_SATURATED = 1;
const SUBTRACT_HALVES = 2;
const SUBTRACT_HALVES_SATURATED = 3;
const ADD_WORDS = 4;

/** The two 16-bit elements of a word added or subtracted; low 16 bits count. */
function foldHalves(operation: number, word: number): number {
  const low = (word << 16) >> 16;
  const high = word >> 16;
  switch (operation) {
    case ADD_HALVES:
      return low + high;
    case ADD_HALVES_SATURATED:
      return saturate(low + high, 32767);
    case SUBTRACT_HALVES:
      return low - high;
    default:
      return saturate(low - high, 32767);
  }
}

/** Two neighbouring words of an operand as one of the result. */
function fold(operation: number, first: number, second: number): number {
  if (operation === ADD_WORDS) return first + second;
  if (operation > ADD_WORDS) return first - second;
  return (foldHalves(operation, first) & 0xffff) | (foldHalves(operation, second) << 16);
}

/** PHADDW, PHADDD, PHADDSW, PHSUBW, PHSUBD, PHSUBSW. */
function horizontal(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const operation = core.variantOf(pc);
  const b = fold(operation, words[from], words[from + 1]);
  if (wordsOf(to) === 2) {
    words[to] = fold(operation, words[to], words[to + 1]);
    words[to + 1] = b;
    return Status.Next;
  }
  const bNext = fold(operation, words[from + 2], words[from + 3]);
  words[to] = fold(operation, words[to], words[to + 1]);
  words[to + 1] = fold(operation, words[to + 2], words[to + 3]);
  words[to + 2] = b;
  words[to + 3] = bNext;
  return Status.Next;
}

/** Sum of the absolute differences of the four bytes of two words. */
function differences(a: number, b: number): number {
  return (
    Math.abs((a & 0xff) - (b & 0xff)) +
    Math.abs(((a >>> 8) & 0xff) - ((b >>> 8) & 0xff)) +
    Math.abs(((a >>> 16) & 0xff) - ((b >>> 16) & 0xff)) +
    Math.abs((a >>> 24) - (b >>> 24))
  );
}

/** PSADBW: a sum for each 64 bits. */
function sumDifferences(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  for (let i = 0; i < count; i += 2) {
    words[to + i] =
      differences(words[to + i], words[from + i]) + differences(words[to + i + 1], words[from + i + 1]);
    words[to + i + 1] = 0;
  }
  return Status.Next;
}

/** MPSADBW: four bytes of the source against eight overlapping groups of four of the destination. */
function slidingDifferences(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const immediate = code[pc + Entry.Immediate];
  const pattern = words[from + (immediate & 3)];
  const start = immediate & 4;
  const old = keepOld(words, to);
  for (let i = 0; i < 4; i++)
    words[to + i] =
      differences(bytesFrom(words, old, start + 2 * i), pattern) |
      (differences(bytesFrom(words, old, start + 2 * i + 1), pattern) << 16);
  return Status.Next;
}

/** Four bytes of a register from any byte on. */
function bytesFrom(words: Int32Array, register: number, first: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word |= byteOf(words, register, first + i) << (8 * i);
  return word;
}

/** PHMINPOSUW: the smallest 16-bit element and its number. */
function minimumPosition(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  let best = 0x10000;
  let position = 0;
  for (let i = 0; i < 8; i++) {
    const value = halfOf(words, from, i);
    if (value < best) {
      best = value;
      position = i;
    }
  }
  words[to] = best | (position << 16);
  words[to + 1] = 0;
  words[to + 2] = 0;
  words[to + 3] = 0;
  return Status.Next;
}

export const PACKED_SUMS: Family = {
  phaddw: [horizontal, ADD_HALVES],
  phaddsw: [horizontal, ADD_HALVES_SATURATED],
  phsubw: [horizontal, SUBTRACT_HALVES],
  phsubsw: [horizontal, SUBTRACT_HALVES_SATURATED],
  phaddd: [horizontal, ADD_WORDS],
  phsubd: [horizontal, ADD_WORDS + 1],
  psadbw: sumDifferences,
  mpsadbw: slidingDifferences,
  phminposuw: minimumPosition,
};
