import { State } from "../../cpu-state.js";
import {
  carryFlag,
  setAdd,
  setCarry,
  setCarryOverflow,
  setLogic,
  setSubtract,
} from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";

const ADD = 0;
const OR = 1;
const ADC = 2;
const SBB = 3;
const AND = 4;
const SUB = 5;
const XOR = 6;
const CMP = 7;
const TEST = 8;

/** ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST. */
function alu(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const operation = core.variantOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const bLo = core.lo;
  const bHi = core.hi;
  if (operation >= CMP ? !core.first(pc, size) : !core.openFirst(pc, size)) return Status.Fault;
  const aLo = core.lo;
  const aHi = core.hi;
  const { words } = core;
  let lo = 0;
  let hi = 0;
  switch (operation) {
    case ADD:
    case ADC: {
      const carry = operation === ADC ? carryFlag(words) : 0;
      lo = (aLo + bLo + carry) | 0;
      const out = carry !== 0 ? lo >>> 0 <= aLo >>> 0 : lo >>> 0 < aLo >>> 0;
      hi = (aHi + bHi + (out ? 1 : 0)) | 0;
      setAdd(words, size, aLo, aHi, bLo, bHi, lo, hi);
      break;
    }
    case SUB:
    case SBB:
    case CMP: {
      const borrow = operation === SBB ? carryFlag(words) : 0;
      lo = (aLo - bLo - borrow) | 0;
      const out = borrow !== 0 ? aLo >>> 0 <= bLo >>> 0 : aLo >>> 0 < bLo >>> 0;
      hi = (aHi - bHi - (out ? 1 : 0)) | 0;
      setSubtract(words, size, aLo, aHi, bLo, bHi, lo, hi);
      break;
    }
    default:
      if (operation === OR) {
        lo = aLo | bLo;
        hi = aHi | bHi;
      } else if (operation === XOR) {
        lo = aLo ^ bLo;
        hi = aHi ^ bHi;
      } else {
        lo = aLo & bLo;
        hi = aHi & bHi;
      }
      setLogic(words, size, lo, hi);
  }
  if (operation < CMP) core.setFirst(pc, size, lo, hi);
  return Status.Next;
}

const INC = 0;
const DEC = 1;
const NEG = 2;

/** INC and DEC (CF unchanged), NEG. */
function unary(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.openFirst(pc, size)) return Status.Fault;
  const { words } = core;
  const aLo = core.lo;
  const aHi = core.hi;
  const operation = core.variantOf(pc);
  if (operation === NEG) {
    const lo = -aLo | 0;
    const hi = (-aHi - (aLo !== 0 ? 1 : 0)) | 0;
    setSubtract(words, size, 0, 0, aLo, aHi, lo, hi);
    core.setFirst(pc, size, lo, hi);
    return Status.Next;
  }
  const carry = carryFlag(words);
  if (operation === INC) {
    const lo = (aLo + 1) | 0;
    const hi = (aHi + (lo === 0 ? 1 : 0)) | 0;
    setAdd(words, size, aLo, aHi, 1, 0, lo, hi);
    setCarry(words, carry);
    core.setFirst(pc, size, lo, hi);
  } else {
    const lo = (aLo - 1) | 0;
    const hi = (aHi - (aLo === 0 ? 1 : 0)) | 0;
    setSubtract(words, size, aLo, aHi, 1, 0, lo, hi);
    setCarry(words, carry);
    core.setFirst(pc, size, lo, hi);
  }
  return Status.Next;
}

function not(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.openFirst(pc, size)) return Status.Fault;
  core.setFirst(pc, size, ~core.lo, ~core.hi);
  return Status.Next;
}

/** CBW, CWDE, CDQE. */
function extendAccumulator(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  core.readRegister(0, size - 1);
  core.writeRegister(0, size, core.lo, core.lo >> 31);
  return Status.Next;
}

/** CWD, CDQ, CQO. */
function signAccumulator(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  core.readRegister(0, size);
  const sign = (size === 3 ? core.hi : core.lo) >> 31;
  core.writeRegister(4, size, sign, sign);
  return Status.Next;
}

