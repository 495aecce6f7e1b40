import { Segment } from "../../cpu-state.js";
import { setCarry, setLogic, setZero } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";

const BT = 0;
const BTS = 1;
const BTR = 2;

/** BT, BTS, BTR, BTC: only CF changes. A register bit number reaches memory beyond the operand. */
function bitTest(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const { code, words } = core;
  const form = code[pc + Entry.Form];
  const operation = core.variantOf(pc);
  core.second(pc, size);
  const number = core.lo;
  const numberHi = size === 3 && (form & Form.ImmediateSecond) === 0 ? core.hi : number >> 31;
  const bit = number & ((8 << size) - 1);
  const inMemory = (form & Form.MemoryFirst) !== 0;
  if (inMemory && (form & Form.ImmediateSecond) === 0) {
    // Byte offset of the unit that holds the bit: floor(number / bits) * bytes.
    const shift = 3 + size;
    const unitLo = (number >>> shift) | (numberHi << (32 - shift));
    const stepLo = unitLo << size;
    const stepHi = ((numberHi >> shift) << size) | (unitLo >>> (32 - size));
    core.offsetOf(pc);
    const addressSize = (form >> Form.AddressShift) & 3;
    const base = core.lo;
    let lo = (base + stepLo) | 0;
    let hi = (core.hi + stepHi + (lo >>> 0 < base >>> 0 ? 1 : 0)) | 0;
    if (addressSize !== 3) hi = 0;
    if (addressSize === 1) lo &= 0xffff;
    const segment = core.segmentOf(pc);
    if (!core.linearize(segment, lo, hi, 1 << size, operation !== BT)) return Status.Fault;
    if (operation === BT ? !core.load(size, segment) : !core.modify(size, segment)) return Status.Fault;
  } else if (operation === BT ? !core.first(pc, size) : !core.openFirst(pc, size)) return Status.Fault;
  let { lo, hi } = core;
  const old = bit < 32 ? (lo >>> bit) & 1 : (hi >>> (bit - 32)) & 1;
  if (operation !== BT) {
    const maskLo = bit < 32 ? 1 << bit : 0;
    const maskHi = bit < 32 ? 0 : 1 << (bit - 32);
    if (operation === BTS) {
      lo |= maskLo;
      hi |= maskHi;
    } else if (operation === BTR) {
      lo &= ~maskLo;
      hi &= ~maskHi;
    } else {
      lo ^= maskLo;
      hi ^= maskHi;
    }
    core.setFirst(pc, size, lo, hi);
  }
  setCarry(words, old);
  return Status.Next;
}

/** BSF, BSR: a zero source leaves the destination as it was (a 32-bit one still loses its upper half). */
function bitScan(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { words } = core;
  const lo = size < 2 ? core.lo & 0xffff : core.lo;
  const hi = core.hi;
  const zero = (lo | hi) === 0;
  if (!zero) {
    const forward = core.variantOf(pc) === 0;
    core.writeRegister(
      core.code[pc + Entry.A],
      size,
      forward ? trailingZeros(lo, hi) : 63 - leadingZeros(lo, hi),
      0,
    );
  }
  setLogic(words, size, lo, hi);
  setZero(words, zero);
  return Status.Next;
}

function trailingZeros(lo: number, hi: number): number {
  return lo !== 0 ? 31 - Math.clz32(lo & -lo) : 63 - Math.clz32(hi & -hi);
}

function leadingZeros(lo: number, hi: number): number {
  return hi !== 0 ? Math.clz32(hi) : 32 + Math.clz32(lo);
}

/** TZCNT, LZCNT: a zero source gives the operand's width and CF. */
function countZeros(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { words } = core;
  const bits = 8 << size;
  const lo = size < 2 ? core.lo & 0xffff : core.lo;
  const hi = core.hi;
  const zero = (lo | hi) === 0;
  const trailing = core.variantOf(pc) === 0;
  const count = zero ? bits : trailing ? trailingZeros(lo, hi) : leadingZeros(lo, hi) - (64 - bits);
  core.writeRegister(core.code[pc + Entry.A], size, count, 0);
  setLogic(words, size, count, 0);
  setCarry(words, zero ? 1 : 0);
  return Status.Next;
}

function popcnt(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { words } = core;
  const lo = size < 2 ? core.lo & 0xffff : core.lo;
  const count = ones(lo) + ones(core.hi);
  core.writeRegister(core.code[pc + Entry.A], size, count, 0);
  setLogic(words, 2, 1, 0); // OF, SF, AF, CF, PF clear
  setZero(words, count === 0);
  return Status.Next;
}

function ones(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function swap(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24) | 0;
}

/** BSWAP; of a 16-bit register it is undefined, and processors clear it. */
function bswap(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const register = core.code[pc + Entry.A];
  core.readRegister(register, size);
  if (size === 1) core.writeRegister(register, 1, 0, 0);
  else if (size === 2) core.writeRegister(register, 2, swap(core.lo), 0);
  else core.writeRegister(register, 3, swap(core.hi), swap(core.lo));
  return Status.Next;
}

