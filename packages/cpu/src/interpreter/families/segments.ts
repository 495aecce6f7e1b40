import { Cause } from "@hyperwalk/mmu";
import { Dirty, Segment, SegmentWord, Shadow, State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { DescriptorTableAccess, Intercept } from "../../guest-mode.js";
import { setZero } from "../../registers/flags.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  loadDataSegment,
  readDescriptor,
  SystemType,
  setNull,
} from "../../segmentation/descriptor.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";

/** MOV r/m, Sreg and PUSH Sreg: the segment is the variant. */
function storeSegment(core: ExecutionCore, pc: number): number {
  const selector = core.words[State.Segments + 8 * core.variantOf(pc)];
  return core.writeFirst(pc, core.sizeOf(pc), selector, 0) ? Status.Next : Status.Fault;
}

function pushSegment(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const selector = core.words[State.Segments + 8 * core.variantOf(pc)];
  core.beginStack();
  // A 32-bit push writes the low word only on Intel (SDM vol. 2, PUSH); AMD extends with zeroes (APM vol. 3, PUSH).
  if (size === 2 && !core.amd) {
    core.moveStack(-4);
    const big = core.stackAddressSize !== 1;
    if (!core.linearize(Segment.Ss, big ? core.spLo : core.spLo & 0xffff, core.spHi, 2, true))
      return Status.Fault;
    if (!core.store(1, selector, 0, Segment.Ss)) return Status.Fault;
  } else if (!core.push(size, selector, 0)) return Status.Fault;
  core.commitStack();
  return Status.Next;
}

function afterLoad(core: ExecutionCore, segment: number): number {
  core.syncMode();
  if (segment === Segment.Ss) core.words[State.InterruptShadow] = Shadow.MovSs;
  return Status.EndBlock;
}

function loadSegment(core: ExecutionCore, pc: number): number {
  const segment = core.variantOf(pc);
  if (!core.second(pc, 1)) return Status.Fault;
  if (!loadDataSegment(core, segment, core.lo & 0xffff)) return Status.Fault;
  return afterLoad(core, segment);
}

function popSegment(core: ExecutionCore, pc: number): number {
  const segment = core.variantOf(pc);
  core.beginStack();
  if (!core.popSelector(core.sizeOf(pc))) return Status.Fault;
  const { spLo, spHi } = core;
  if (!loadDataSegment(core, segment, core.lo)) return Status.Fault;
  core.spLo = spLo;
  core.spHi = spHi;
  core.commitStack();
  return afterLoad(core, segment);
}

/** Far pointer in memory: offset of the operand size to lo, hi; the selector is returned, or -1. */
export function readFarPointer(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const segment = core.segmentOf(pc);
  // Zen 3 checks the selector's limit after it has read the offset, Intel that of both at once.
  if (!core.address(pc, (1 << size) + (core.amd ? 0 : 2), false)) return -1;
  const { eaLo, eaHi } = core;
  if (!core.load(size, segment)) return -1;
  const lo = size === 1 ? core.lo & 0xffff : core.lo;
  const { hi } = core;
  if (core.amd) {
    if (!core.addressAfter(pc, 1 << size, 2)) return -1;
  } else nextBytes(core, eaLo, eaHi, 1 << size);
  if (!core.load(1, segment)) return -1;
  const selector = core.lo & 0xffff;
  core.lo = lo;
  core.hi = hi;
  return selector;
}

/** LES, LDS, LSS, LFS, LGS. */
function loadFar(core: ExecutionCore, pc: number): number {
  const selector = readFarPointer(core, pc);
  if (selector < 0) return Status.Fault;
  const { lo, hi } = core;
  const segment = core.variantOf(pc);
  if (!loadDataSegment(core, segment, selector)) return Status.Fault;
  core.writeRegister(core.code[pc + Entry.A], core.sizeOf(pc), lo, hi);
  core.syncMode(); // no shadow after LSS
  return Status.EndBlock;
}

