import { Cause, ticks } from "@hyperwalk/mmu";
import { Flag, Segment, State } from "../../cpu-state.js";
import { arithmeticFlags, setArithmeticFlags, setSubtract } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";

const MOVS = 0;
const CMPS = 1;
const STOS = 2;
const LODS = 3;
const SCAS = 4;

const LINE = 64;
/** A repeated string looks at the run loop again after this many bytes. */
const SLICE = 4096;
const RCX = State.Gpr + 2;
const RSI = State.Gpr + 12;
const RDI = State.Gpr + 14;

/** Index register at the address size to lo, hi. */
export function stringIndex(core: ExecutionCore, register: number, addressSize: number): void {
  const { words } = core;
  core.lo = addressSize === 1 ? words[register] & 0xffff : words[register];
  core.hi = addressSize === 3 ? words[register + 1] : 0;
}

/** Adds to an index or count register at the address size. */
export function advance(core: ExecutionCore, register: number, addressSize: number, step: number): void {
  const { words } = core;
  const old = words[register];
  const lo = (old + step) | 0;
  const hi = (words[register + 1] + (step >> 31) + (lo >>> 0 < old >>> 0 ? 1 : 0)) | 0;
  core.writeRegister(register, addressSize, lo, hi);
}

/** rCX at the address size, as far as a slice cares: at most 2^31 - 1. */
export function repeatCount(core: ExecutionCore, addressSize: number): number {
  const { words } = core;
  const lo = words[RCX];
  if (addressSize === 1) return lo & 0xffff;
  if (lo < 0 || (addressSize === 3 && words[RCX + 1] !== 0)) return 0x7fffffff;
  return lo;
}

/** MOVS, CMPS, STOS, LODS, SCAS. */
function strings(core: ExecutionCore, pc: number): number {
  const form = core.code[pc + Entry.Form];
  const addressSize = (form >> Form.AddressShift) & 3;
  const operation = core.variantOf(pc);
  const size = form & Form.SizeMask;
  if ((form & (Form.RepeatEqual | Form.RepeatNotEqual)) === 0)
    return element(core, pc, operation, size, addressSize);
  // AMD leaves upper halves alone until an element is done, as Zen 3 does.
  if (addressSize === 2 && !core.amd) cutRegisters(core, operation);
  if (repeatCount(core, addressSize) === 0) return Status.Next;
  if (!core.resuming) core.charge(Cause.Microcode, core.timing.stringStart);
  core.resuming = false;
  // Traps come after each iteration.
  const single = (core.words[State.Flags] & Flag.Tf) !== 0 || core.breakpoints.watchesData;
  const plain = !single && core.alignment === 0 && (core.words[State.Flags] & Flag.Df) === 0;
  let status: number;
  if (operation === STOS && plain) status = fill(core, pc, size, addressSize);
  else if (operation === MOVS && plain) status = copy(core, pc, size, addressSize);
  else status = repeat(core, pc, operation, size, addressSize, single ? 1 : SLICE);
  if (status === Status.Again) core.resuming = true;
  return status;
}

/** With 32-bit addresses in 64-bit mode upper halves go whatever happens then; MOVS and STOS cut their pointers too. */
function cutRegisters(core: ExecutionCore, operation: number): void {
  core.words[RCX + 1] = 0;
  if (operation === MOVS) core.words[RSI + 1] = 0;
  if (operation === MOVS || operation === STOS) core.words[RDI + 1] = 0;
}

