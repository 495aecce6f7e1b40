import { Cr0 } from "../../control-registers.js";
import { Flag, State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { Class, classOf } from "../../floating-point/extended.js";
import { Slot } from "../../floating-point/float-context.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  clearPointers,
  FpuStatusBit,
  fpuOpcode,
  hasMemoryOperand,
  mayUseFpu,
  noExceptionPending,
  summarise,
} from "../x87-unit.js";

/** Control word after FNINIT. */
const INITIAL_CONTROL = 0x37f;
/** Masks, precision, rounding and the infinity bit; bit 6 is always set. */
const CONTROL_WRITABLE = 0x1f3f;
const CONTROL_ALWAYS = 0x40;
const ALL_MASKED = 0x3f;
const REGISTER_BYTES = 10;

/** FNINIT: registers keep their contents. */
function initialise(words: Int32Array): void {
  words[State.FpuControl] = INITIAL_CONTROL;
  words[State.FpuStatus] = 0;
  words[State.FpuInUse] = 0;
  clearPointers(words);
}

function fninit(core: ExecutionCore): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  initialise(core.words);
  return Status.Next;
}

function fnclex(core: ExecutionCore): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  core.words[State.FpuStatus] &=
    FpuStatusBit.Top | FpuStatusBit.C0 | FpuStatusBit.C1 | FpuStatusBit.C2 | FpuStatusBit.C3;
  return Status.Next;
}

/** FNENI, FNDISI and FNSETPM of the 8087 and 80287. */
function ignored(core: ExecutionCore): number {
  return mayUseFpu(core, false) ? Status.Next : Status.Fault;
}

function loadControl(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, true)) return Status.Fault;
  if (!core.address(pc, 2, false) || !core.load(1, core.segmentOf(pc))) return Status.Fault;
  setControl(core.words, core.lo);
  summarise(core.words);
  return Status.Next;
}

function setControl(words: Int32Array, value: number): void {
  words[State.FpuControl] = (value & CONTROL_WRITABLE) | CONTROL_ALWAYS;
}

function storeControl(core: ExecutionCore, pc: number): number {
  return storeWord(core, pc, core.words[State.FpuControl]);
}

/** FNSTSW to memory or AX. */
function storeStatus(core: ExecutionCore, pc: number): number {
  const status = core.words[State.FpuStatus];
  if (hasMemoryOperand(fpuOpcode(core, pc))) return storeWord(core, pc, status);
  if (!mayUseFpu(core, false)) return Status.Fault;
  core.writeRegister(State.Gpr, 1, status, 0);
  return Status.Next;
}

function storeWord(core: ExecutionCore, pc: number, value: number): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  const stored = core.address(pc, 2, true) && core.store(1, value, 0, core.segmentOf(pc));
  return stored ? Status.Next : Status.Fault;
}

/** Tags of all eight registers, two bits each: valid, zero, special, empty (SDM vol. 1, 8.1.7). */
function tagWord(core: ExecutionCore): number {
  const { words, float } = core;
  let tags = 0;
  for (let register = 0; register < 8; register++) {
    let tag = 3;
    if (((words[State.FpuInUse] >> register) & 1) !== 0) {
      const at = State.Fpr + 4 * register;
      float.unpack(Slot.A, words[at], words[at + 1], words[at + 2]);
      const kind = classOf(float.words, Slot.A);
      tag = kind === Class.Normal ? 0 : kind === Class.Zero ? 1 : 2;
    }
    tags |= tag << (2 * register);
  }
  return tags;
}

/** Layout of the environment: 32 or 16 bits wide, of protected or real and virtual-8086 mode (SDM vol. 1, 8.1.10). */
function isWide(core: ExecutionCore, pc: number): boolean {
  return core.sizeOf(pc) !== 1;
}

function isProtected(core: ExecutionCore): boolean {
  const { words } = core;
  return (words[State.Cr0] & Cr0.Pe) !== 0 && (words[State.Flags] & Flag.Vm) === 0;
}

/** Moves the linear address of the operand on. */
function advance(core: ExecutionCore, step: number): void {
  const lo = (core.eaLo + step) | 0;
  if (core.mode === 64 && lo >>> 0 < step) core.eaHi = (core.eaHi + 1) | 0;
  core.eaLo = lo;
}

