import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { enterMmx, halfOf, isVector, mmxUsable, vectorSource, xmmUsable } from "../vector-operands.js";

/** PEXTRB's and PINSRB's variant: 0 stands for the operand size. */
const BYTE = 4;

/** PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS: the variant is log2 bytes; a register gets zeros above. */
function extract(core: ExecutionCore, pc: number): number {
  const { code, words } = core;
  const from = code[pc + Entry.B];
  const wide = isVector(from);
  if (wide ? !xmmUsable(core) : !mmxUsable(core)) return Status.Fault;
  const which = code[pc + Entry.Immediate];
  const size = core.variantOf(pc) || core.sizeOf(pc);
  let value = 0;
  let high = 0;
  if (size === BYTE) value = (words[from + ((which >> 2) & 3)] >>> (8 * (which & 3))) & 0xff;
  else if (size === 1) value = halfOf(words, from, which & (wide ? 7 : 3));
  else if (size === 2) value = words[from + (which & 3)];
  else {
    value = words[from + 2 * (which & 1)];
    high = words[from + 2 * (which & 1) + 1];
  }
  if ((code[pc + Entry.Form] & Form.MemoryFirst) !== 0) {
    if (!core.writeFirst(pc, size & 3, value, high)) return Status.Fault;
  } else core.writeRegister(code[pc + Entry.A], size === 3 ? 3 : 2, value, high);
  if (!wide) enterMmx(words);
  return Status.Next;
}

/** PINSRB, PINSRW, PINSRD, PINSRQ: the variant as of {@link extract}. */
function insert(core: ExecutionCore, pc: number): number {
  const { code, words } = core;
  const to = code[pc + Entry.A];
  const wide = isVector(to);
  if (wide ? !xmmUsable(core) : !mmxUsable(core)) return Status.Fault;
  const which = code[pc + Entry.Immediate];
  const size = core.variantOf(pc) || core.sizeOf(pc);
  if ((code[pc + Entry.Form] & Form.MemorySecond) !== 0) {
    if (!core.second(pc, size & 3)) return Status.Fault;
  } else core.readRegister(code[pc + Entry.B], size === 3 ? 3 : 2);
  if (!wide) {
    enterMmx(words);
    words[to + 2] = 0xffff;
  }
  if (size === 3) {
    words[to + 2 * (which & 1)] = core.lo;
    words[to + 2 * (which & 1) + 1] = core.hi;
  } else if (size === 2) words[to + (which & 3)] = core.lo;
  else {
    const place = size === 1 ? (which & (wide ? 7 : 3)) << 1 : which & 15;
    const shift = 8 * (place & 3);
    const mask = (size === 1 ? 0xffff : 0xff) << shift;
    const at = to + (place >> 2);
    words[at] = (words[at] & ~mask) | ((core.lo << shift) & mask);
  }
  return Status.Next;
}

/** INSERTPS: one word to a place, then some places cleared. */
function insertSingle(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 4, 0);
  if (from < 0) return Status.Fault;
  const { code, words } = core;
  const to = code[pc + Entry.A];
  const immediate = code[pc + Entry.Immediate];
  const inMemory = (code[pc + Entry.Form] & Form.MemorySecond) !== 0;
  words[to + ((immediate >> 4) & 3)] = words[from + (inMemory ? 0 : (immediate >> 6) & 3)];
  for (let i = 0; i < 4; i++) if (((immediate >> i) & 1) !== 0) words[to + i] = 0;
  return Status.Next;
}

/** Element of 1, 2 or 4 bytes at a byte position, sign- or zero-extended. */
function element(words: Int32Array, from: number, position: number, bytes: number, signed: boolean): number {
  const word = words[from + (position >> 2)];
  if (bytes === 4) return word;
  const unused = 32 - 8 * bytes;
  const top = (word >>> (8 * (position & 3))) << unused;
  return signed ? top >> unused : top >>> unused;
}

const SIGNED = 16;

/** PMOVSX, PMOVZX: the variant is the source elements' bytes plus 4 times log2 of the results' bytes, and SIGNED. */
function widen(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const bytes = variant & 3 || 4;
  const size = (variant >> 2) & 3;
  const signed = (variant & SIGNED) !== 0;
  const count = 16 >> size;
  const from = vectorSource(core, pc, count * bytes, 0);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  // From the last element down: none is overwritten before it is read.
  for (let i = count - 1; i >= 0; i--) {
    const value = element(words, from, i * bytes, bytes, signed);
    if (size === 1) {
      i--;
      words[to + (i >> 1)] = (element(words, from, i * bytes, bytes, signed) & 0xffff) | (value << 16);
    } else if (size === 2) words[to + i] = value;
    else {
      words[to + 2 * i + 1] = signed ? value >> 31 : 0;
      words[to + 2 * i] = value;
    }
  }
  return Status.Next;
}

const TO_HALF = 1 << 2;
const TO_WORD = 2 << 2;
const TO_QUAD = 3 << 2;

export const PACKED_ELEMENTS: Family = {
  pextrb: [extract, BYTE],
  pextrw: [extract, 1],
  pextrd: [extract, 0],
  extractps: [extract, 2],
  pinsrb: [insert, BYTE],
  pinsrw: [insert, 1],
  pinsrd: [insert, 0],
  insertps: insertSingle,
  pmovsxbw: [widen, 1 | TO_HALF | SIGNED],
  pmovsxbd: [widen, 1 | TO_WORD | SIGNED],
  pmovsxbq: [widen, 1 | TO_QUAD | SIGNED],
  pmovsxwd: [widen, 2 | TO_WORD | SIGNED],
  pmovsxwq: [widen, 2 | TO_QUAD | SIGNED],
  pmovsxdq: [widen, TO_QUAD | SIGNED],
  pmovzxbw: [widen, 1 | TO_HALF],
  pmovzxbd: [widen, 1 | TO_WORD],
  pmovzxbq: [widen, 1 | TO_QUAD],
  pmovzxwd: [widen, 2 | TO_WORD],
  pmovzxwq: [widen, 2 | TO_QUAD],
  pmovzxdq: [widen, TO_QUAD],
};