function movbe(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { lo, hi } = core;
  const done =
    size === 1
      ? core.writeFirst(pc, 1, ((lo >> 8) & 0xff) | (lo << 8), 0)
      : size === 2
        ? core.writeFirst(pc, 2, swap(lo), 0)
        : core.writeFirst(pc, 3, swap(hi), swap(lo));
  return done ? Status.Next : Status.Fault;
}

/** The CRC-32C polynomial, bit-reflected. */
const CRC32C = 0x82f63b78;

function crc32cWord(crc: number, bytes: number): number {
  let rest = crc;
  for (let i = 0; i < 8 * bytes; i++) rest = (rest >>> 1) ^ (CRC32C & -(rest & 1));
  return rest;
}

/** CRC32: the destination is 32 bits (or 64 whose upper half becomes zero), the source any size. */
function crc32(core: ExecutionCore, pc: number): number {
  const size = core.variantOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { words, code } = core;
  const mask = size === 0 ? 0xff : size === 1 ? 0xffff : -1;
  const register = code[pc + Entry.A];
  let crc = crc32cWord(words[register] ^ (core.lo & mask), Math.min(1 << size, 4));
  if (size === 3) crc = crc32cWord(crc ^ core.hi, 4);
  core.writeRegister(register, 2, crc, 0);
  return Status.Next;
}

/** CMPXCHG8B and CMPXCHG16B: only ZF changes. */
function cmpxchgPair(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const wide = core.sizeOf(pc) === 3;
  const bytes = wide ? 16 : 8;
  if (!core.address(pc, bytes, true)) return Status.Fault;
  if (wide && (core.eaLo & 15) !== 0) return core.protection();
  if (!core.aligned(8)) return Status.Fault;
  const segment = core.segmentOf(pc);
  const at = core.mmu.write(core.eaLo, core.eaHi, bytes);
  if (at < 0) {
    core.memoryFault(segment);
    return Status.Fault;
  }
  const { view } = core;
  const half = bytes >> 1;
  // Low half against rAX, high half against rDX; the replacement is rCX:rBX.
  let equal = view.getInt32(at, true) === words[0] && view.getInt32(at + half, true) === words[4];
  if (wide)
    equal =
      equal && view.getInt32(at + 4, true) === words[1] && view.getInt32(at + half + 4, true) === words[5];
  if (equal) {
    view.setInt32(at, words[6], true);
    view.setInt32(at + half, words[2], true);
    if (wide) {
      view.setInt32(at + 4, words[7], true);
      view.setInt32(at + half + 4, words[3], true);
    }
  } else {
    words[0] = view.getInt32(at, true);
    words[4] = view.getInt32(at + half, true);
    words[1] = wide ? view.getInt32(at + 4, true) : 0;
    words[5] = wide ? view.getInt32(at + half + 4, true) : 0;
  }
  if (core.mmu.writePending !== 0) core.mmu.commitWrite();
  if ((code[pc + Entry.Form] & Form.Lock) !== 0) core.chargeAtomic();
  setZero(words, equal);
  return Status.Next;
}

/** BOUND: the index must lie between the two bounds in memory. */
function bound(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const { code } = core;
  core.readRegister(code[pc + Entry.A], size);
  const index = core.lo;
  if (core.amd) return boundEach(core, pc, size, index);
  if (!core.address(pc, 2 << size, false) || !core.load(size, Segment.Ds)) return Status.Fault;
  // Below the lower bound the upper one is not read any more.
  if (index < core.lo) return core.raisePlain(5);
  core.eaLo = (core.eaLo + (1 << size)) | 0;
  if (!core.load(size, Segment.Ds)) return Status.Fault;
  return index > core.lo ? core.raisePlain(5) : Status.Next;
}

/** Zen 3 reads both bounds before it compares, each with a limit check of its own. */
function boundEach(core: ExecutionCore, pc: number, size: number, index: number): number {
  const segment = core.segmentOf(pc);
  if (!core.address(pc, 1 << size, false) || !core.load(size, segment)) return Status.Fault;
  const lower = core.lo;
  if (!core.addressAfter(pc, 1 << size, 1 << size) || !core.load(size, segment)) return Status.Fault;
  return index < lower || index > core.lo ? core.raisePlain(5) : Status.Next;
}

export const BITS: Family = {
  bt: [bitTest, BT],
  bts: [bitTest, BTS],
  btr: [bitTest, BTR],
  btc: [bitTest, 3],
  bsf: [bitScan, 0],
  bsr: [bitScan, 1],
  tzcnt: [countZeros, 0],
  lzcnt: [countZeros, 1],
  popcnt,
  bswap,
  movbe,
  crc32,
  cmpxchg8b: cmpxchgPair,
  bound,
};
