import { Cause } from "@hyperwalk/mmu";
import { Flag, GuestRun, Segment, SegmentWord, State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { Intercept } from "../../guest-mode.js";
import { arithmeticFlags } from "../../registers/flags.js";
import { CodeTarget } from "../../segmentation/code-segment.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorDpl,
  readDescriptor,
  setAccessed,
  setNull,
  setSegment,
} from "../../segmentation/descriptor.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { readFarPointer } from "./segments.js";
import { loadFlags } from "./stack.js";

// One at a time: a far transfer reads and commits before any other begins.
const target: CodeTarget = new CodeTarget();

/** Far pointer operand: offset to lo, hi; selector returned, or -1 with a fault. */
function farOperand(core: ExecutionCore, pc: number): number {
  if (core.variantOf(pc) === 0) return readFarPointer(core, pc);
  core.lo = core.code[pc + Entry.Immediate];
  core.hi = 0;
  return core.code[pc + Entry.ImmediateHi] & 0xffff;
}

/** Checks a direct far JMP or CALL. @returns Status.Next when it may go on */
function checkDirect(core: ExecutionCore, selector: number, lo: number, hi: number): number {
  const { words } = core;
  if (!target.read(core, selector)) return Status.Fault;
  const error = selector & 0xfffc;
  // Call gates, task gates and TSS.
  if (target.system) {
    const type = descriptorAttributes(target.hi) & 15;
    const gate = core.longMode
      ? type === 12
      : type === 12 || type === 4 || type === 5 || type === 9 || type === 1;
    return gate ? Status.Unsupported : core.raise(Vector.Gp, error);
  }
  const cpl = words[State.Cpl];
  if (target.conforming ? target.dpl > cpl : target.dpl !== cpl || (selector & 3) > cpl)
    return core.raise(Vector.Gp, error);
  if (!target.checkSize(core) || !target.checkPresent(core) || !target.checkOffset(core, lo, hi))
    return Status.Fault;
  return Status.Next;
}

