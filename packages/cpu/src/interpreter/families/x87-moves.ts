import { State } from "../../cpu-state.js";
import {
  indefinite,
  packBinary,
  packInteger,
  quietLoad,
  unpack32,
  unpack64,
  unpackInteger,
} from "../../floating-point/convert.js";
import { decimalIndefinite, packDecimal, unpackDecimal } from "../../floating-point/decimal.js";
import { defaultNan } from "../../floating-point/extended.js";
import { FloatFlag, Slot } from "../../floating-point/float-context.js";
import { Rounding } from "../../floating-point/rounding.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  begin,
  conclude,
  fpuOpcode,
  free,
  hasMemoryOperand,
  isEmpty,
  isSuppressed,
  pop,
  put,
  rotate,
  stackFault,
  take,
} from "../x87-unit.js";

/** log2 bytes of a significand in memory, and of a sign with its exponent. */
const SIGNIFICAND = 3;
const SIGN_EXPONENT = 1;

/** Opens bytes of the memory operand: their place in the arena, or -1 when the access faults. */
function openBytes(core: ExecutionCore, pc: number, bytes: number, write: boolean): number {
  if (!core.address(pc, bytes, write) || !core.aligned(8)) return -1;
  return access(core, pc, bytes, write);
}

function access(core: ExecutionCore, pc: number, bytes: number, write: boolean): number {
  const { mmu, eaLo, eaHi } = core;
  const at = write ? mmu.write(eaLo, eaHi, bytes) : mmu.read(eaLo, eaHi, bytes);
  if (at < 0) core.memoryFault(core.segmentOf(pc));
  return at;
}

/*
 * Ten bytes: AMD's processors take them as eight and two, each an access of its own, as seen on Zen 3: faults of the eight
 * come first, and the offset of the two wraps. Nothing is stored unless both can be.
 */

/** Reads ten bytes: eight to the core's lo and hi. @returns the other two, or -1 after a fault */
function loadTen(core: ExecutionCore, pc: number): number {
  if (!core.amd) {
    const at = openBytes(core, pc, 10, false);
    if (at < 0) return -1;
    core.lo = core.view.getInt32(at, true);
    core.hi = core.view.getInt32(at + 4, true);
    return core.view.getUint16(at + 8, true);
  }
  const segment = core.segmentOf(pc);
  if (!core.address(pc, 8, false) || !core.load(SIGNIFICAND, segment)) return -1;
  const { lo, hi } = core;
  if (!core.addressAfter(pc, 8, 2) || !core.load(SIGN_EXPONENT, segment)) return -1;
  const top = core.lo & 0xffff;
  core.lo = lo;
  core.hi = hi;
  return top;
}

/** As {@link storeValue}, of ten bytes. */
function storeTen(core: ExecutionCore, pc: number, lo: number, hi: number, top: number): boolean {
  const { view, mmu } = core;
  let at = openBytes(core, pc, core.amd ? 8 : 10, true);
  if (at >= 0 && core.amd) {
    mmu.writePending = 0;
    at = core.addressAfter(pc, 8, 2, true) ? access(core, pc, 2, true) : -1;
  }
  if (at < 0) return false;
  if (isSuppressed(core, true)) {
    mmu.writePending = 0;
    return true;
  }
  if (core.amd) {
    view.setInt16(at, top, true);
    if (mmu.writePending !== 0) mmu.commitWrite();
    return core.address(pc, 8, true) && core.store(SIGNIFICAND, lo, hi, core.segmentOf(pc));
  }
  view.setInt32(at, lo, true);
  view.setInt32(at + 4, hi, true);
  view.setInt16(at + 8, top, true);
  if (mmu.writePending !== 0) mmu.commitWrite();
  return true;
}

/** Pushes R. */
function push(core: ExecutionCore): void {
  rotate(core.words, -1);
  put(core, 0, Slot.R);
}

/** Pushes R unless an unmasked exception forbids it. */
function concludePush(core: ExecutionCore, pc: number): number {
  if (conclude(core, pc)) push(core);
  return Status.Next;
}

