import { multiplyHigh } from "../../word-product.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { pairSource, wordsOf } from "../vector-operands.js";

/** Operations on elements of any width; each width has those that exist. */
const Operation = {
  Add: 0,
  Subtract: 1,
  AddSigned: 2,
  AddUnsigned: 3,
  SubtractSigned: 4,
  SubtractUnsigned: 5,
  Equal: 6,
  Greater: 7,
  MinSigned: 8,
  MinUnsigned: 9,
  MaxSigned: 10,
  MaxUnsigned: 11,
  Average: 12,
  Sign: 13,
  Absolute: 14,
  MultiplyLow: 15,
  MultiplyHigh: 16,
  MultiplyHighUnsigned: 17,
  MultiplyRound: 18,
  /** PMADDWD. */
  MultiplyAdd: 19,
  /** PMADDUBSW. */
  MultiplyAddBytes: 20,
  MultiplyWide: 21,
  MultiplyWideUnsigned: 22,
} as const;

/** @param most the largest number of the signed element: 127, 32767 */
export function saturate(value: number, most: number): number {
  return value > most ? most : Math.max(value, ~most);
}

/** @param most the largest number of the unsigned element: 255, 65535 */
export function saturateUnsigned(value: number, most: number): number {
  return value > most ? most : Math.max(value, 0);
}

/** What does not depend on the width of an element. @param a,b sign-extended */
function ofAnyWidth(operation: number, a: number, b: number): number {
  switch (operation) {
    case Operation.Equal:
      return a === b ? -1 : 0;
    case Operation.Greater:
      return a > b ? -1 : 0;
    case Operation.MinSigned:
      return Math.min(a, b);
    case Operation.MaxSigned:
      return Math.max(a, b);
    case Operation.Sign:
      return b < 0 ? -a : b === 0 ? 0 : a;
    default:
      return b < 0 ? -b : b;
  }
}

/**
 * Operations on bytes and on 16-bit elements.
 * @param a,b sign-extended @param mask 0xff or 0xffff
 * @returns the bits of `mask` count
 */
function narrow(operation: number, a: number, b: number, mask: number): number {
  const x = a & mask;
  const y = b & mask;
  switch (operation) {
    case Operation.AddSigned:
      return saturate(a + b, mask >> 1);
    case Operation.AddUnsigned:
      return saturateUnsigned(x + y, mask);
    case Operation.SubtractSigned:
      return saturate(a - b, mask >> 1);
    case Operation.SubtractUnsigned:
      return saturateUnsigned(x - y, mask);
    case Operation.MinUnsigned:
      return x < y ? a : b;
    case Operation.MaxUnsigned:
      return x > y ? a : b;
    case Operation.Average:
      return (x + y + 1) >> 1;
    default:
      return ofAnyWidth(operation, a, b);
  }
}

/** @param a,b sign-extended 16-bit elements @returns low 16 bits count */
function half(operation: number, a: number, b: number): number {
  switch (operation) {
    case Operation.MultiplyLow:
      return Math.imul(a, b);
    case Operation.MultiplyHigh:
      return Math.imul(a, b) >> 16;
    case Operation.MultiplyHighUnsigned:
      return Math.imul(a & 0xffff, b & 0xffff) >>> 16;
    case Operation.MultiplyRound:
      return ((Math.imul(a, b) >> 14) + 1) >> 1;
    default:
      return narrow(operation, a, b, 0xffff);
  }
}

function word(operation: number, a: number, b: number): number {
  switch (operation) {
    case Operation.Add:
      return a + b;
    case Operation.Subtract:
      return a - b;
    case Operation.MinUnsigned:
      return a >>> 0 < b >>> 0 ? a : b;
    case Operation.MaxUnsigned:
      return a >>> 0 > b >>> 0 ? a : b;
    case Operation.MultiplyLow:
      return Math.imul(a, b);
    case Operation.MultiplyAdd:
      return Math.imul((a << 16) >> 16, (b << 16) >> 16) + Math.imul(a >> 16, b >> 16);
    case Operation.MultiplyAddBytes:
      return (
        (saturate((a & 0xff) * ((b << 24) >> 24) + ((a >>> 8) & 0xff) * ((b << 16) >> 24), 32767) & 0xffff) |
        (saturate(((a >>> 16) & 0xff) * ((b << 8) >> 24) + (a >>> 24) * (b >> 24), 32767) << 16)
      );
    default:
      return ofAnyWidth(operation, a, b);
  }
}

/** Bytes; sums and differences that wrap are formed four at a time. */
function packedBytes(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  const operation = core.variantOf(pc);
  for (let i = 0; i < count; i++) {
    const a = words[to + i];
    const b = words[from + i];
    if (operation === Operation.Add)
      words[to + i] = ((a & 0x7f7f7f7f) + (b & 0x7f7f7f7f)) ^ ((a ^ b) & 0x80808080);
    else if (operation === Operation.Subtract)
      words[to + i] = ((a | 0x80808080) - (b & 0x7f7f7f7f)) ^ ((a ^ ~b) & 0x80808080);
    else
      words[to + i] =
        (narrow(operation, (a << 24) >> 24, (b << 24) >> 24, 0xff) & 0xff) |
        ((narrow(operation, (a << 16) >> 24, (b << 16) >> 24, 0xff) & 0xff) << 8) |
        ((narrow(operation, (a << 8) >> 24, (b << 8) >> 24, 0xff) & 0xff) << 16) |
        (narrow(operation, a >> 24, b >> 24, 0xff) << 24);
  }
  return Status.Next;
}