function xadd(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.openFirst(pc, size)) return Status.Fault;
  const { words } = core;
  const aLo = core.lo;
  const aHi = core.hi;
  core.second(pc, size);
  const bLo = core.lo;
  const bHi = core.hi;
  const lo = (aLo + bLo) | 0;
  const hi = (aHi + bHi + (lo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  setAdd(words, size, aLo, aHi, bLo, bHi, lo, hi);
  core.writeRegister(core.code[pc + 2], size, aLo, aHi);
  core.setFirst(pc, size, lo, hi);
  return Status.Next;
}

/** ADCX and ADOX: an addition whose carry is CF or OF; no other flag changes. */
function addWithFlag(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const { words, code } = core;
  const bLo = core.lo;
  const bHi = core.hi;
  core.readRegister(code[pc + Entry.A], size);
  const byOverflow = core.variantOf(pc) === 1;
  const old = words[State.FlagsCarry];
  const cf = old >>> 31;
  const of = cf ^ ((old >>> 30) & 1);
  const low = (core.lo >>> 0) + (bLo >>> 0) + (byOverflow ? of : cf);
  const carry = low > 0xffffffff ? 1 : 0;
  const high = (core.hi >>> 0) + (bHi >>> 0) + carry;
  const out = size === 3 ? (high > 0xffffffff ? 1 : 0) : carry;
  core.writeRegister(code[pc + Entry.A], size, low | 0, high | 0);
  setCarryOverflow(words, byOverflow ? cf : out, byOverflow ? out : of);
  return Status.Next;
}

function cmpxchg(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.openFirst(pc, size)) return Status.Fault;
  const { words } = core;
  const oldLo = core.lo;
  const oldHi = core.hi;
  core.readRegister(0, size);
  const aLo = core.lo;
  const aHi = core.hi;
  const lo = (aLo - oldLo) | 0;
  const hi = (aHi - oldHi - (aLo >>> 0 < oldLo >>> 0 ? 1 : 0)) | 0;
  setSubtract(words, size, aLo, aHi, oldLo, oldHi, lo, hi);
  if (words[State.FlagsZero] === 0) {
    core.second(pc, size);
    core.setFirst(pc, size, core.lo, core.hi);
  } else {
    // Memory is written anyway; a register is not touched at all and keeps its upper half.
    if ((core.code[pc + Entry.Form] & Form.MemoryFirst) !== 0) core.setFirst(pc, size, oldLo, oldHi);
    core.writeRegister(0, size, oldLo, oldHi);
  }
  return Status.Next;
}

/** Binary-coded decimal: DAA, DAS, AAA, AAS (32-bit modes only). */
function decimal(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const variant = core.variantOf(pc);
  const ax = words[0] & 0xffff;
  let al = ax & 0xff;
  const adjust = (al & 15) > 9 || (words[State.FlagsCarry] & 8) !== 0;
  if (variant < 2) {
    const oldAl = al;
    const oldCarry = carryFlag(words);
    const sign = variant === 0 ? 1 : -1;
    let carry = 0;
    if (adjust) {
      carry = oldCarry | (variant === 0 ? (al + 6 > 0xff ? 1 : 0) : al < 6 ? 1 : 0);
      al = (al + sign * 6) & 0xff;
    }
    if (oldAl > 0x99 || oldCarry !== 0) {
      al = (al + sign * 0x60) & 0xff;
      carry = 1;
    }
    words[0] = (words[0] & ~0xff) | al;
    setLogic(words, 0, al, 0);
    words[State.FlagsCarry] = (carry << 31) | (carry << 30) | (adjust ? 8 : 0);
    return Status.Next;
  }
  let result = ax;
  if (adjust) result = (variant === 2 ? ax + 0x106 : ax - 0x106) & 0xffff;
  result &= 0xff0f;
  words[0] = (words[0] & ~0xffff) | result;
  setLogic(words, 0, result, 0);
  words[State.FlagsCarry] = adjust ? (3 << 30) | 8 : 0;
  return Status.Next;
}

function aad(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const base = core.code[pc + 7] & 0xff;
  const al = ((words[0] & 0xff) + ((words[0] >> 8) & 0xff) * base) & 0xff;
  words[0] = (words[0] & ~0xffff) | al;
  setLogic(words, 0, al, 0);
  return Status.Next;
}

function aam(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const base = core.code[pc + 7] & 0xff;
  if (base === 0) return core.raisePlain(0);
  const al = words[0] & 0xff;
  const rest = al % base;
  words[0] = (words[0] & ~0xffff) | (((al - rest) / base) << 8) | rest;
  setLogic(words, 0, rest, 0);
  return Status.Next;
}

export const ARITHMETIC: Family = {
  add: [alu, ADD],
  or: [alu, OR],
  adc: [alu, ADC],
  sbb: [alu, SBB],
  and: [alu, AND],
  sub: [alu, SUB],
  xor: [alu, XOR],
  cmp: [alu, CMP],
  test: [alu, TEST],
  inc: [unary, INC],
  dec: [unary, DEC],
  neg: [unary, NEG],
  not,
  cbw: extendAccumulator,
  cwd: signAccumulator,
  xadd,
  cmpxchg,
  adcx: [addWithFlag, 0],
  adox: [addWithFlag, 1],
  daa: [decimal, 0],
  das: [decimal, 1],
  aaa: [decimal, 2],
  aas: [decimal, 3],
  aad,
  aam,
};
