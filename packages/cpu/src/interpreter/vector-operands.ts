import { Cr0, Cr4 } from "../control-registers.js";
import { SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import { Mxcsr } from "../floating-point/mxcsr.js";
import type { ExecutionCore } from "./core.js";
import { Entry, Form } from "./entry.js";
import { FpuStatusBit, noExceptionPending } from "./x87-unit.js";

const EM_TS = Cr0.Em | Cr0.Ts;

/*
 * Operands of MMX and XMM instructions. An operand is the state word where its first 32 bits lie; one in memory is
 * copied to State.VectorSource first, so that handlers see registers only.
 */

/** XMM instructions: #UD when they are off, #NM when the registers may be another task's (SDM vol. 3, 2.5). */
export function xmmUsable(core: ExecutionCore): boolean {
  const { words } = core;
  const on = (words[State.Cr4] & Cr4.OsFxsr) !== 0;
  if (on && (words[State.Cr0] & EM_TS) === 0) return true;
  if (!on || (words[State.Cr0] & Cr0.Em) !== 0) core.undefined();
  else core.raisePlain(Vector.Nm);
  return false;
}

/** MMX instructions: #UD, #NM, and #MF for what an x87 instruction left behind (SDM vol. 3, 12.5). */
export function mmxUsable(core: ExecutionCore): boolean {
  const { words } = core;
  if ((words[State.Cr0] & EM_TS) === 0) return noExceptionPending(core);
  if ((words[State.Cr0] & Cr0.Em) !== 0) core.undefined();
  else core.raisePlain(Vector.Nm);
  return false;
}

/** What every MMX instruction does to the x87 state: TOP = 0 and all registers in use (SDM vol. 3, table 12-1). */
export function enterMmx(words: Int32Array): void {
  words[State.FpuStatus] &= ~FpuStatusBit.Top;
  words[State.FpuInUse] = 0xff;
}

/** Whether an operand's state word is that of a vector register and not of an MMX register. */
export function isVector(word: number): boolean {
  return word >= State.Vector;
}

/**
 * Linear address of the entry's memory operand to eaLo, eaHi, segment and alignment checked.
 * @param alignment mask of address bits that raise #GP(0): 0, 15, or 63 for XSAVE's image
 */
export function vectorAddress(
  core: ExecutionCore,
  pc: number,
  bytes: number,
  alignment: number,
  write: boolean,
): boolean {
  if (core.address(pc, bytes, write)) {
    const image = bytes > 16;
    if ((core.eaLo & alignment) === 0) return image || core.aligned(bytes);
    // Implementations may check the alignment of FXSAVE's image by fours before its own rule (SDM vol. 2, FXSAVE).
    if (image && alignment === 15 && !core.aligned(4)) return false;
    core.protection();
    return false;
  }
  if (core.amd && alignment > 0 && core.faultVector === Vector.Ss) {
    // Zen 3 looks at the alignment before the limit.
    core.offsetOf(pc);
    const base = core.words[State.Segments + 8 * core.segmentOf(pc) + SegmentWord.BaseLo];
    if (((core.lo + base) & alignment) !== 0) core.protection();
  }
  return false;
}

/**
 * Copies an operand of 2, 4, 8 or 16 bytes from memory to State.VectorSource; the rest of the 16 bytes is zero.
 * @param alignment as of {@link vectorAddress}
 * @param touched bytes that are read: limit, alignment and canonical form are those of all the operand
 * @returns State.VectorSource, or -1 after a fault
 */
export function loadVector(
  core: ExecutionCore,
  pc: number,
  bytes: number,
  alignment: number,
  touched: number = bytes,
): number {
  if (!vectorAddress(core, pc, bytes, alignment, false)) return -1;
  if (touched < bytes && !core.canonicalOperand(bytes, core.segmentOf(pc))) return -1;
  const at = core.mmu.read(core.eaLo, core.eaHi, touched);
  if (at < 0) {
    core.memoryFault(core.segmentOf(pc));
    return -1;
  }
  const { view, words } = core;
  const to = State.VectorSource;
  words[to] = touched > 2 ? view.getInt32(at, true) : view.getUint16(at, true);
  words[to + 1] = touched > 4 ? view.getInt32(at + 4, true) : 0;
  words[to + 2] = touched > 8 ? view.getInt32(at + 8, true) : 0;
  words[to + 3] = touched > 8 ? view.getInt32(at + 12, true) : 0;
  return to;
}

/** Stores 4, 8 or 16 bytes of a register at the entry's address; parameters as of {@link loadVector}. */
export function storeVector(
  core: ExecutionCore,
  pc: number,
  from: number,
  bytes: number,
  alignment: number,
): boolean {
  if (!vectorAddress(core, pc, bytes, alignment, true)) return false;
  const { mmu } = core;
  const at = mmu.write(core.eaLo, core.eaHi, bytes);
  if (at < 0) return core.memoryFault(core.segmentOf(pc));
  const { view, words } = core;
  view.setInt32(at, words[from], true);
  if (bytes > 4) view.setInt32(at + 4, words[from + 1], true);
  if (bytes > 8) {
    view.setInt32(at + 8, words[from + 2], true);
    view.setInt32(at + 12, words[from + 3], true);
  }
  if (mmu.writePending !== 0) mmu.commitWrite();
  return true;
}

/** Alignment of 16-byte operands that are not moves: none on AMD where MXCSR says so (APM vol. 2, 8.2.14). */
function operandAlignment(core: ExecutionCore): number {
  return (core.words[State.Mxcsr] & Mxcsr.MisalignedMask) === 0 ? 15 : 0;
}

/**
 * Second operand of an instruction that only vector registers have, usability checked.
 * @param bytes of the operand in memory
 * @returns its state word, or -1 after a fault
 */
export function vectorSource(core: ExecutionCore, pc: number, bytes: number, alignment: number): number {
  if (!xmmUsable(core)) return -1;
  if ((core.code[pc + Entry.Form] & Form.MemorySecond) !== 0)
    return loadVector(core, pc, bytes, alignment & operandAlignment(core));
  return core.code[pc + Entry.B];
}

/**
 * Second operand of an instruction that comes with MMX and with aligned vector operands, usability checked. An MMX
 * destination's sign and exponent become ones, so nothing may fault any more afterwards.
 * @param narrow bytes of an MMX instruction's operand in memory
 * @param touched bytes that AMD's processors read of an XMM instruction's, see {@link loadVector}
 * @returns its state word, or -1 after a fault
 */
export function pairSource(core: ExecutionCore, pc: number, narrow = 8, touched = 16): number {
  const { code, words } = core;
  const inMemory = (code[pc + Entry.Form] & Form.MemorySecond) !== 0;
  const to = code[pc + Entry.A];
  if (isVector(to)) {
    if (!xmmUsable(core)) return -1;
    if (!inMemory) return code[pc + Entry.B];
    return loadVector(core, pc, 16, operandAlignment(core), core.amd ? touched : 16);
  }
  if (!mmxUsable(core)) return -1;
  const from = inMemory ? loadVector(core, pc, narrow, 0) : code[pc + Entry.B];
  if (from < 0) return -1;
  enterMmx(words);
  words[to + 2] = 0xffff;
  return from;
}

/** Words of a register: 2 for MMX, 4 for XMM. */
export function wordsOf(register: number): number {
  return isVector(register) ? 4 : 2;
}

/** Copies a register that is about to be overwritten to State.VectorOld. @returns that word */
export function keepOld(words: Int32Array, register: number): number {
  words[State.VectorOld] = words[register];
  words[State.VectorOld + 1] = words[register + 1];
  words[State.VectorOld + 2] = words[register + 2];
  words[State.VectorOld + 3] = words[register + 3];
  return State.VectorOld;
}

/** Byte `i` of a register. */
export function byteOf(words: Int32Array, register: number, i: number): number {
  return (words[register + (i >> 2)] >>> (8 * (i & 3))) & 0xff;
}

/** Word (16 bits) `i` of a register, zero-extended. */
export function halfOf(words: Int32Array, register: number, i: number): number {
  return (words[register + (i >> 1)] >>> (16 * (i & 1))) & 0xffff;
}