/** One element: memory first, then the index registers. CMPS reads ES:[rDI] before its source, as processors do. */
function element(
  core: ExecutionCore,
  pc: number,
  operation: number,
  size: number,
  addressSize: number,
): number {
  const { words } = core;
  const bytes = 1 << size;
  const step = (words[State.Flags] & Flag.Df) !== 0 ? -bytes : bytes;
  const compares = operation === CMPS || operation === SCAS;
  let otherLo = 0;
  let otherHi = 0;
  if (compares) {
    stringIndex(core, RDI, addressSize);
    if (!core.linearize(Segment.Es, core.lo, core.hi, bytes, false) || !core.load(size, Segment.Es))
      return Status.Fault;
    otherLo = core.lo;
    otherHi = core.hi;
  }
  const fromMemory = operation !== STOS && operation !== SCAS;
  if (fromMemory) {
    const source = core.segmentOf(pc);
    stringIndex(core, RSI, addressSize);
    if (!core.linearize(source, core.lo, core.hi, bytes, false) || !core.load(size, source))
      return Status.Fault;
  } else core.readRegister(0, size);
  const { lo, hi } = core;
  if (compares) {
    const rLo = (lo - otherLo) | 0;
    const rHi = (hi - otherHi - (lo >>> 0 < otherLo >>> 0 ? 1 : 0)) | 0;
    setSubtract(words, size, lo, hi, otherLo, otherHi, rLo, rHi);
  } else if (operation === LODS) core.writeRegister(0, size, lo, hi);
  else {
    stringIndex(core, RDI, addressSize);
    if (!core.linearize(Segment.Es, core.lo, core.hi, bytes, true) || !core.store(size, lo, hi, Segment.Es))
      return Status.Fault;
  }
  if (operation !== LODS) advance(core, RDI, addressSize, step);
  if (fromMemory) advance(core, RSI, addressSize, step);
  return Status.Next;
}

/** Element by element: compares, scans, loads, and everything that runs backwards or is single-stepped. */
function repeat(
  core: ExecutionCore,
  pc: number,
  operation: number,
  size: number,
  addressSize: number,
  budget: number,
): number {
  const form = core.code[pc + Entry.Form];
  const compares = operation === CMPS || operation === SCAS;
  const wanted = (form & Form.RepeatEqual) !== 0;
  const price = 2 * ticks(core.timing.issue);
  // Intel shows flags when the instruction is done: a fault or a pause under way leaves those of before. Zen 3 leaves
  // those of the last element.
  const restores = compares && !core.amd;
  const flags = arithmeticFlags(core.words);
  for (let done = 0; done < budget; done += 1 << size) {
    if (element(core, pc, operation, size, addressSize) !== Status.Next) {
      if (restores) setArithmeticFlags(core.words, flags);
      return Status.Fault;
    }
    advance(core, RCX, addressSize, -1);
    core.ledger.charge(Cause.Microcode, price);
    if (repeatCount(core, addressSize) === 0) return Status.Next;
    if (compares && (core.words[State.FlagsZero] === 0) !== wanted) return Status.Next;
  }
  if (restores) setArithmeticFlags(core.words, flags);
  return Status.Again;
}

/** Bytes of whole elements that fit before the end of the line, at most `left`. */
function room(lo: number, left: number, size: number): number {
  const free = LINE - (lo & (LINE - 1));
  const bytes = Math.min(free, left);
  return (bytes >> size) << size;
}

/** REP STOS upwards, a cache line at a time. */
function fill(core: ExecutionCore, pc: number, size: number, addressSize: number): number {
  const { words, view } = core;
  const price = ticks(core.timing.stringPerLine);
  let budget = SLICE;
  for (;;) {
    const count = repeatCount(core, addressSize);
    if (count === 0) return Status.Next;
    if (budget <= 0) return Status.Again;
    const left = count > SLICE ? SLICE : count << size;
    stringIndex(core, RDI, addressSize);
    const { lo, hi } = core;
    const bytes = addressSize === 1 ? 0 : room(linearLow(core, Segment.Es, lo), left, size);
    core.ledger.charge(Cause.Microcode, price);
    if (bytes === 0 || !core.linearize(Segment.Es, lo, hi, bytes, true)) {
      if (element(core, pc, STOS, size, addressSize) !== Status.Next) return Status.Fault;
      advance(core, RCX, addressSize, -1);
      budget -= 1 << size;
      continue;
    }
    const at = core.mmu.write(core.eaLo, core.eaHi, bytes);
    if (at < 0) {
      core.memoryFault(Segment.Es);
      return Status.Fault;
    }
    const value = words[0];
    if (size === 0) core.u8.fill(value, at, at + bytes);
    else
      for (let i = 0; i < bytes; i += 1 << size) {
        if (size === 1) view.setInt16(at + i, value, true);
        else view.setInt32(at + i, value, true);
        if (size === 3) view.setInt32(at + i + 4, words[1], true);
      }
    advance(core, RDI, addressSize, bytes);
    advance(core, RCX, addressSize, -(bytes >> size));
    budget -= bytes;
  }
}