/** Opens bytes at the working address. @returns their place in the arena, or -1 after a fault */
function open(core: ExecutionCore, pc: number, bytes: number, write: boolean): number {
  const { mmu, eaLo, eaHi } = core;
  const at = write ? mmu.write(eaLo, eaHi, bytes) : mmu.read(eaLo, eaHi, bytes);
  if (at < 0) core.memoryFault(core.segmentOf(pc));
  return at;
}

function commit(core: ExecutionCore): void {
  if (core.mmu.writePending !== 0) core.mmu.commitWrite();
}

/** Address from the start of the segment in real mode: 20 bits and more, the selector counted in. */
function realAddress(selector: number, offset: number): number {
  return ((selector << 4) + offset) | 0;
}

/** Writes the environment at the working address. */
function writeEnvironment(core: ExecutionCore, pc: number): boolean {
  const { words, view } = core;
  const wide = isWide(core, pc);
  const tags = tagWord(core);
  const at = open(core, pc, wide ? 28 : 14, true);
  if (at < 0) return false;
  const step = wide ? 4 : 2;
  const put = (index: number, value: number) => {
    if (wide) view.setInt32(at + step * index, value, true);
    else view.setInt16(at + step * index, value, true);
  };
  const upper = 0xffff0000 | 0;
  put(0, words[State.FpuControl] | upper);
  put(1, words[State.FpuStatus] | upper);
  put(2, tags | upper);
  const opcode = words[State.FpuOpcode] & 0x7ff;
  const codeSelector = words[State.FpuInstructionSelector];
  const dataSelector = words[State.FpuDataSelector];
  if (isProtected(core)) {
    put(3, words[State.FpuInstructionLo]);
    put(4, codeSelector | (opcode << 16));
    put(5, words[State.FpuDataLo]);
    put(6, dataSelector | upper);
  } else {
    const code = realAddress(codeSelector, words[State.FpuInstructionLo]);
    const data = realAddress(dataSelector, words[State.FpuDataLo]);
    put(3, (code & 0xffff) | upper);
    put(4, ((code >>> 16) << 12) | opcode);
    put(5, (data & 0xffff) | upper);
    put(6, (data >>> 16) << 12);
  }
  commit(core);
  return true;
}

/** Reads the environment at the working address. */
function readEnvironment(core: ExecutionCore, pc: number): boolean {
  const { words, view } = core;
  const wide = isWide(core, pc);
  const at = open(core, pc, wide ? 28 : 14, false);
  if (at < 0) return false;
  const step = wide ? 4 : 2;
  const get = (index: number) =>
    wide ? view.getInt32(at + step * index, true) : view.getUint16(at + step * index, true);
  setControl(words, get(0));
  words[State.FpuStatus] = get(1) & 0xffff;
  const tags = get(2);
  let inUse = 0;
  for (let register = 0; register < 8; register++)
    if (((tags >> (2 * register)) & 3) !== 3) inUse |= 1 << register;
  words[State.FpuInUse] = inUse;
  let code = get(3);
  let data = get(5);
  if (isProtected(core)) {
    words[State.FpuInstructionSelector] = get(4) & 0xffff;
    words[State.FpuOpcode] = wide ? (get(4) >> 16) & 0x7ff : 0;
    words[State.FpuDataSelector] = get(6) & 0xffff;
  } else {
    code = (code & 0xffff) | ((get(4) >>> 12) << 16);
    data = (data & 0xffff) | ((get(6) >>> 12) << 16);
    words[State.FpuInstructionSelector] = 0;
    words[State.FpuOpcode] = get(4) & 0x7ff;
    words[State.FpuDataSelector] = 0;
  }
  words[State.FpuInstructionLo] = code;
  words[State.FpuInstructionHi] = 0;
  words[State.FpuDataLo] = data;
  words[State.FpuDataHi] = 0;
  summarise(words);
  return true;
}

function environmentBytes(core: ExecutionCore, pc: number): number {
  return isWide(core, pc) ? 28 : 14;
}

/**
 * Address of an image to the working address. The first word and the last byte are tried before anything is touched, as
 * Zen 3 does; what spans two pages at most is then all there. On AMD the two have their own limit checks, in this order.
 */
function openImage(core: ExecutionCore, pc: number, bytes: number, write: boolean): boolean {
  const word = isWide(core, pc) ? 4 : 2;
  if (!core.address(pc, core.amd ? word : bytes, write) || !core.aligned(word)) return false;
  const { eaLo, eaHi, mmu } = core;
  let reachable = open(core, pc, word, write) >= 0;
  if (reachable) {
    mmu.writePending = 0;
    reachable = core.addressAfter(pc, bytes - 1, 1, write) && open(core, pc, 1, write) >= 0;
  }
  core.eaLo = eaLo;
  core.eaHi = eaHi;
  return reachable;
}

