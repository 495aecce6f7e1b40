import { carryFlag, setCarryOverflow, setLogic } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";

const ROL = 0;
const ROR = 1;
const RCL = 2;
const RCR = 3;
const SHL = 4;
const SHR = 5;
const SAR = 7;

/** Both leave the shifted pair in the core's lo and hi. */
function shiftLeft64(core: ExecutionCore, a: number, b: number, count: number): void {
  if (count === 0) {
    core.lo = a;
    core.hi = b;
  } else if (count < 32) {
    core.lo = a << count;
    core.hi = (b << count) | (a >>> (32 - count));
  } else {
    core.lo = 0;
    core.hi = count < 64 ? a << (count - 32) : 0;
  }
}

function shiftRight64(core: ExecutionCore, a: number, b: number, count: number): void {
  if (count === 0) {
    core.lo = a;
    core.hi = b;
  } else if (count < 32) {
    core.lo = (a >>> count) | (b << (32 - count));
    core.hi = b >>> count;
  } else {
    core.lo = count < 64 ? b >>> (count - 32) : 0;
    core.hi = 0;
  }
}

/** ROL, ROR, RCL, RCR, SHL, SHR, SAR by an immediate or CL. */
function shift(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, 0)) return Status.Fault;
  const count = core.lo & (size === 3 ? 63 : 31);
  if (!core.openFirst(pc, size)) return Status.Fault;
  const operation = core.variantOf(pc);
  if (count === 0) {
    core.setFirst(pc, size, core.lo, core.hi); // a 32-bit register still loses its upper half
    return Status.Next;
  }
  if (operation <= ROR) rotate(core, size, operation, count);
  else if (operation <= RCR) rotateThroughCarry(core, size, operation, count);
  else if (size === 3) shiftQword(core, operation, count);
  else shiftNarrow(core, size, operation, count);
  core.setFirst(pc, size, core.lo, core.hi);
  return Status.Next;
}

function shiftQword(core: ExecutionCore, operation: number, count: number): void {
  const { words, lo: a, hi: b } = core;
  let carry: number;
  let overflow: number;
  if (operation === SHL) {
    carry = count <= 32 ? (b >>> (32 - count)) & 1 : (a >>> (64 - count)) & 1;
    shiftLeft64(core, a, b, count);
    overflow = carry ^ (core.hi >>> 31);
  } else {
    carry = count <= 32 ? (count === 32 ? a >>> 31 : (a >>> (count - 1)) & 1) : (b >>> (count - 33)) & 1;
    if (operation === SHR) {
      shiftRight64(core, a, b, count);
      overflow = b >>> 31;
    } else {
      if (count < 32) {
        core.lo = (a >>> count) | (b << (32 - count));
        core.hi = b >> count;
      } else {
        core.lo = b >> (count - 32);
        core.hi = b >> 31;
      }
      overflow = 0;
    }
  }
  setLogic(words, 3, core.lo, core.hi);
  setCarryOverflow(words, carry, overflow);
}

function shiftNarrow(core: ExecutionCore, size: number, operation: number, count: number): void {
  const { words } = core;
  const bits = 8 << size;
  const mask = size === 2 ? -1 : (1 << bits) - 1;
  let carry: number;
  let overflow: number;
  core.hi = 0;
  if (operation === SHL) {
    const value = core.lo & mask;
    core.lo = value << count; // count is at most 31
    carry = count <= bits ? (value >>> (bits - count)) & 1 : 0;
    overflow = carry ^ ((core.lo >>> (bits - 1)) & 1);
  } else if (operation === SHR) {
    const value = core.lo & mask;
    core.lo = value >>> count;
    carry = (value >>> (count - 1)) & 1;
    overflow = (value >>> (bits - 1)) & 1;
  } else {
    // Narrow values come sign-extended.
    const value = core.lo;
    core.lo = value >> count;
    carry = (value >> (count - 1)) & 1;
    overflow = 0;
  }
  setLogic(words, size, core.lo, 0);
  setCarryOverflow(words, carry, overflow);
}

/** ROL and ROR: only CF and OF change. */
function rotate(core: ExecutionCore, size: number, operation: number, count: number): void {
  const { words } = core;
  const bits = 8 << size;
  const turn = operation === ROL ? count % bits : (bits - (count % bits)) % bits;
  const a = core.lo;
  const b = core.hi;
  if (size === 3) {
    shiftLeft64(core, a, b, turn);
    const leftLo = core.lo;
    const leftHi = core.hi;
    if (turn !== 0) {
      shiftRight64(core, a, b, 64 - turn);
      core.lo |= leftLo;
      core.hi |= leftHi;
    }
  } else if (size === 2) {
    core.lo = turn === 0 ? a : (a << turn) | (a >>> (32 - turn));
    core.hi = 0;
  } else {
    const value = a & ((1 << bits) - 1);
    core.lo = (value << turn) | (value >>> (bits - turn));
    core.hi = 0;
  }
  const top = size === 3 ? core.hi >>> 31 : (core.lo >>> (bits - 1)) & 1;
  if (operation === ROL) setCarryOverflow(words, core.lo & 1, top ^ (core.lo & 1));
  else {
    const next = size === 3 ? (core.hi >>> 30) & 1 : (core.lo >>> (bits - 2)) & 1;
    setCarryOverflow(words, top, top ^ next);
  }
}