function jumpFar(core: ExecutionCore, pc: number): number {
  const selector = farOperand(core, pc);
  if (selector < 0) return Status.Fault;
  const { lo, hi } = core;
  const status = checkDirect(core, selector, lo, hi);
  if (status !== Status.Next) return status;
  if (!target.setAccessed(core)) return Status.Fault;
  target.commit(core, core.words[State.Cpl], lo, hi);
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

function callFar(core: ExecutionCore, pc: number): number {
  const selector = farOperand(core, pc);
  if (selector < 0) return Status.Fault;
  const { lo, hi } = core;
  const status = checkDirect(core, selector, lo, hi);
  if (status !== Status.Next) return status;
  const size = core.sizeOf(pc);
  core.beginStack();
  if (!core.push(size, core.words[State.Segments + 8 * Segment.Cs], 0)) return Status.Fault;
  core.nextRip(pc);
  if (!core.push(size, core.lo, core.hi)) return Status.Fault;
  if (!target.setAccessed(core)) return Status.Fault;
  core.commitStack();
  target.commit(core, core.words[State.Cpl], lo, hi);
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

/** RETF and IRET take the same checks of the return code segment (SDM vol. 2, IRET). */
function checkReturn(core: ExecutionCore, selector: number): boolean {
  const { words } = core;
  if (!target.read(core, selector)) return false;
  const rpl = selector & 3;
  const error = selector & 0xfffc;
  if (target.system || rpl < words[State.Cpl]) return refuse(core, Vector.Gp, error);
  if (target.conforming ? target.dpl > rpl : target.dpl !== rpl) return refuse(core, Vector.Gp, error);
  return target.checkSize(core) && target.checkPresent(core);
}

function refuse(core: ExecutionCore, vector: number, errorCode: number): false {
  core.raise(vector, errorCode);
  return false;
}

// The stack that a return goes to, and its segment.
let outerLo = 0;
let outerHi = 0;
let outerSelector = 0;
let stackLo = 0;
let stackHi = 0;

/** AMD pops these before it reads the code descriptor (APM vol. 3, RET (Far), IRET), Intel after (SDM vol. 2). */
function popOuterStack(core: ExecutionCore, size: number): boolean {
  if (!core.pop(size)) return false;
  outerLo = size === 1 ? core.lo & 0xffff : core.lo;
  outerHi = core.hi;
  if (!core.popSelector(size)) return false;
  outerSelector = core.lo;
  return true;
}

function checkReturnStack(core: ExecutionCore, selector: number, rpl: number): boolean {
  const error = selector & 0xfffc;
  if (error === 0) {
    if (target.is64(core) && rpl !== 3 && (selector & 3) === rpl) return true;
    return refuse(core, Vector.Gp, 0);
  }
  if (!readDescriptor(core, selector, Vector.Gp)) return false;
  const { lo, hi, eaLo, eaHi } = core;
  const attributes = descriptorAttributes(hi);
  if ((selector & 3) !== rpl || descriptorDpl(hi) !== rpl || (attributes & 0x1a) !== 0x12)
    return refuse(core, Vector.Gp, error);
  if ((attributes & Attribute.Present) === 0) return refuse(core, Vector.Ss, error);
  stackLo = lo;
  stackHi = hi | 0x100;
  return setAccessed(core, eaLo, eaHi, hi);
}

function loadReturnStack(
  core: ExecutionCore,
  selector: number,
  rpl: number,
  spLo: number,
  spHi: number,
): void {
  const { words } = core;
  if ((selector & 0xfffc) === 0) {
    setNull(words, Segment.Ss, selector, false);
    words[State.Segments + 8 * Segment.Ss + SegmentWord.Attributes] |= rpl << Attribute.DplShift;
  } else setSegment(words, Segment.Ss, selector, stackLo, stackHi);
  const big =
    core.mode === 64 ||
    (words[State.Segments + 8 * Segment.Ss + SegmentWord.Attributes] & Attribute.Big) !== 0;
  words[State.Gpr + 8] = big ? spLo : (words[State.Gpr + 8] & ~0xffff) | (spLo & 0xffff);
  words[State.Gpr + 9] = core.mode === 64 ? spHi : 0;
}

/** A return outwards empties data segments that the outer level may not use. */
function dropInnerSegments(core: ExecutionCore): void {
  const { words } = core;
  const cpl = words[State.Cpl];
  for (let segment = 0; segment < 6; segment++) {
    if (segment === Segment.Cs || segment === Segment.Ss) continue;
    const at = State.Segments + 8 * segment;
    const attributes = words[at + SegmentWord.Attributes];
    if ((attributes & Attribute.Unusable) !== 0) continue;
    const conforming = (attributes & 0xc) === 0xc;
    if (!conforming && ((attributes >> Attribute.DplShift) & 3) < cpl) setNull(words, segment, 0, false);
  }
}

function returnFar(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const size = core.sizeOf(pc);
  const extra = core.code[pc + Entry.Immediate] & 0xffff;
  // The selector is read before the offset below it.
  core.beginStack();
  core.moveStack(1 << size);
  if (!core.popSelector(size)) return Status.Fault;
  const selector = core.lo;
  const { spLo: pastLo, spHi: pastHi } = core;
  core.beginStack();
  if (!core.pop(size)) return Status.Fault;
  const lo = size === 1 ? core.lo & 0xffff : core.lo;
  const { hi } = core;
  core.spLo = pastLo;
  core.spHi = pastHi;
  core.moveStack(extra);
  const rpl = selector & 3;
  const outer = rpl !== words[State.Cpl];
  if (core.amd && outer && !popOuterStack(core, size)) return Status.Fault;
  if (!checkReturn(core, selector)) return Status.Fault;
  if (!outer) {
    if (!target.checkOffset(core, lo, hi) || !target.setAccessed(core)) return Status.Fault;
    core.commitStack();
    target.commit(core, rpl, lo, hi);
  } else {
    if (!core.amd && !popOuterStack(core, size)) return Status.Fault;
    if (!checkReturnStack(core, outerSelector, rpl)) return Status.Fault;
    if (!target.checkOffset(core, lo, hi) || !target.setAccessed(core)) return Status.Fault;
    target.commit(core, rpl, lo, hi);
    loadReturnStack(core, outerSelector, rpl, outerLo, outerHi);
    core.beginStack();
    core.moveStack(extra);
    core.commitStack();
    dropInnerSegments(core);
    core.syncMode();
  }
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

function iret(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if ((words[State.GuestMode] & GuestRun.FlagInstructions) !== 0 && core.intercepted(Intercept.Iret, 0, pc))
    return core.exit();
  const size = core.sizeOf(pc);
  if ((words[State.Flags] & Flag.Nt) !== 0) return core.longMode ? core.protection() : Status.Unsupported;
  const from64 = core.mode === 64;
  core.beginStack();
  let image = 0;
  // Zen 3 reads the flags first, Intel last.
  if (core.amd) {
    core.moveStack(2 << size);
    if (!core.pop(size)) return Status.Fault;
    image = core.lo;
    core.beginStack();
  }
  if (!core.pop(size)) return Status.Fault;
  const lo = size === 1 ? core.lo & 0xffff : core.lo;
  const { hi } = core;
  if (!core.popSelector(size)) return Status.Fault;
  const selector = core.lo;
  if (core.amd) core.moveStack(1 << size);
  else if (core.pop(size)) image = core.lo;
  else return Status.Fault;
  if (size === 1) image &= 0xffff;
  if (!core.longMode && size === 2 && (image & Flag.Vm) !== 0 && words[State.Cpl] === 0)
    return Status.Unsupported;
  const rpl = selector & 3;
  const outer = rpl !== words[State.Cpl];
  const loadsStack = outer || from64;
  if (core.amd && loadsStack && !popOuterStack(core, size)) return Status.Fault;
  if (!checkReturn(core, selector)) return Status.Fault;
  if (loadsStack) {
    if (!core.amd && !popOuterStack(core, size)) return Status.Fault;
    if (!checkReturnStack(core, outerSelector, rpl)) return Status.Fault;
  }
  // The offset comes last, behind the new stack segment.
  if (!target.checkOffset(core, lo, hi) || !target.setAccessed(core)) return Status.Fault;
  loadFlags(core, image, size);
  words[State.NmiBlocked] = 0;
  if (loadsStack) {
    target.commit(core, rpl, lo, hi);
    loadReturnStack(core, outerSelector, rpl, outerLo, outerHi);
    if (outer) dropInnerSegments(core);
  } else {
    core.commitStack();
    target.commit(core, rpl, lo, hi);
  }
  core.syncMode();
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

/** INT n, INT3, INTO, INT1: the run loop delivers them; RIP that gets pushed is the next one. */
function softwareInterrupt(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  if (variant === Vector.Of && (arithmeticFlags(core.words) & Flag.Of) === 0) return Status.Next;
  const vector = variant === 0 ? core.code[pc + Entry.Immediate] & 0xff : variant;
  if ((core.words[State.GuestMode] & GuestRun.FlagInstructions) !== 0) {
    if (variant === 0 && core.intercepted(Intercept.SoftwareInterrupt, vector, pc)) return core.exit();
    if (variant === Vector.Db && core.intercepted(Intercept.Icebp, 0, pc)) return core.exit();
  }
  return core.softwareEvent(pc, vector, variant === 0);
}

export const FAR_TRANSFERS: Family = {
  jmpf: jumpFar,
  callf: callFar,
  retf: returnFar,
  iret,
  int: [softwareInterrupt, 0],
  int1: [softwareInterrupt, Vector.Db],
  int3: [softwareInterrupt, Vector.Bp],
  into: [softwareInterrupt, Vector.Of],
};