/** FLD of memory and of a register. */
function load(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const opcode = fpuOpcode(core, pc);
  const full = !isEmpty(words, 7);
  if (!hasMemoryOperand(opcode)) {
    const empty = isEmpty(words, opcode & 7);
    if (full || empty) stackFault(core, !empty);
    else take(core, opcode & 7, Slot.R);
    return concludePush(core, pc);
  }
  const group = opcode >> 8;
  if (group === 3) {
    const top = loadTen(core, pc);
    if (top < 0) return Status.Fault;
    float.unpack(Slot.R, core.lo, core.hi, top);
  } else {
    const size = group === 1 ? 2 : 3;
    if (!core.address(pc, 1 << size, false) || !core.load(size, core.segmentOf(pc))) return Status.Fault;
    if (!full) {
      if (group === 1) unpack32(float, Slot.A, core.lo);
      else unpack64(float, Slot.A, core.lo, core.hi);
      quietLoad(float);
    }
  }
  if (full) stackFault(core, true);
  // AMD's processors push a denormal in spite of an unmasked #D.
  const pushes = core.amd && float.flags === FloatFlag.Denormal;
  if (conclude(core, pc) || pushes) push(core);
  return Status.Next;
}

/** FILD. */
function loadInteger(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const size = integerSize(fpuOpcode(core, pc));
  if (!core.address(pc, 1 << size, false) || !core.load(size, core.segmentOf(pc))) return Status.Fault;
  if (!isEmpty(core.words, 7)) stackFault(core, true);
  else unpackInteger(core.float, Slot.R, core.lo, size === 3 ? core.hi : core.lo >> 31);
  return concludePush(core, pc);
}

/** log2 bytes of the integers of FILD, FIST, FISTP and FISTTP. */
function integerSize(opcode: number): number {
  const group = opcode >> 8;
  if (group === 3) return 2;
  const register = (opcode >> 3) & 7;
  return group === 5 || register >= 4 ? 3 : 1;
}

/** FBLD. */
function loadDecimal(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const top = loadTen(core, pc);
  if (top < 0) return Status.Fault;
  if (!isEmpty(core.words, 7)) stackFault(core, true);
  else unpackDecimal(core.float, Slot.R, core.lo, core.hi, top);
  return concludePush(core, pc);
}

/** FST and FSTP (variant 1). */
function store(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const opcode = fpuOpcode(core, pc);
  const empty = isEmpty(words, 0);
  if (empty) stackFault(core, false);
  if (!hasMemoryOperand(opcode)) {
    if (!empty) take(core, 0, Slot.R);
    if (!conclude(core, pc)) return Status.Next;
    put(core, opcode & 7, Slot.R);
    if (core.variantOf(pc) === 1) pop(words);
    return Status.Next;
  }
  const group = opcode >> 8;
  let stored: boolean;
  if (group === 3) {
    if (!empty) take(core, 0, Slot.R);
    const value = float.words;
    stored = storeTen(core, pc, value[Slot.R], value[Slot.R + 1], float.signExponent(Slot.R));
  } else {
    const bits = group === 1 ? 32 : 64;
    take(core, 0, Slot.A);
    if (empty) float.copy(Slot.R, Slot.A);
    packBinary(float, bits);
    stored = storeValue(core, pc, bits === 32 ? 2 : 3);
  }
  return stored ? concludeStore(core, pc) : Status.Fault;
}

/** FSTPNCE: FSTP to a register which only pops when ST(0) is empty. */
function storeUnchecked(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { words } = core;
  conclude(core, pc);
  if (!isEmpty(words, 0)) {
    take(core, 0, Slot.R);
    put(core, fpuOpcode(core, pc) & 7, Slot.R);
  }
  pop(words);
  return Status.Next;
}

/**
 * Stores `float.lo` and `float.hi` unless an unmasked exception forbids it; the operand has to be writable all the same.
 * @returns false when the access faults
 */
function storeValue(core: ExecutionCore, pc: number, size: number): boolean {
  if (isSuppressed(core, true)) return probeOperand(core, pc, 1 << size);
  const { float } = core;
  return core.address(pc, 1 << size, true) && core.store(size, float.lo, float.hi, core.segmentOf(pc));
}

function probeOperand(core: ExecutionCore, pc: number, bytes: number): boolean {
  const { mmu } = core;
  if (!core.address(pc, bytes, true) || !core.aligned(bytes)) return false;
  const reachable = mmu.write(core.eaLo, core.eaHi, bytes) >= 0;
  mmu.writePending = 0;
  return reachable || core.memoryFault(core.segmentOf(pc));
}

function concludeStore(core: ExecutionCore, pc: number): number {
  const suppressed = isSuppressed(core, true);
  conclude(core, pc);
  if (!suppressed && core.variantOf(pc) !== 0) pop(core.words);
  return Status.Next;
}

