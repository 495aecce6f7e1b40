import { State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  enterMmx,
  isVector,
  loadVector,
  mmxUsable,
  storeVector,
  vectorAddress,
  vectorSource,
  wordsOf,
  xmmUsable,
} from "../vector-operands.js";

/** Variants of {@link move16}: bits that an address must not have. */
const UNALIGNED = 0;
const ALIGNED = 15;

/** Whole registers: MOVAPS and its kin, with alignment or without. */
function move16(core: ExecutionCore, pc: number): number {
  if (!xmmUsable(core)) return Status.Fault;
  const { code, words } = core;
  const form = code[pc + Entry.Form];
  const to = code[pc + Entry.A];
  if ((form & (Form.MemoryFirst | Form.MemorySecond)) === 0) {
    const from = code[pc + Entry.B];
    words[to] = words[from];
    words[to + 1] = words[from + 1];
    words[to + 2] = words[from + 2];
    words[to + 3] = words[from + 3];
    return Status.Next;
  }
  const write = (form & Form.MemoryFirst) !== 0;
  if (!vectorAddress(core, pc, 16, core.variantOf(pc), write)) return Status.Fault;
  const { mmu, view } = core;
  const at = write ? mmu.write(core.eaLo, core.eaHi, 16) : mmu.read(core.eaLo, core.eaHi, 16);
  if (at < 0) {
    core.memoryFault(core.segmentOf(pc));
    return Status.Fault;
  }
  if (write) {
    const from = code[pc + Entry.B];
    view.setInt32(at, words[from], true);
    view.setInt32(at + 4, words[from + 1], true);
    view.setInt32(at + 8, words[from + 2], true);
    view.setInt32(at + 12, words[from + 3], true);
    if (mmu.writePending !== 0) mmu.commitWrite();
  } else {
    words[to] = view.getInt32(at, true);
    words[to + 1] = view.getInt32(at + 4, true);
    words[to + 2] = view.getInt32(at + 8, true);
    words[to + 3] = view.getInt32(at + 12, true);
  }
  return Status.Next;
}

/** MOVSS, MOVSD: the variant is the bytes. From memory the rest is cleared, between registers it stays. */
function moveScalar(core: ExecutionCore, pc: number): number {
  const bytes = core.variantOf(pc);
  const { code, words } = core;
  if ((code[pc + Entry.Form] & Form.MemoryFirst) !== 0)
    return xmmUsable(core) && storeVector(core, pc, code[pc + Entry.B], bytes, 0)
      ? Status.Next
      : Status.Fault;
  const from = vectorSource(core, pc, bytes, 0);
  if (from < 0) return Status.Fault;
  const to = code[pc + Entry.A];
  const inMemory = from === State.VectorSource;
  words[to] = words[from];
  if (bytes === 8 || inMemory) words[to + 1] = words[from + 1];
  if (inMemory) {
    words[to + 2] = 0;
    words[to + 3] = 0;
  }
  return Status.Next;
}

const LOW_HALF = 0;
const HIGH_HALF = 2;
const HIGH_TO_LOW = 4;
const LOW_TO_HIGH = 5;

/** MOVLPS, MOVHPS, MOVLPD, MOVHPD, and MOVHLPS and MOVLHPS between registers. */
function moveHalf(core: ExecutionCore, pc: number): number {
  const half = core.variantOf(pc);
  const { code, words } = core;
  if ((code[pc + Entry.Form] & Form.MemoryFirst) !== 0)
    return xmmUsable(core) && storeVector(core, pc, code[pc + Entry.B] + half, 8, 0)
      ? Status.Next
      : Status.Fault;
  let from = vectorSource(core, pc, 8, 0);
  if (from < 0) return Status.Fault;
  let to = code[pc + Entry.A];
  if (half === HIGH_TO_LOW) from += 2;
  else if (half !== LOW_HALF) to += 2;
  const low = words[from];
  words[to + 1] = words[from + 1];
  words[to] = low;
  return Status.Next;
}

/** MOVD and MOVQ between a general register or memory and the low words of an MMX or XMM register. */
function moveGeneral(core: ExecutionCore, pc: number): number {
  const { code, words } = core;
  const size = core.sizeOf(pc);
  const toGeneral = code[pc + Entry.B] >= State.Fpr;
  const register = code[pc + (toGeneral ? Entry.B : Entry.A)];
  const wide = isVector(register);
  if (wide ? !xmmUsable(core) : !mmxUsable(core)) return Status.Fault;
  if (toGeneral) {
    if (!core.writeFirst(pc, size, words[register], words[register + 1])) return Status.Fault;
    if (!wide) enterMmx(words);
    return Status.Next;
  }
  if (!core.second(pc, size)) return Status.Fault;
  setLow(words, register, core.lo, core.hi);
  return Status.Next;
}

