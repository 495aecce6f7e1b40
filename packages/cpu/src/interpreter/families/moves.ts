import { State } from "../../cpu-state.js";
import { CONDITIONS } from "../../decode/opcode-tables.js";
import { conditionHolds } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family, Handler } from "../handler.js";

function holds(core: ExecutionCore, cc: number): boolean {
  const { words } = core;
  return conditionHolds(
    cc,
    words[State.FlagsZero],
    words[State.FlagsSign],
    words[State.FlagsParity],
    words[State.FlagsCarry],
  );
}

function mov(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  return core.writeFirst(pc, size, core.lo, core.hi) ? Status.Next : Status.Fault;
}

/**
 * MOVZX, MOVSX, MOVSXD: the variant is the source's log2 bytes, plus 4 when signed, plus 8 for MOVSXD of 16 bits, which
 * reads a dword on AMD (APM vol. 3, MOVSXD: reg/mem32) and a word on Intel (SDM vol. 2, MOVSXD: r/m16).
 */
function extend(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const from = (variant & 8) !== 0 && core.amd ? 2 : variant & 3;
  if (!core.second(pc, from)) return Status.Fault;
  const { lo } = core;
  const size = core.sizeOf(pc);
  if ((variant & 4) !== 0) core.writeRegister(core.code[pc + Entry.A], size, lo, lo >> 31);
  else core.writeRegister(core.code[pc + Entry.A], size, lo & (from === 0 ? 0xff : 0xffff), 0);
  return Status.Next;
}

function lea(core: ExecutionCore, pc: number): number {
  core.offsetOf(pc);
  core.writeRegister(core.code[pc + Entry.A], core.sizeOf(pc), core.lo, core.hi);
  return Status.Next;
}

/** State word of RBX. */
const BX = 6;

/** XCHG; with memory it locks by itself. XCHG BX, BX may be a marker to stop at. */
function xchg(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const { code } = core;
  const { stopPoint } = core.processor;
  if (stopPoint.marker && size === 1 && code[pc + Entry.A] === BX && code[pc + Entry.B] === BX) {
    if ((code[pc + Entry.Form] & Form.MemoryFirst) === 0) {
      stopPoint.passMarker(core.words);
      return Status.EndBlock;
    }
  }
  if (!core.openFirst(pc, size)) return Status.Fault;
  const { lo, hi } = core;
  core.second(pc, size);
  const bLo = core.lo;
  const bHi = core.hi;
  core.writeRegister(code[pc + Entry.B], size, lo, hi);
  core.setFirst(pc, size, bLo, bHi);
  const form = code[pc + Entry.Form];
  if ((form & Form.MemoryFirst) !== 0 && (form & Form.Lock) === 0) core.chargeAtomic();
  return Status.Next;
}

function cmov(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!core.second(pc, size)) return Status.Fault;
  const register = core.code[pc + Entry.A];
  if (holds(core, core.variantOf(pc))) core.writeRegister(register, size, core.lo, core.hi);
  else if (size === 2) core.words[register + 1] = 0;
  return Status.Next;
}

function setcc(core: ExecutionCore, pc: number): number {
  return core.writeFirst(pc, 0, holds(core, core.variantOf(pc)) ? 1 : 0, 0) ? Status.Next : Status.Fault;
}

function nop(): number {
  return Status.Next;
}

function xlatb(core: ExecutionCore, pc: number): number {
  // The address is rBX + AL, unsigned; lowering leaves base rBX.
  core.offsetOf(pc);
  const base = core.lo;
  const addressSize = (core.code[pc + Entry.Form] >> Form.AddressShift) & 3;
  let lo = (base + (core.words[0] & 0xff)) | 0;
  const hi = addressSize === 3 ? (core.hi + (lo >>> 0 < base >>> 0 ? 1 : 0)) | 0 : 0;
  if (addressSize === 1) lo &= 0xffff;
  const segment = core.segmentOf(pc);
  if (!core.linearize(segment, lo, hi, 1, false) || !core.load(0, segment)) return Status.Fault;
  core.writeRegister(0, 0, core.lo, 0);
  return Status.Next;
}

function conditional(prefix: string, handler: Handler): Record<string, readonly [Handler, number]> {
  return Object.fromEntries(CONDITIONS.map((cc, i) => [prefix + cc, [handler, i] as const]));
}

export const MOVES: Family = {
  mov,
  movabs: mov,
  movzx: extend,
  movsx: extend,
  movsxd: extend,
  lea,
  xchg,
  nop,
  endbr64: nop,
  endbr32: nop,
  prefetchw: nop,
  prefetchwt1: nop,
  prefetchnta: nop,
  prefetcht0: nop,
  prefetcht1: nop,
  prefetcht2: nop,
  movnti: mov,
  xlatb,
  ...conditional("cmov", cmov),
  ...conditional("set", setcc),
};