/** SGDT, SIDT. */
function storeTable(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const interrupts = core.variantOf(pc) === 1;
  if (userModePrevented(core)) return core.protection();
  const access = interrupts ? DescriptorTableAccess.Sidt : DescriptorTableAccess.Sgdt;
  if (core.interceptedOperands(Intercept.DescriptorTable, access, pc)) return core.exit();
  const wide = core.mode === 64;
  const at = interrupts ? State.IdtrLimit : State.GdtrLimit;
  const segment = core.segmentOf(pc);
  if (!core.address(pc, wide ? 10 : 6, true)) return Status.Fault;
  const { eaLo, eaHi } = core;
  // The base first: its page is the later one, so a fault leaves nothing stored that matters.
  nextBytes(core, eaLo, eaHi, 2);
  if (!core.store(wide ? 3 : 2, words[at + 1], words[at + 2], segment)) return Status.Fault;
  core.eaLo = eaLo;
  core.eaHi = eaHi;
  return core.store(1, words[at], 0, segment) ? Status.Next : Status.Fault;
}

function nextBytes(core: ExecutionCore, lo: number, hi: number, step: number): void {
  core.eaLo = (lo + step) | 0;
  core.eaHi = core.mode === 64 && core.eaLo >>> 0 < lo >>> 0 ? (hi + 1) | 0 : hi;
}

/** CR4.UMIP outside CPL 0. */
function userModePrevented(core: ExecutionCore): boolean {
  return (core.words[State.Cr4] & 0x800) !== 0 && core.words[State.Cpl] !== 0;
}

/** LGDT, LIDT. */
function loadTable(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const interrupts = core.variantOf(pc) === 1;
  if (!core.privileged()) return Status.Fault;
  const access = interrupts ? DescriptorTableAccess.Lidt : DescriptorTableAccess.Lgdt;
  if (core.interceptedOperands(Intercept.DescriptorTable, access, pc)) return core.exit();
  const wide = core.mode === 64;
  const segment = core.segmentOf(pc);
  if (!core.address(pc, wide ? 10 : 6, false)) return Status.Fault;
  const { eaLo, eaHi } = core;
  if (!core.load(1, segment)) return Status.Fault;
  const limit = core.lo & 0xffff;
  nextBytes(core, eaLo, eaHi, 2);
  if (!core.load(wide ? 3 : 2, segment)) return Status.Fault;
  if (wide && !core.processor.canonicalBase(core.hi)) return core.protection();
  const narrow = !wide && core.sizeOf(pc) === 1;
  const at = interrupts ? State.IdtrLimit : State.GdtrLimit;
  words[at] = limit;
  words[at + 1] = narrow ? core.lo & 0xffffff : core.lo;
  words[at + 2] = core.hi;
  core.markDirty(Dirty.DescriptorTables);
  core.charge(Cause.Serialise, core.timing.serialise);
  return Status.EndBlock;
}

/** SLDT, STR. */
function storeSystemSelector(core: ExecutionCore, pc: number): number {
  if (core.realAddressing) return core.undefined();
  const task = core.variantOf(pc) === 1;
  if (userModePrevented(core)) return core.protection();
  const access = task ? DescriptorTableAccess.Str : DescriptorTableAccess.Sldt;
  if (core.interceptedOperands(Intercept.DescriptorTable, access, pc)) return core.exit();
  const selector = core.words[State.Segments + 8 * (task ? Segment.Tr : Segment.Ldtr)];
  return core.writeFirst(pc, core.sizeOf(pc), selector, 0) ? Status.Next : Status.Fault;
}