/** Writes an MMX register, or the low half of an XMM register and clears the other. */
function setLow(words: Int32Array, register: number, lo: number, hi: number): void {
  words[register] = lo;
  words[register + 1] = hi;
  if (isVector(register)) {
    words[register + 2] = 0;
    words[register + 3] = 0;
  } else {
    enterMmx(words);
    words[register + 2] = 0xffff;
  }
}

/** MOVQ and MOVNTQ: 64 bits between registers of one kind, or registers and memory. */
function moveQuad(core: ExecutionCore, pc: number): number {
  const { code, words } = core;
  const form = code[pc + Entry.Form];
  const write = (form & Form.MemoryFirst) !== 0;
  const register = code[pc + (write ? Entry.B : Entry.A)];
  const wide = isVector(register);
  if (wide ? !xmmUsable(core) : !mmxUsable(core)) return Status.Fault;
  if (write) {
    if (!storeVector(core, pc, register, 8, 0)) return Status.Fault;
    if (!wide) enterMmx(words);
    return Status.Next;
  }
  const inMemory = (form & Form.MemorySecond) !== 0;
  const from = inMemory ? loadVector(core, pc, 8, 0) : code[pc + Entry.B];
  if (from < 0) return Status.Fault;
  setLow(words, register, words[from], words[from + 1]);
  return Status.Next;
}

/** MOVQ2DQ and MOVDQ2Q. */
function moveBetween(core: ExecutionCore, pc: number): number {
  if (!xmmUsable(core) || !mmxUsable(core)) return Status.Fault;
  const { code, words } = core;
  const from = code[pc + Entry.B];
  setLow(words, code[pc + Entry.A], words[from], words[from + 1]);
  enterMmx(words);
  return Status.Next;
}

const EVEN_WORDS = 0;
const ODD_WORDS = 1;

/** MOVSLDUP, MOVSHDUP: each even or odd word twice. */
function duplicateWords(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const which = core.variantOf(pc);
  const low = words[from + which];
  const high = words[from + 2 + which];
  words[to] = low;
  words[to + 1] = low;
  words[to + 2] = high;
  words[to + 3] = high;
  return Status.Next;
}

/** MOVDDUP: the low 64 bits twice. */
function duplicateQuad(core: ExecutionCore, pc: number): number {
  const from = vectorSource(core, pc, 8, 0);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const low = words[from];
  const high = words[from + 1];
  words[to] = low;
  words[to + 1] = high;
  words[to + 2] = low;
  words[to + 3] = high;
  return Status.Next;
}

/** Bits 7, 15, 23 and 31 of a word, gathered. */
function byteSigns(word: number): number {
  return Math.imul((word >>> 7) & 0x01010101, 0x10204080) >>> 28;
}

const BYTES = 0;
const SINGLES = 1;
const DOUBLES = 2;

/** PMOVMSKB, MOVMSKPS, MOVMSKPD: sign bits to a general register. */
function moveMask(core: ExecutionCore, pc: number): number {
  const { code, words } = core;
  const from = code[pc + Entry.B];
  const wide = isVector(from);
  if (wide ? !xmmUsable(core) : !mmxUsable(core)) return Status.Fault;
  const which = core.variantOf(pc);
  let mask = 0;
  if (which === DOUBLES) mask = (words[from + 1] >>> 31) | ((words[from + 3] >>> 31) << 1);
  else {
    const count = wordsOf(from);
    for (let i = 0; i < count; i++)
      mask |= which === SINGLES ? (words[from + i] >>> 31) << i : byteSigns(words[from + i]) << (4 * i);
  }
  core.writeRegister(code[pc + Entry.A], 2, mask, 0);
  if (!wide) enterMmx(words);
  return Status.Next;
}

/** Zen 3 stores MASKMOVDQU in two halves: a fault of the first one comes before segment and form of the second. */
function faultOfFirstHalf(core: ExecutionCore, pc: number): void {
  const { mmu } = core;
  const settled = core.faultVector === Vector.Pf || core.faultVector === Vector.Ac || core.faultIsExit;
  if (settled || !core.address(pc, 8, true)) return;
  if (mmu.write(core.eaLo, core.eaHi, 8) < 0) core.memoryFault(core.segmentOf(pc));
  mmu.writePending = 0;
}

