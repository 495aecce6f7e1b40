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

/** Address from the start of the segment in real mode: 20 bits and more, the selector counted in. */
function realAddress(selector: number, offset: number): number {
  return ((selector << 4) + offset) | 0;
}

/** Puts the environment into the image. */
function putEnvironment(core: ExecutionCore): void {
  const { words, x87Image: image } = core;
  const upper = 0xffff0000 | 0;
  image.put(0, words[State.FpuControl] | upper);
  image.put(1, words[State.FpuStatus] | upper);
  image.put(2, tagWord(core) | upper);
  const opcode = words[State.FpuOpcode] & 0x7ff;
  const codeSelector = words[State.FpuInstructionSelector];
  const dataSelector = words[State.FpuDataSelector];
  if (isProtected(core)) {
    image.put(3, words[State.FpuInstructionLo]);
    image.put(4, codeSelector | (opcode << 16));
    image.put(5, words[State.FpuDataLo]);
    image.put(6, dataSelector | upper);
  } else {
    const code = realAddress(codeSelector, words[State.FpuInstructionLo]);
    const data = realAddress(dataSelector, words[State.FpuDataLo]);
    image.put(3, (code & 0xffff) | upper);
    image.put(4, ((code >>> 16) << 12) | opcode);
    image.put(5, (data & 0xffff) | upper);
    image.put(6, (data >>> 16) << 12);
  }
}

/** Takes the environment from the image. */
function takeEnvironment(core: ExecutionCore): void {
  const { words, x87Image: image } = core;
  setControl(words, image.field(0));
  words[State.FpuStatus] = image.field(1) & 0xffff;
  const tags = image.field(2);
  let inUse = 0;
  for (let register = 0; register < 8; register++)
    if (((tags >> (2 * register)) & 3) !== 3) inUse |= 1 << register;
  words[State.FpuInUse] = inUse;
  const selector = image.field(4);
  let code = image.field(3);
  let data = image.field(5);
  if (isProtected(core)) {
    words[State.FpuInstructionSelector] = selector & 0xffff;
    // Zero in the narrow format.
    words[State.FpuOpcode] = (selector >> 16) & 0x7ff;
    words[State.FpuDataSelector] = image.field(6) & 0xffff;
  } else {
    code = (code & 0xffff) | ((selector >>> 12) << 16);
    data = (data & 0xffff) | ((image.field(6) >>> 12) << 16);
    words[State.FpuInstructionSelector] = 0;
    words[State.FpuOpcode] = selector & 0x7ff;
    words[State.FpuDataSelector] = 0;
  }
  words[State.FpuInstructionLo] = code;
  words[State.FpuInstructionHi] = 0;
  words[State.FpuDataLo] = data;
  words[State.FpuDataHi] = 0;
  summarise(words);
}

function storeEnvironment(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  const { x87Image: image } = core;
  if (!image.open(core, pc, isWide(core, pc), false, true)) return Status.Fault;
  putEnvironment(core);
  if (!image.write(core, pc)) return Status.Fault;
  core.words[State.FpuControl] |= ALL_MASKED;
  summarise(core.words);
  return Status.Next;
}

function loadEnvironment(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, true)) return Status.Fault;
  const { x87Image: image } = core;
  if (!image.open(core, pc, isWide(core, pc), false, false) || !image.read(core, pc)) return Status.Fault;
  takeEnvironment(core);
  return Status.Next;
}

/** Physical number of ST(i) under the current TOP. */
function registerWord(words: Int32Array, i: number): number {
  return State.Fpr + 4 * ((((words[State.FpuStatus] & FpuStatusBit.Top) >> 11) + i) & 7);
}

/** FNSAVE: environment and registers, then as FNINIT. */
function save(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, false)) return Status.Fault;
  const { words, x87Image: image } = core;
  if (!image.open(core, pc, isWide(core, pc), true, true)) return Status.Fault;
  putEnvironment(core);
  for (let i = 0; i < 8; i++) image.putRegister(i, words, registerWord(words, i));
  if (!image.write(core, pc)) return Status.Fault;
  initialise(words);
  return Status.Next;
}

/** FRSTOR. */
function restore(core: ExecutionCore, pc: number): number {
  if (!mayUseFpu(core, true)) return Status.Fault;
  const { words, x87Image: image } = core;
  if (!image.open(core, pc, isWide(core, pc), true, false) || !image.read(core, pc)) return Status.Fault;
  takeEnvironment(core);
  for (let i = 0; i < 8; i++) image.takeRegister(i, words, registerWord(words, i));
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