/** LLDT, LTR. */
function loadSystemSegment(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const task = core.variantOf(pc) === 1;
  if (core.realAddressing) return core.undefined();
  if (!core.privileged()) return Status.Fault;
  const access = task ? DescriptorTableAccess.Ltr : DescriptorTableAccess.Lldt;
  if (core.interceptedOperands(Intercept.DescriptorTable, access, pc)) return core.exit();
  if (!core.first(pc, 1)) return Status.Fault;
  const selector = core.lo & 0xffff;
  const code = selector & 0xfffc;
  const segment = task ? Segment.Tr : Segment.Ldtr;
  if (code === 0) {
    if (task) return core.protection();
    setNull(words, segment, selector, false);
    core.noteSegments();
    return Status.EndBlock;
  }
  if ((selector & 4) !== 0) return core.raise(Vector.Gp, code);
  if (!readDescriptor(core, selector, Vector.Gp)) return Status.Fault;
  const { lo, hi, eaLo, eaHi } = core;
  const attributes = descriptorAttributes(hi);
  const type = attributes & 0x1f;
  const available =
    type === SystemType.TssAvailable || (type === SystemType.TssAvailable16 && !core.longMode);
  if (task ? !available : type !== SystemType.Ldt) return core.raise(Vector.Gp, code);
  if ((attributes & Attribute.Present) === 0) return core.raise(Vector.Np, code);
  let baseHi = 0;
  if (core.longMode) {
    if ((selector & 0xfff8) + 15 > words[State.GdtrLimit]) return core.raise(Vector.Gp, code);
    nextBytes(core, eaLo, eaHi, 8);
    if (!core.readSystem(core.eaLo, core.eaHi, 2)) return Status.Fault;
    baseHi = core.lo;
    if (!core.processor.canonicalBase(baseHi)) return core.raise(Vector.Gp, code);
  }
  if (task && !core.writeSystem((eaLo + 5) | 0, eaHi, 0, (attributes | 2) & 0xff, 0)) return Status.Fault;
  const at = State.Segments + 8 * segment;
  words[at + SegmentWord.Selector] = selector;
  words[at + SegmentWord.Attributes] = attributes | (task ? 2 : 0);
  words[at + SegmentWord.Limit] = descriptorLimit(lo, hi);
  words[at + SegmentWord.BaseLo] = descriptorBase(lo, hi);
  words[at + SegmentWord.BaseHi] = baseHi;
  core.noteSegments();
  core.charge(Cause.Serialise, core.timing.serialise);
  return Status.EndBlock;
}

const LAR = 0;
const LSL = 1;
const VERR = 2;

/** LAR, LSL, VERR, VERW: the answer is in ZF; only the operand's own read can fault. */
function inspect(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const operation = core.variantOf(pc);
  if (core.realAddressing) return core.undefined();
  const ok = operation <= LSL ? core.second(pc, 1) : core.first(pc, 1);
  if (!ok) return Status.Fault;
  core.charge(Cause.Microcode, core.timing.verw);
  const selector = core.lo & 0xffff;
  const readable = (selector & 0xfffc) !== 0 && readDescriptor(core, selector, Vector.Gp);
  if (!readable) {
    // Outside the table is an answer; a page fault on the table is a fault.
    if ((selector & 0xfffc) !== 0 && (core.faultIsExit || core.faultVector !== Vector.Gp))
      return Status.Fault;
    setZero(words, false);
    return Status.Next;
  }
  const { lo, hi } = core;
  const attributes = descriptorAttributes(hi);
  const valid = visible(core, selector, attributes, descriptorDpl(hi), operation);
  setZero(words, valid);
  if (valid && operation <= LSL) {
    const value = operation === LAR ? hi & 0x00ffff00 : descriptorLimit(lo, hi);
    core.writeRegister(code[pc + Entry.A], code[pc + Entry.Form] & Form.SizeMask, value, 0);
  }
  return Status.Next;
}

/** Types that LAR and LSL accept among system descriptors, in legacy and long mode, as bit masks. */
const LAR_LEGACY = 0x1a3e; // 1-5, 9, 11, 12
const LAR_LONG = 0x1a04; // 2, 9, 11, 12
const LSL_LEGACY = 0x0a0e; // 1-3, 9, 11
const LSL_LONG = 0x0a04; // 2, 9, 11

