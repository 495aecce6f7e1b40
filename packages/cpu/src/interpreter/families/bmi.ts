import { setCarry, setLogic } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";

/*
 * VEX-encoded bit manipulation (BMI1, BMI2; SDM vol. 2, exception type 13). Entries have the destination in A, the
 * ModRM.rm operand second, and the state word of the VEX.vvvv register in `Immediate`.
 */

const SHLX = 0;
const SARX = 2;
const RORX = 3;
const BLSR = 0;
const BLSMSK = 1;
const PDEP = 0;

/** The second operand to lo, hi; VEX is undefined in real and virtual-8086 mode. @returns Status.Next when it is there */
function source(core: ExecutionCore, pc: number, size: number): number {
  if (core.realAddressing) return core.undefined();
  return core.second(pc, size) ? Status.Next : Status.Fault;
}

/** The register of VEX.vvvv to lo, hi. */
function vexRegister(core: ExecutionCore, pc: number, size: number): void {
  core.readRegister(core.code[pc + Entry.Immediate], size);
}

/** Result with SF, ZF; CF as given, OF clear. */
function finish(
  core: ExecutionCore,
  pc: number,
  size: number,
  lo: number,
  hi: number,
  carry: number,
): number {
  core.writeRegister(core.code[pc + Entry.A], size, lo, hi);
  setLogic(core.words, size, lo, hi);
  setCarry(core.words, carry);
  return Status.Next;
}

function andn(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const status = source(core, pc, size);
  if (status !== Status.Next) return status;
  const { lo, hi } = core;
  vexRegister(core, pc, size);
  return finish(core, pc, size, ~core.lo & lo, ~core.hi & hi, 0);
}

/** BLSR, BLSMSK, BLSI: the lowest set bit reset, a mask up to it, it alone. */
function lowestBit(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const status = source(core, pc, size);
  if (status !== Status.Next) return status;
  const { lo, hi } = core;
  const zero = (lo | hi) === 0 ? 1 : 0;
  const operation = core.variantOf(pc);
  const lessLo = (lo - 1) | 0;
  const lessHi = (hi - (lo === 0 ? 1 : 0)) | 0;
  if (operation === BLSR) return finish(core, pc, size, lo & lessLo, hi & lessHi, zero);
  if (operation === BLSMSK) return finish(core, pc, size, lo ^ lessLo, hi ^ lessHi, zero);
  return finish(core, pc, size, lo & ~lessLo, hi & ~lessHi, zero ^ 1);
}

/** Keeps the low `count` bits of a word. */
function lowBits(value: number, count: number): number {
  return count >= 32 ? value : count <= 0 ? 0 : value & ((1 << count) - 1);
}

function bzhi(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const status = source(core, pc, size);
  if (status !== Status.Next) return status;
  const { lo, hi } = core;
  vexRegister(core, pc, size);
  const count = core.lo & 0xff;
  return finish(core, pc, size, lowBits(lo, count), lowBits(hi, count - 32), count > (8 << size) - 1 ? 1 : 0);
}

/** BEXTR: start in bits 7:0 of the register, length in bits 15:8. */
function bextr(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const status = source(core, pc, size);
  if (status !== Status.Next) return status;
  let { lo, hi } = core;
  vexRegister(core, pc, size);
  const start = core.lo & 0xff;
  const length = (core.lo >>> 8) & 0xff;
  if (start >= 64) lo = hi = 0;
  else if (start >= 32) {
    lo = hi >>> (start - 32);
    hi = 0;
  } else if (start > 0) {
    lo = (lo >>> start) | (hi << (32 - start));
    hi >>>= start;
  }
  return finish(core, pc, size, lowBits(lo | 0, length), lowBits(hi | 0, length - 32), 0);
}

/** SHLX, SHRX, SARX, RORX: no flags. */
function shiftExtended(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const status = source(core, pc, size);
  if (status !== Status.Next) return status;
  let { lo, hi } = core;
  const operation = core.variantOf(pc);
  let count = core.code[pc + Entry.Immediate];
  if (operation !== RORX) {
    vexRegister(core, pc, size);
    count = core.lo;
  }
  if (size !== 3) {
    count &= 31;
    if (operation === SHLX) lo <<= count;
    else if (operation === SARX) lo >>= count;
    else lo = (lo >>> count) | (operation === RORX && count !== 0 ? lo << (32 - count) : 0);
    core.writeRegister(core.code[pc + Entry.A], size, lo, 0);
    return Status.Next;
  }
  count &= 63;
  // Whole words first, then the rest.
  if (count >= 32) {
    const old = lo;
    lo = operation === SHLX ? 0 : hi;
    hi = operation === SHLX || operation === RORX ? old : operation === SARX ? hi >> 31 : 0;
    count -= 32;
  }
  if (count !== 0) {
    const back = 32 - count;
    const oldLo = lo;
    if (operation === SHLX) {
      lo <<= count;
      hi = (hi << count) | (oldLo >>> back);
    } else {
      lo = (lo >>> count) | (hi << back);
      hi = operation === SARX ? hi >> count : (hi >>> count) | (operation === RORX ? oldLo << back : 0);
    }
  }
  core.writeRegister(core.code[pc + Entry.A], 3, lo, hi);
  return Status.Next;
}

/** PDEP scatters the low bits of the register to where the mask has ones, PEXT gathers them. */
function depositExtract(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const status = source(core, pc, size);
  if (status !== Status.Next) return status;
  const { lo: maskLo, hi: maskHi } = core;
  vexRegister(core, pc, size);
  const { lo, hi } = core;
  const deposit = core.variantOf(pc) === PDEP;
  let toLo = 0;
  let toHi = 0;
  let low = 0; // position among the low bits
  for (let place = 0; place < 64; place++) {
    const inMask = place < 32 ? maskLo >>> place : maskHi >>> (place - 32);
    if ((inMask & 1) === 0) continue;
    const from = deposit ? low : place;
    const to = deposit ? place : low;
    low++;
    const bit = (from < 32 ? lo >>> from : hi >>> (from - 32)) & 1;
    if (to < 32) toLo |= bit << to;
    else toHi |= bit << (to - 32);
  }
  core.writeRegister(core.code[pc + Entry.A], size, toLo, toHi);
  return Status.Next;
}

export const BMI: Family = {
  andn,
  blsr: [lowestBit, BLSR],
  blsmsk: [lowestBit, BLSMSK],
  blsi: [lowestBit, 2],
  bzhi,
  bextr,
  shlx: [shiftExtended, SHLX],
  shrx: [shiftExtended, 1],
  sarx: [shiftExtended, SARX],
  rorx: [shiftExtended, RORX],
  pdep: [depositExtract, PDEP],
  pext: [depositExtract, 1],
};