/** RCL and RCR, one bit at a time. */
function rotateThroughCarry(core: ExecutionCore, size: number, operation: number, count: number): void {
  const { words } = core;
  const bits = 8 << size;
  let carry = carryFlag(words);
  let a = size < 2 ? core.lo & ((1 << bits) - 1) : core.lo;
  let b = core.hi;
  const turns = size === 3 ? count : count % (bits + 1);
  let overflow = 0;
  for (let i = 0; i < turns; i++) {
    if (operation === RCL) {
      const out = size === 3 ? b >>> 31 : (a >>> (bits - 1)) & 1;
      if (size === 3) b = (b << 1) | (a >>> 31);
      a = (a << 1) | carry;
      if (size < 2) a &= (1 << bits) - 1;
      carry = out;
    } else {
      const out = a & 1;
      a = (a >>> 1) | (size === 3 ? (b & 1) << 31 : carry << (bits - 1));
      if (size === 3) b = (b >>> 1) | (carry << 31);
      carry = out;
    }
  }
  const top = size === 3 ? b >>> 31 : (a >>> (bits - 1)) & 1;
  const next = size === 3 ? (b >>> 30) & 1 : (a >>> (bits - 2)) & 1;
  overflow = operation === RCL ? top ^ carry : top ^ next;
  core.lo = a;
  core.hi = b;
  setCarryOverflow(words, carry, overflow);
}

/** SHLD and SHRD. */
function doubleShift(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const { words, code } = core;
  const left = (core.variantOf(pc) & 1) === 0;
  const byCl = (core.variantOf(pc) & 2) !== 0;
  const count = (byCl ? words[2] : code[pc + 7]) & (size === 3 ? 63 : 31);
  if (!core.openFirst(pc, size)) return Status.Fault;
  const aLo = core.lo;
  const aHi = core.hi;
  if (count === 0) {
    core.setFirst(pc, size, aLo, aHi);
    return Status.Next;
  }
  core.readRegister(code[pc + 2], size);
  const bLo = core.lo;
  const bHi = core.hi;
  let carry: number;
  let oldTop: number;
  let top: number;
  if (size === 3) {
    oldTop = aHi >>> 31;
    if (left) {
      shiftRight64(core, aLo, aHi, 64 - count);
      carry = core.lo & 1;
      shiftRight64(core, bLo, bHi, 64 - count);
      const lowLo = core.lo;
      const lowHi = core.hi;
      shiftLeft64(core, aLo, aHi, count);
      core.lo |= lowLo;
      core.hi |= lowHi;
    } else {
      shiftRight64(core, aLo, aHi, count - 1);
      carry = core.lo & 1;
      shiftLeft64(core, bLo, bHi, 64 - count);
      const highLo = core.lo;
      const highHi = core.hi;
      shiftRight64(core, aLo, aHi, count);
      core.lo |= highLo;
      core.hi |= highHi;
    }
    top = core.hi >>> 31;
  } else if (size === 2) {
    oldTop = aLo >>> 31;
    core.hi = 0;
    if (left) {
      carry = (aLo >>> (32 - count)) & 1;
      core.lo = (aLo << count) | (bLo >>> (32 - count));
    } else {
      carry = (aLo >>> (count - 1)) & 1;
      core.lo = (aLo >>> count) | (bLo << (32 - count));
    }
    top = core.lo >>> 31;
  } else {
    // 16 bits: counts beyond 16 shift in the destination again, as processors do.
    const a = aLo & 0xffff;
    const b = bLo & 0xffff;
    oldTop = a >>> 15;
    core.hi = 0;
    if (left) {
      const joined = (a << 16) | b;
      core.lo = count <= 16 ? (joined << count) >>> 16 : (((b << 16) | a) << (count - 16)) >>> 16;
      carry = count <= 16 ? (a >>> (16 - count)) & 1 : (b >>> (32 - count)) & 1;
    } else {
      const joined = (b << 16) | a;
      core.lo = (count <= 16 ? joined >>> count : ((a << 16) | b) >>> (count - 16)) & 0xffff;
      carry = count <= 16 ? (a >>> (count - 1)) & 1 : (b >>> (count - 17)) & 1;
    }
    top = (core.lo >>> 15) & 1;
  }
  setLogic(words, size, core.lo, core.hi);
  setCarryOverflow(words, carry, top ^ oldTop);
  core.setFirst(pc, size, core.lo, core.hi);
  return Status.Next;
}

export const SHIFTS: Family = {
  rol: [shift, ROL],
  ror: [shift, ROR],
  rcl: [shift, RCL],
  rcr: [shift, RCR],
  shl: [shift, SHL],
  shr: [shift, SHR],
  sar: [shift, SAR],
  shld: [doubleShift, 0],
  shrd: [doubleShift, 1],
};