/** REP MOVS upwards, at most a cache line of each side at a time. */
function copy(core: ExecutionCore, pc: number, size: number, addressSize: number): number {
  const source = core.segmentOf(pc);
  const price = ticks(core.timing.stringPerLine);
  let budget = SLICE;
  for (;;) {
    const count = repeatCount(core, addressSize);
    if (count === 0) return Status.Next;
    if (budget <= 0) return Status.Again;
    const left = count > SLICE ? SLICE : count << size;
    stringIndex(core, RSI, addressSize);
    const fromLo = core.lo;
    const fromHi = core.hi;
    stringIndex(core, RDI, addressSize);
    const toLo = core.lo;
    const toHi = core.hi;
    let bytes = 0;
    if (addressSize !== 1) {
      bytes = room(linearLow(core, source, fromLo), left, size);
      bytes = room(linearLow(core, Segment.Es, toLo), bytes, size);
    }
    core.ledger.charge(Cause.Microcode, price);
    // A copy onto itself a few bytes ahead repeats a pattern: element by element.
    const ahead = (toLo - fromLo) | 0;
    if (bytes === 0 || (ahead > 0 && ahead < bytes)) bytes = 0;
    else if (!core.linearize(source, fromLo, fromHi, bytes, false)) bytes = 0;
    if (bytes !== 0) {
      const from = core.mmu.read(core.eaLo, core.eaHi, bytes);
      if (from < 0) {
        core.memoryFault(source);
        return Status.Fault;
      }
      if (core.linearize(Segment.Es, toLo, toHi, bytes, true)) {
        const to = core.mmu.write(core.eaLo, core.eaHi, bytes);
        if (to < 0) {
          core.memoryFault(Segment.Es);
          return Status.Fault;
        }
        // The same frame under another address overlaps as well.
        if (to > from && to < from + bytes) {
          for (let i = 0; i < bytes; i += 1 << size)
            core.u8.copyWithin(to + i, from + i, from + i + (1 << size));
        } else core.u8.copyWithin(to, from, from + bytes);
      } else bytes = 0;
    }
    if (bytes === 0) {
      if (element(core, pc, MOVS, size, addressSize) !== Status.Next) return Status.Fault;
      advance(core, RCX, addressSize, -1);
      budget -= 1 << size;
      continue;
    }
    advance(core, RSI, addressSize, bytes);
    advance(core, RDI, addressSize, bytes);
    advance(core, RCX, addressSize, -(bytes >> size));
    budget -= bytes;
  }
}

/** Low word of a linear address, for where its line ends. */
function linearLow(core: ExecutionCore, segment: number, lo: number): number {
  if (core.mode === 64 && segment < Segment.Fs) return lo;
  return (lo + core.words[State.Segments + 8 * segment + 3]) | 0;
}

export const STRINGS: Family = {
  movsb: [strings, MOVS],
  movsw: [strings, MOVS],
  cmpsb: [strings, CMPS],
  cmpsw: [strings, CMPS],
  stosb: [strings, STOS],
  stosw: [strings, STOS],
  lodsb: [strings, LODS],
  lodsw: [strings, LODS],
  scasb: [strings, SCAS],
  scasw: [strings, SCAS],
};