function storeEnvironment(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  if (!openImage(core, pc, environmentBytes(core, pc), true) || !writeEnvironment(core, pc))
    return Status.Fault;
  core.words[State.FpuControl] |= ALL_MASKED;
  summarise(core.words);
  return Status.Next;
}

function loadEnvironment(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, true)) return Status.Fault;
  if (!openImage(core, pc, environmentBytes(core, pc), false)) return Status.Fault;
  return readEnvironment(core, pc) ? Status.Next : Status.Fault;
}

/** Physical number of ST(i) under the current TOP. */
function registerWord(words: Int32Array, i: number): number {
  return State.Fpr + 4 * ((((words[State.FpuStatus] & FpuStatusBit.Top) >> 11) + i) & 7);
}

/** FNSAVE: environment and registers, then as FNINIT. */
function save(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  const bytes = environmentBytes(core, pc);
  const all = bytes + 8 * REGISTER_BYTES;
  if (!openImage(core, pc, all, true)) return Status.Fault;
  const { words, view } = core;
  if (!writeEnvironment(core, pc)) return Status.Fault;
  advance(core, bytes);
  for (let half = 0; half < 2; half++) {
    const at = open(core, pc, 4 * REGISTER_BYTES, true);
    if (at < 0) return Status.Fault;
    for (let i = 0; i < 4; i++) {
      const register = registerWord(words, 4 * half + i);
      view.setInt32(at + REGISTER_BYTES * i, words[register], true);
      view.setInt32(at + REGISTER_BYTES * i + 4, words[register + 1], true);
      view.setInt16(at + REGISTER_BYTES * i + 8, words[register + 2], true);
    }
    commit(core);
    advance(core, 4 * REGISTER_BYTES);
  }
  initialise(words);
  return Status.Next;
}

/** FRSTOR. */
function restore(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, true)) return Status.Fault;
  const bytes = environmentBytes(core, pc);
  const all = bytes + 8 * REGISTER_BYTES;
  if (!openImage(core, pc, all, false)) return Status.Fault;
  if (!readEnvironment(core, pc)) return Status.Fault;
  const { words, view } = core;
  advance(core, bytes);
  for (let half = 0; half < 2; half++) {
    const at = open(core, pc, 4 * REGISTER_BYTES, false);
    if (at < 0) return Status.Fault;
    for (let i = 0; i < 4; i++) {
      const register = registerWord(words, 4 * half + i);
      words[register] = view.getInt32(at + REGISTER_BYTES * i, true);
      words[register + 1] = view.getInt32(at + REGISTER_BYTES * i + 4, true);
      words[register + 2] = view.getUint16(at + REGISTER_BYTES * i + 8, true);
    }
    advance(core, 4 * REGISTER_BYTES);
  }
  return Status.Next;
}

/** WAIT: #NM with MP and TS, then a pending exception. */
function wait(core: ExecutionCore): number {
  const both = Cr0.Mp | Cr0.Ts;
  if ((core.words[State.Cr0] & both) === both) return core.raisePlain(Vector.Nm);
  return noExceptionPending(core) ? Status.Next : Status.Fault;
}

/** EMMS: all registers empty, TOP 0. */
function emms(core: ExecutionCore): number {
  const { words } = core;
  if ((words[State.Cr0] & Cr0.Em) !== 0) return core.undefined();
  if (!mayUseFpu(core, true)) return Status.Fault;
  words[State.FpuInUse] = 0;
  words[State.FpuStatus] &= ~FpuStatusBit.Top;
  return Status.Next;
}

/** FEMMS belongs to 3DNow!, which no profile has. */
function femms(core: ExecutionCore): number {
  return core.undefined();
}

export const X87_CONTROL: Family = {
  fninit,
  fnclex,
  fneni: ignored,
  fndisi: ignored,
  fnsetpm: ignored,
  fldcw: loadControl,
  fnstcw: storeControl,
  fnstsw: storeStatus,
  fldenv: loadEnvironment,
  fnstenv: storeEnvironment,
  fnsave: save,
  frstor: restore,
  wait,
  emms,
  femms,
};
