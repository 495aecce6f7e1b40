import { Cause } from "@hyperwalk/mmu";
import { Flag, Segment, SegmentWord, State } from "../../cpu-state.js";
import { Intercept, ioInfo } from "../../guest-mode.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { advance, repeatCount, stringIndex } from "./strings.js";

const RDX = State.Gpr + 4;
const RSI = State.Gpr + 12;
const RDI = State.Gpr + 14;
const RCX = State.Gpr + 2;
const IO_MAP_BASE = 102;
const SLICE = 4096;

/** CPL <= IOPL, or the I/O permission bitmap of the TSS allows all ports of the access; otherwise #GP(0). */
function permitted(core: ExecutionCore, port: number, bytes: number): boolean {
  const { words } = core;
  // In virtual-8086 mode IOPL does not count (SDM vol. 3, 21.2.9).
  if (core.ioPrivileged && (words[State.Flags] & Flag.Vm) === 0) return true;
  const tr = State.Segments + 8 * Segment.Tr;
  const limit = words[tr + SegmentWord.Limit] >>> 0;
  if (limit < IO_MAP_BASE + 1) return deny(core);
  if (!tssRead(core, IO_MAP_BASE)) return false;
  const byte = (core.lo & 0xffff) + (port >> 3);
  // Two bytes are read, so that an access may straddle.
  if (byte + 1 > limit) return deny(core);
  if (!tssRead(core, byte)) return false;
  const mask = ((1 << bytes) - 1) << (port & 7);
  return (core.lo & mask) === 0 || deny(core);
}

function tssRead(core: ExecutionCore, offset: number): boolean {
  const { words } = core;
  const tr = State.Segments + 8 * Segment.Tr;
  const base = words[tr + SegmentWord.BaseLo];
  const lo = (base + offset) | 0;
  return core.readSystem(lo, (words[tr + SegmentWord.BaseHi] + (lo >>> 0 < base >>> 0 ? 1 : 0)) | 0, 1);
}

function deny(core: ExecutionCore): false {
  core.protection();
  return false;
}

/** IN and OUT; the variant's bit 0 is OUT, bit 1 says that the port is in DX. */
function portIo(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const variant = core.variantOf(pc);
  const size = core.sizeOf(pc);
  const bytes = 1 << size;
  const port = (variant & 2) !== 0 ? words[RDX] & 0xffff : code[pc + Entry.Immediate] & 0xff;
  if (!permitted(core, port, bytes)) return Status.Fault;
  const output = (variant & 1) !== 0;
  const event = output ? Intercept.IoWrite : Intercept.IoRead;
  const immediate = (variant & 2) === 0;
  if (core.intercepted(event, ioInfo(port, bytes, false, false, immediate, addressSize(core, pc)), pc))
    return core.exit();
  core.charge(Cause.Microcode, core.timing.portIo);
  const { ports } = core.processor;
  if (core.breakpoints.armed) core.breakpoints.notePort(port, bytes);
  if (output) ports.write(port, bytes, mask(words[0], bytes));
  else core.writeRegister(0, size, ports.read(port, bytes) | 0, 0);
  return Status.EndBlock;
}

/** log2 bytes. */
function addressSize(core: ExecutionCore, pc: number): number {
  return (core.code[pc + Entry.Form] >> Form.AddressShift) & 3;
}

/** Linear address of a string, for a VM exit: nothing is checked. */
function noteStringAddress(core: ExecutionCore, segment: number, register: number, width: number): void {
  const { words, processor } = core;
  stringIndex(core, register, width);
  const at = State.Segments + 8 * segment + SegmentWord.BaseLo;
  const based = core.mode !== 64 || segment >= Segment.Fs;
  const lo = (core.lo + (based ? words[at] : 0)) | 0;
  const carry = lo >>> 0 < core.lo >>> 0 ? 1 : 0;
  processor.interceptAddressLo = lo;
  processor.interceptAddressHi = core.mode !== 64 ? 0 : (core.hi + (based ? words[at + 1] : 0) + carry) | 0;
}

/** INS and OUTS. */
function stringIo(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const form = core.code[pc + Entry.Form];
  const width = addressSize(core, pc);
  const size = form & Form.SizeMask;
  const bytes = 1 << size;
  const output = core.variantOf(pc) === 1;
  const repeated = (form & (Form.RepeatEqual | Form.RepeatNotEqual)) !== 0;
  const port = words[RDX] & 0xffff;
  if (!permitted(core, port, bytes)) return Status.Fault;
  if (repeated && repeatCount(core, width) === 0) return Status.Next;
  const event = output ? Intercept.IoWrite : Intercept.IoRead;
  if (core.processor.guestMode !== null) {
    const segment = output ? core.segmentOf(pc) : Segment.Es;
    noteStringAddress(core, segment, output ? RSI : RDI, width);
    if (core.intercepted(event, ioInfo(port, bytes, true, repeated, false, width, segment), pc))
      return core.exit();
  }
  const { ports } = core.processor;
  const step = (words[State.Flags] & Flag.Df) !== 0 ? -bytes : bytes;
  const { breakpoints } = core;
  if (breakpoints.armed) breakpoints.notePort(port, bytes);
  const slice = breakpoints.armed || (words[State.Flags] & Flag.Tf) !== 0 ? bytes : SLICE;
  for (let done = 0; done < slice; done += bytes) {
    if (output) {
      const segment = core.segmentOf(pc);
      stringIndex(core, RSI, width);
      if (!core.linearize(segment, core.lo, core.hi, bytes, false) || !core.load(size, segment))
        return Status.Fault;
      ports.write(port, bytes, mask(core.lo, bytes));
      advance(core, RSI, width, step);
    } else {
      stringIndex(core, RDI, width);
      if (!core.linearize(Segment.Es, core.lo, core.hi, bytes, true) || !core.modify(size, Segment.Es))
        return Status.Fault;
      core.replace(size, ports.read(port, bytes) | 0, 0);
      advance(core, RDI, width, step);
    }
    core.charge(Cause.Microcode, core.timing.portIo);
    if (!repeated) return Status.EndBlock;
    advance(core, RCX, width, -1);
    if (repeatCount(core, width) === 0) return Status.EndBlock;
  }
  return Status.Again;
}

function mask(value: number, bytes: number): number {
  return bytes === 4 ? value >>> 0 : value & ((1 << (8 * bytes)) - 1);
}

export const IO: Family = {
  in: [portIo, 0],
  out: [portIo, 1],
  insb: [stringIo, 0],
  insw: [stringIo, 0],
  outsb: [stringIo, 1],
  outsw: [stringIo, 1],
};