/** 16-bit elements. */
function packedHalves(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  const operation = core.variantOf(pc);
  for (let i = 0; i < count; i++) {
    const a = words[to + i];
    const b = words[from + i];
    if (operation === Operation.Add)
      words[to + i] = ((a & 0x7fff7fff) + (b & 0x7fff7fff)) ^ ((a ^ b) & 0x80008000);
    else if (operation === Operation.Subtract)
      words[to + i] = ((a | 0x80008000) - (b & 0x7fff7fff)) ^ ((a ^ ~b) & 0x80008000);
    else
      words[to + i] =
        (half(operation, (a << 16) >> 16, (b << 16) >> 16) & 0xffff) |
        (half(operation, a >> 16, b >> 16) << 16);
  }
  return Status.Next;
}

/** 32-bit elements, and those operations whose result a 32-bit column of the operands decides. */
function packedWords(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  const operation = core.variantOf(pc);
  for (let i = 0; i < count; i++) words[to + i] = word(operation, words[to + i], words[from + i]);
  return Status.Next;
}

/** 64-bit elements. */
function packedQuads(core: ExecutionCore, pc: number): number {
  const from = pairSource(core, pc);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsOf(to);
  const operation = core.variantOf(pc);
  for (let i = 0; i < count; i += 2) {
    const aLo = words[to + i];
    const aHi = words[to + i + 1];
    const bLo = words[from + i];
    const bHi = words[from + i + 1];
    let lo = 0;
    let hi = 0;
    switch (operation) {
      case Operation.Add:
        lo = (aLo + bLo) | 0;
        hi = aHi + bHi + (lo >>> 0 < aLo >>> 0 ? 1 : 0);
        break;
      case Operation.Subtract:
        lo = aLo - bLo;
        hi = aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0);
        break;
      case Operation.Equal:
        lo = aLo === bLo && aHi === bHi ? -1 : 0;
        hi = lo;
        break;
      case Operation.Greater:
        lo = aHi > bHi || (aHi === bHi && aLo >>> 0 > bLo >>> 0) ? -1 : 0;
        hi = lo;
        break;
      default:
        lo = Math.imul(aLo, bLo);
        hi = multiplyHigh(aLo, bLo);
        if (operation === Operation.MultiplyWide) hi -= (aLo < 0 ? bLo : 0) + (bLo < 0 ? aLo : 0);
    }
    words[to + i] = lo;
    words[to + i + 1] = hi;
  }
  return Status.Next;
}

export const PACKED_ARITHMETIC: Family = {
  paddb: [packedBytes, Operation.Add],
  psubb: [packedBytes, Operation.Subtract],
  paddsb: [packedBytes, Operation.AddSigned],
  paddusb: [packedBytes, Operation.AddUnsigned],
  psubsb: [packedBytes, Operation.SubtractSigned],
  psubusb: [packedBytes, Operation.SubtractUnsigned],
  pcmpeqb: [packedBytes, Operation.Equal],
  pcmpgtb: [packedBytes, Operation.Greater],
  pminsb: [packedBytes, Operation.MinSigned],
  pminub: [packedBytes, Operation.MinUnsigned],
  pmaxsb: [packedBytes, Operation.MaxSigned],
  pmaxub: [packedBytes, Operation.MaxUnsigned],
  pavgb: [packedBytes, Operation.Average],
  psignb: [packedBytes, Operation.Sign],
  pabsb: [packedBytes, Operation.Absolute],
  paddw: [packedHalves, Operation.Add],
  psubw: [packedHalves, Operation.Subtract],
  paddsw: [packedHalves, Operation.AddSigned],
  paddusw: [packedHalves, Operation.AddUnsigned],
  psubsw: [packedHalves, Operation.SubtractSigned],
  psubusw: [packedHalves, Operation.SubtractUnsigned],
  pcmpeqw: [packedHalves, Operation.Equal],
  pcmpgtw: [packedHalves, Operation.Greater],
  pminsw: [packedHalves, Operation.MinSigned],
  pminuw: [packedHalves, Operation.MinUnsigned],
  pmaxsw: [packedHalves, Operation.MaxSigned],
  pmaxuw: [packedHalves, Operation.MaxUnsigned],
  pavgw: [packedHalves, Operation.Average],
  psignw: [packedHalves, Operation.Sign],
  pabsw: [packedHalves, Operation.Absolute],
  pmullw: [packedHalves, Operation.MultiplyLow],
  pmulhw: [packedHalves, Operation.MultiplyHigh],
  pmulhuw: [packedHalves, Operation.MultiplyHighUnsigned],
  pmulhrsw: [packedHalves, Operation.MultiplyRound],
  paddd: [packedWords, Operation.Add],
  psubd: [packedWords, Operation.Subtract],
  pcmpeqd: [packedWords, Operation.Equal],
  pcmpgtd: [packedWords, Operation.Greater],
  pminsd: [packedWords, Operation.MinSigned],
  pminud: [packedWords, Operation.MinUnsigned],
  pmaxsd: [packedWords, Operation.MaxSigned],
  pmaxud: [packedWords, Operation.MaxUnsigned],
  psignd: [packedWords, Operation.Sign],
  pabsd: [packedWords, Operation.Absolute],
  pmulld: [packedWords, Operation.MultiplyLow],
  pmaddwd: [packedWords, Operation.MultiplyAdd],
  pmaddubsw: [packedWords, Operation.MultiplyAddBytes],
  paddq: [packedQuads, Operation.Add],
  psubq: [packedQuads, Operation.Subtract],
  pcmpeqq: [packedQuads, Operation.Equal],
  pcmpgtq: [packedQuads, Operation.Greater],
  pmuldq: [packedQuads, Operation.MultiplyWide],
  pmuludq: [packedQuads, Operation.MultiplyWideUnsigned],
};