/** Whether so many bytes at a 32-bit address in 64-bit code end behind its last one. */
function wraps(core: ExecutionCore, pc: number, bytes: number): boolean {
  if (core.mode !== 64 || ((core.code[pc + Entry.Form] >> Form.AddressShift) & 3) === 3) return false;
  core.offsetOf(pc);
  return (core.lo >>> 0) + bytes > 0x1_0000_0000;
}

/**
 * As Zen 3 stores what {@link wraps}: a whole access to each half tells of faults, up to what lies behind the last 32-bit
 * address; then each chosen byte goes to its own address, and a fault keeps those before it.
 */
function storeByteByByte(core: ExecutionCore, pc: number, bytes: number): number {
  const { code, words, mmu } = core;
  const segment = core.segmentOf(pc);
  for (let half = 0; half < bytes; half += 8) {
    if (!core.addressAfter(pc, half, 8, true) || !core.aligned(8)) return Status.Fault;
    const at = mmu.write(core.eaLo, core.eaHi, 8);
    mmu.writePending = 0;
    if (at < 0) {
      core.memoryFault(segment);
      return Status.Fault;
    }
  }
  for (let i = 0; i < bytes; i++) {
    const word = i >> 2;
    const shift = 8 * (i & 3);
    if (((words[code[pc + Entry.B] + word] >>> shift) & 0x80) === 0) continue;
    const value = words[code[pc + Entry.A] + word] >>> shift;
    if (!core.addressAfter(pc, i, 1, true) || !core.store(0, value, 0, segment)) return Status.Fault;
  }
  return Status.Next;
}

/** MASKMOVQ, MASKMOVDQU: bytes whose mask has its top bit set go to DS:rDI, which lowering leaves as the base. */
function maskedStore(core: ExecutionCore, pc: number): number {
  const { code, words, mmu } = core;
  const from = code[pc + Entry.A];
  const mask = code[pc + Entry.B];
  const wide = isVector(from);
  if (wide ? !xmmUsable(core) : !mmxUsable(core)) return Status.Fault;
  const bytes = wide ? 16 : 8;
  // Zen 3 has entered MMX before it looks at the address.
  if (!wide && core.amd) enterMmx(words);
  if (core.amd && wraps(core, pc, bytes)) return storeByteByByte(core, pc, bytes);
  const reached = core.address(pc, bytes, true) && core.aligned(8);
  const at = reached ? mmu.write(core.eaLo, core.eaHi, bytes) : -2;
  if (at < 0) {
    if (at === -1) core.memoryFault(core.segmentOf(pc));
    if (wide && core.amd) faultOfFirstHalf(core, pc);
    return Status.Fault;
  }
  const { u8 } = core;
  for (let i = 0; i < bytes; i++) {
    const shift = 8 * (i & 3);
    if (((words[mask + (i >> 2)] >>> shift) & 0x80) !== 0) u8[at + i] = words[from + (i >> 2)] >>> shift;
  }
  if (mmu.writePending !== 0) mmu.commitWrite();
  if (!wide) enterMmx(words);
  return Status.Next;
}

export const VECTOR_MOVES: Family = {
  movups: [move16, UNALIGNED],
  movupd: [move16, UNALIGNED],
  movdqu: [move16, UNALIGNED],
  lddqu: [move16, UNALIGNED],
  movaps: [move16, ALIGNED],
  movapd: [move16, ALIGNED],
  movdqa: [move16, ALIGNED],
  movntps: [move16, ALIGNED],
  movntpd: [move16, ALIGNED],
  movntdq: [move16, ALIGNED],
  movntdqa: [move16, ALIGNED],
  movss: [moveScalar, 4],
  movsd: [moveScalar, 8],
  movlps: [moveHalf, LOW_HALF],
  movlpd: [moveHalf, LOW_HALF],
  movhps: [moveHalf, HIGH_HALF],
  movhpd: [moveHalf, HIGH_HALF],
  movhlps: [moveHalf, HIGH_TO_LOW],
  movlhps: [moveHalf, LOW_TO_HIGH],
  movd: moveGeneral,
  movq: moveQuad,
  movntq: moveQuad,
  movq2dq: moveBetween,
  movdq2q: moveBetween,
  movsldup: [duplicateWords, EVEN_WORDS],
  movshdup: [duplicateWords, ODD_WORDS],
  movddup: duplicateQuad,
  pmovmskb: [moveMask, BYTES],
  movmskps: [moveMask, SINGLES],
  movmskpd: [moveMask, DOUBLES],
  maskmovq: maskedStore,
  maskmovdqu: maskedStore,
};