/** FIST, FISTP (variant 1) and FISTTP (2), which truncates. */
function storeInteger(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float } = core;
  const size = integerSize(fpuOpcode(core, pc));
  const bits = 8 << size;
  if (isEmpty(core.words, 0)) {
    stackFault(core, false);
    indefinite(float, bits);
  } else {
    take(core, 0, Slot.A);
    if (core.variantOf(pc) === 2) float.rounding = Rounding.Zero;
    packInteger(float, bits);
  }
  return storeValue(core, pc, size) ? concludeStore(core, pc) : Status.Fault;
}

/** FBSTP. */
function storeDecimal(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float } = core;
  let top = 0;
  if (isEmpty(core.words, 0)) {
    stackFault(core, false);
    top = decimalIndefinite(float);
  } else {
    take(core, 0, Slot.A);
    top = packDecimal(float, Slot.A);
  }
  return storeTen(core, pc, float.lo, float.hi, top) ? concludeStore(core, pc) : Status.Fault;
}

/**
 * FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: significand cut to 64 bits, sign and exponent, and whether rounding
 * to nearest goes up.
 */
const CONSTANTS: readonly (readonly [number, number, number, boolean])[] = [
  [0, 0x80000000 | 0, 0x3fff, false],
  [0xcd1b8afe | 0, 0xd49a784b | 0, 0x4000, false],
  [0x5c17f0bb, 0xb8aa3b29 | 0, 0x3fff, true],
  [0x2168c234, 0xc90fdaa2 | 0, 0x4000, true],
  [0xfbcff798 | 0, 0x9a209a84 | 0, 0x3ffd, true],
  [0xd1cf79ab | 0, 0xb17217f7 | 0, 0x3ffe, true],
  [0, 0, 0, false],
];

/** The constants follow the rounding control, and raise no #P. */
function loadConstant(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float } = core;
  if (!isEmpty(core.words, 7)) stackFault(core, true);
  else {
    const [lo, hi, exponent, nearestUp] = CONSTANTS[core.variantOf(pc)];
    const irrational = lo !== 0;
    const up = float.rounding === Rounding.Up || (float.rounding === Rounding.Nearest && nearestUp);
    float.unpack(Slot.R, irrational && up ? lo + 1 : lo, hi, exponent);
  }
  return concludePush(core, pc);
}

/** FXCH; an empty register counts as the indefinite when the stack fault is masked. */
function exchange(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const other = fpuOpcode(core, pc) & 7;
  const firstEmpty = isEmpty(words, 0);
  const otherEmpty = isEmpty(words, other);
  if (firstEmpty || otherEmpty) stackFault(core, false);
  if (!conclude(core, pc)) return Status.Next;
  take(core, 0, Slot.A);
  take(core, other, Slot.B);
  if (firstEmpty || otherEmpty) {
    defaultNan(float);
    if (firstEmpty) float.copy(Slot.R, Slot.A);
    if (otherEmpty) float.copy(Slot.R, Slot.B);
  }
  put(core, 0, Slot.B);
  put(core, other, Slot.A);
  return Status.Next;
}

/** FFREE, and FFREEP (variant 1), which pops as well. */
function freeRegister(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { words } = core;
  conclude(core, pc);
  free(words, fpuOpcode(core, pc) & 7);
  if (core.variantOf(pc) === 1) pop(words);
  return Status.Next;
}

/** FDECSTP (variant 0), FNOP (1), FINCSTP (2): TOP moves, tags do not. FNOP leaves C1 as well. */
function moveTop(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const status = core.words[State.FpuStatus];
  conclude(core, pc);
  if (core.variantOf(pc) === 1) core.words[State.FpuStatus] = status;
  rotate(core.words, core.variantOf(pc) - 1);
  return Status.Next;
}

export const X87_MOVES: Family = {
  fld: load,
  fild: loadInteger,
  fbld: loadDecimal,
  fst: [store, 0],
  fstp: [store, 1],
  fstpnce: storeUnchecked,
  fist: [storeInteger, 0],
  fistp: [storeInteger, 1],
  fisttp: [storeInteger, 2],
  fbstp: [storeDecimal, 1],
  fld1: [loadConstant, 0],
  fldl2t: [loadConstant, 1],
  fldl2e: [loadConstant, 2],
  fldpi: [loadConstant, 3],
  fldlg2: [loadConstant, 4],
  fldln2: [loadConstant, 5],
  fldz: [loadConstant, 6],
  fxch: exchange,
  ffree: [freeRegister, 0],
  ffreep: [freeRegister, 1],
  fdecstp: [moveTop, 0],
  fnop: [moveTop, 1],
  fincstp: [moveTop, 2],
};
