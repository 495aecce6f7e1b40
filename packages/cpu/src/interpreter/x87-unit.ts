import { Cr0 } from "../control-registers.js";
import { Segment, SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import { defaultNan } from "../floating-point/extended.js";
import { FloatFlag, Slot } from "../floating-point/float-context.js";
import type { ExecutionCore } from "./core.js";
import { Entry } from "./entry.js";

/** Bits of the x87 status word beside the exception flags (SDM vol. 1, 8.1.3). */
export const FpuStatusBit = {
  /** Exception summary: an exception that is not masked is pending. */
  Es: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  Top: 0x3800,
  C3: 0x4000,
  Busy: 0x8000,
} as const;
const TOP_SHIFT = 11;
const EXCEPTIONS = 0x3f;
const CONDITIONS = FpuStatusBit.C0 | FpuStatusBit.C1 | FpuStatusBit.C2 | FpuStatusBit.C3;

/** #NM and, for waiting instructions, #MF: raised before anything else. */
export function mayUseFpu(core: ExecutionCore, waiting: boolean): boolean {
  const { words } = core;
  if ((words[State.Cr0] & (Cr0.Em | Cr0.Ts)) !== 0) {
    core.raisePlain(Vector.Nm);
    return false;
  }
  return !waiting || noExceptionPending(core);
}

/** #MF when an exception is pending; without CR0.NE it would be FERR#, and IGNNE# is taken to be asserted. */
export function noExceptionPending(core: ExecutionCore): boolean {
  const { words } = core;
  if ((words[State.FpuStatus] & FpuStatusBit.Es) === 0 || (words[State.Cr0] & Cr0.Ne) === 0) return true;
  core.raisePlain(Vector.Mf);
  return false;
}

/** As {@link mayUseFpu} for a waiting instruction that computes; takes rounding and masks from the control word. */
export function begin(core: ExecutionCore): boolean {
  if (!mayUseFpu(core, true)) return false;
  core.float.begin(core.words[State.FpuControl]);
  return true;
}

/** Opcode of the entry: the low three bits of the escape byte and ModRM, 11 bits. */
export function fpuOpcode(core: ExecutionCore, pc: number): number {
  return core.code[pc + Entry.Immediate];
}

export function hasMemoryOperand(opcode: number): boolean {
  return (opcode & 0xc0) !== 0xc0;
}

function topOf(words: Int32Array): number {
  return (words[State.FpuStatus] >> TOP_SHIFT) & 7;
}

/** Physical number of ST(i). */
function physical(words: Int32Array, i: number): number {
  return (topOf(words) + i) & 7;
}

/** Moves TOP by a step. */
export function rotate(words: Int32Array, step: number): void {
  const top = (topOf(words) + step) & 7;
  words[State.FpuStatus] = (words[State.FpuStatus] & ~FpuStatusBit.Top) | (top << TOP_SHIFT);
}

export function isEmpty(words: Int32Array, i: number): boolean {
  return ((words[State.FpuInUse] >> physical(words, i)) & 1) === 0;
}

export function free(words: Int32Array, i: number): void {
  words[State.FpuInUse] &= ~(1 << physical(words, i));
}

export function pop(words: Int32Array): void {
  free(words, 0);
  rotate(words, 1);
}

/** Unpacks ST(i). */
export function take(core: ExecutionCore, i: number, slot: number): void {
  const { words } = core;
  const at = State.Fpr + 4 * physical(words, i);
  core.float.unpack(slot, words[at], words[at + 1], words[at + 2]);
}

/** ST(i) = a slot; the register is in use then. */
export function put(core: ExecutionCore, i: number, slot: number): void {
  const { words, float } = core;
  const register = physical(words, i);
  const at = State.Fpr + 4 * register;
  words[at] = float.words[slot];
  words[at + 1] = float.words[slot + 1];
  words[at + 2] = float.signExponent(slot);
  words[State.FpuInUse] |= 1 << register;
}

/** Replaces the condition codes, C1 included. */
export function setConditions(words: Int32Array, conditions: number): void {
  words[State.FpuStatus] = (words[State.FpuStatus] & ~CONDITIONS) | conditions;
}

/** Whether an unmasked exception keeps the result from being written. */
export function isSuppressed(core: ExecutionCore, toMemory: boolean): boolean {
  const { flags, masks } = core.float;
  const kinds = FloatFlag.Invalid | FloatFlag.Denormal | FloatFlag.ZeroDivide;
  const all = toMemory ? kinds | FloatFlag.Overflow | FloatFlag.Underflow : kinds;
  return (flags & ~masks & all) !== 0;
}

/** Stack underflow or overflow: #IS. R is the real indefinite. */
export function stackFault(core: ExecutionCore, overflow: boolean): void {
  const { float } = core;
  float.flags = FloatFlag.Invalid | FloatFlag.StackFault | (overflow ? FloatFlag.C1 : 0);
  defaultNan(float);
}

/**
 * Ends an instruction that is no control instruction: exception flags, C1 and the pointers to the instruction and its
 * operand.
 * @returns whether the result may be written
 */
export function conclude(core: ExecutionCore, pc: number): boolean {
  const { words, float } = core;
  const { flags } = float;
  words[State.FpuStatus] = (words[State.FpuStatus] & ~FpuStatusBit.C1) | (flags & (0x7f | FloatFlag.C1));
  const unmasked = flags & ~float.masks & EXCEPTIONS;
  if (unmasked !== 0) words[State.FpuStatus] |= FpuStatusBit.Es | FpuStatusBit.Busy;
  notePointers(core, pc, unmasked !== 0);
  return !isSuppressed(core, false);
}

/**
 * Last instruction and data pointers. Intel's later processors change the data pointer only with an exception, and store
 * selectors as 0 (CPUID leaf 7 EBX bits 6 and 13). AMD's keep them all, and FXSAVE shows them while an exception is
 * pending (APM vol. 2, 11.4.4).
 */
function notePointers(core: ExecutionCore, pc: number, pending: boolean): void {
  const { words } = core;
  const opcode = fpuOpcode(core, pc);
  words[State.FpuOpcode] = opcode;
  core.thisRip(pc);
  words[State.FpuInstructionLo] = core.lo;
  words[State.FpuInstructionHi] = core.hi;
  words[State.FpuInstructionSelector] = core.amd ? selectorOf(core, Segment.Cs) : 0;
  if ((!core.amd && !pending) || !hasMemoryOperand(opcode)) return;
  core.offsetOf(pc);
  words[State.FpuDataLo] = core.lo;
  words[State.FpuDataHi] = core.hi;
  words[State.FpuDataSelector] = core.amd ? selectorOf(core, core.segmentOf(pc)) : 0;
}

/** Last instruction and data pointers as FNINIT leaves them. */
export function clearPointers(words: Int32Array): void {
  words[State.FpuOpcode] = 0;
  words[State.FpuInstructionLo] = 0;
  words[State.FpuInstructionHi] = 0;
  words[State.FpuInstructionSelector] = 0;
  words[State.FpuDataLo] = 0;
  words[State.FpuDataHi] = 0;
  words[State.FpuDataSelector] = 0;
}

function selectorOf(core: ExecutionCore, segment: number): number {
  return core.words[State.Segments + 8 * segment + SegmentWord.Selector] & 0xffff;
}

/** Sets or clears the exception summary by flags and masks: after either was loaded. */
export function summarise(words: Int32Array): void {
  const pending = words[State.FpuStatus] & ~words[State.FpuControl] & EXCEPTIONS;
  words[State.FpuStatus] &= ~(FpuStatusBit.Es | FpuStatusBit.Busy);
  if (pending !== 0) words[State.FpuStatus] |= FpuStatusBit.Es | FpuStatusBit.Busy;
}

/** Writes R to ST(0) unless an unmasked exception keeps it. */
export function concludeTop(core: ExecutionCore, pc: number): void {
  if (conclude(core, pc)) put(core, 0, Slot.R);
}