function visible(
  core: ExecutionCore,
  selector: number,
  attributes: number,
  dpl: number,
  operation: number,
): boolean {
  const type = attributes & 15;
  const system = (attributes & Attribute.NotSystem) === 0;
  const conforming = !system && (type & 12) === 12;
  if (!conforming && (core.words[State.Cpl] > dpl || (selector & 3) > dpl)) return false;
  if (operation <= LSL) {
    if (!system) return true;
    const legacy = operation === LAR ? LAR_LEGACY : LSL_LEGACY;
    const long = operation === LAR ? LAR_LONG : LSL_LONG;
    return (((core.longMode ? long : legacy) >> type) & 1) !== 0;
  }
  if (system) return false;
  const isCode = (type & 8) !== 0;
  return operation === VERR ? !isCode || (type & 2) !== 0 : !isCode && (type & 2) !== 0;
}

/** ARPL: raises the RPL of the first operand to that of the second; memory is written only then. */
function arpl(core: ExecutionCore, pc: number): number {
  if (core.realAddressing) return core.undefined();
  if (!core.first(pc, 1)) return Status.Fault;
  const selector = core.lo;
  core.second(pc, 1);
  const rpl = core.lo & 3;
  const lower = (selector & 3) < rpl;
  if (lower && !core.writeFirst(pc, 1, (selector & ~3) | rpl, 0)) return Status.Fault;
  setZero(core.words, lower);
  return Status.Next;
}

/** RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: bit 0 is GS, bit 1 a write. */
function segmentBase(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if (core.mode !== 64 || (words[State.Cr4] & 0x10000) === 0) return core.undefined();
  const variant = core.variantOf(pc);
  const size = core.sizeOf(pc);
  const at = State.Segments + 8 * (Segment.Fs + (variant & 1)) + SegmentWord.BaseLo;
  if ((variant & 2) === 0) {
    core.writeRegister(core.code[pc + Entry.A], size, words[at], words[at + 1]);
    return Status.Next;
  }
  core.first(pc, size);
  const hi = size === 3 ? core.hi : 0;
  if (!core.processor.canonicalBase(hi)) return core.protection();
  words[at] = core.lo;
  words[at + 1] = hi;
  core.noteSegments();
  return Status.Next;
}

function swapgs(core: ExecutionCore): number {
  const { words } = core;
  if (!core.privileged()) return Status.Fault;
  core.charge(Cause.Microcode, core.timing.cliSti);
  const at = State.Segments + 8 * Segment.Gs + SegmentWord.BaseLo;
  const lo = words[at];
  const hi = words[at + 1];
  words[at] = words[State.KernelGsBaseLo];
  words[at + 1] = words[State.KernelGsBaseHi];
  words[State.KernelGsBaseLo] = lo;
  words[State.KernelGsBaseHi] = hi;
  core.markDirty(Dirty.Segments | Dirty.SyscallMsrs);
  return Status.Next;
}

export const SEGMENTS: Family = {
  movfromseg: storeSegment,
  movtoseg: loadSegment,
  pushseg: pushSegment,
  popseg: popSegment,
  les: [loadFar, Segment.Es],
  lds: [loadFar, Segment.Ds],
  lss: [loadFar, Segment.Ss],
  lfs: [loadFar, Segment.Fs],
  lgs: [loadFar, Segment.Gs],
  sgdt: [storeTable, 0],
  sidt: [storeTable, 1],
  lgdt: [loadTable, 0],
  lidt: [loadTable, 1],
  sldt: [storeSystemSelector, 0],
  str: [storeSystemSelector, 1],
  lldt: [loadSystemSegment, 0],
  ltr: [loadSystemSegment, 1],
  lar: [inspect, LAR],
  lsl: [inspect, LSL],
  verr: [inspect, VERR],
  verw: [inspect, 3],
  arpl,
  rdfsbase: [segmentBase, 0],
  rdgsbase: [segmentBase, 1],
  wrfsbase: [segmentBase, 2],
  wrgsbase: [segmentBase, 3],
  swapgs,
};
