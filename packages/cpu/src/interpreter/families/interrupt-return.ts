import { Cause } from "@hyperwalk/mmu";
import { Flag, GuestRun, Segment, SegmentWord, State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { Intercept, TaskSwitchSource } from "../../guest-mode.js";
import { arithmeticFlags, unpackFlags } from "../../registers/flags.js";
import { transferParagraph } from "../../segmentation/code-segment.js";
import { setParagraph } from "../../segmentation/descriptor.js";
import { dropInnerSegments } from "../../segmentation/return-stack.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { checkReturn, switchTask } from "./far-transfers.js";
import { loadFlags } from "./stack.js";

/** EFLAGS bits that IRET to virtual-8086 mode loads. */
const FLAGS_DEFINED = 0x3f7fd5;
const PREVIOUS_TASK = 0;
/** ESP, SS, ES, DS, FS, GS above EFLAGS. */
const VIRTUAL_8086_SEGMENTS: readonly number[] = [Segment.Ss, Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs];

/** Real mode, and virtual-8086 mode with IOPL 3: IP, CS and FLAGS from the stack. */
function iretReal(core: ExecutionCore, size: number): number {
  if (!core.flagsPrivileged) return core.protection();
  core.beginStack();
  if (!core.pop(size)) return Status.Fault;
  const offset = size === 1 ? core.lo & 0xffff : core.lo;
  if (!core.popSelector(size)) return Status.Fault;
  const selector = core.lo;
  if (!core.pop(size)) return Status.Fault;
  const image = core.lo;
  if (!transferParagraph(core, selector, offset)) return Status.Fault;
  core.commitStack();
  loadFlags(core, image, size);
  return Status.Jump;
}

/** The task that a CALL or an event nested this one in: its TSS is named by the link of the current one. */
function iretTask(core: ExecutionCore, pc: number): number {
  const base = core.words[State.Segments + 8 * Segment.Tr + SegmentWord.BaseLo];
  if (!core.readSystem((base + PREVIOUS_TASK) | 0, 0, 1)) return Status.Fault;
  const status = switchTask(core, pc, TaskSwitchSource.Iret, core.lo & 0xffff);
  return status === Status.Next ? Status.Jump : status;
}

/** To virtual-8086 mode, from CPL 0 with VM in the image; everything is popped before anything changes. */
function iretVirtual8086(core: ExecutionCore, lo: number, selector: number, image: number): number {
  const { words } = core;
  const { spLo, spHi } = core;
  if (lo >>> 0 > 0xffff) return core.protection();
  // Six slots have to be readable first.
  for (let i = 0; i < 6; i++) if (!core.pop(2)) return Status.Fault;
  core.spLo = spLo;
  core.spHi = spHi;
  if (!core.pop(2)) return Status.Fault;
  const stack = core.lo;
  unpackFlags(words, image & FLAGS_DEFINED);
  for (const segment of VIRTUAL_8086_SEGMENTS) {
    core.pop(2);
    // The current stack stays until all of it is read.
    words[State.Segments + 8 * segment] = core.lo & 0xffff;
  }
  setParagraph(words, Segment.Cs, selector);
  for (const segment of VIRTUAL_8086_SEGMENTS)
    setParagraph(words, segment, words[State.Segments + 8 * segment]);
  words[State.Gpr + 8] = stack;
  words[State.RipLo] = lo;
  words[State.RipHi] = 0;
  words[State.Cpl] = 3;
  core.noteSegments();
  core.syncMode();
  core.syncTranslation();
  return Status.Jump;
}

function iret(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if ((words[State.GuestMode] & GuestRun.FlagInstructions) !== 0 && core.intercepted(Intercept.Iret, 0, pc))
    return core.exit();
  const size = core.sizeOf(pc);
  let status: number;
  if (core.realAddressing) status = iretReal(core, size);
  else if ((words[State.Flags] & Flag.Nt) !== 0)
    status = core.longMode ? core.protection() : iretTask(core, pc);
  else status = iretProtected(core, size);
  if (status !== Status.Jump) return status;
  words[State.NmiBlocked] = 0;
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

function iretProtected(core: ExecutionCore, size: number): number {
  const { words, codeTarget: target, returnStack } = core;
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
    return iretVirtual8086(core, lo, selector, image);
  const rpl = selector & 3;
  const outer = rpl !== words[State.Cpl];
  const loadsStack = outer || from64;
  if (core.amd && loadsStack && !returnStack.pop(core, size)) return Status.Fault;
  if (!checkReturn(core, selector)) return Status.Fault;
  if (loadsStack) {
    if (!core.amd && !returnStack.pop(core, size)) return Status.Fault;
    if (!returnStack.check(core, target, rpl)) return Status.Fault;
  }
  // The offset comes last, behind the new stack segment.
  if (!target.checkOffset(core, lo, hi) || !target.setAccessed(core)) return Status.Fault;
  loadFlags(core, image, size);
  if (loadsStack) {
    target.commit(core, rpl, lo, hi);
    returnStack.commit(core, rpl);
    if (outer) dropInnerSegments(core);
  } else {
    core.commitStack();
    target.commit(core, rpl, lo, hi);
  }
  core.syncMode();
  return Status.Jump;
}

/** INT n, INT3, INTO, INT1: the run loop delivers them; RIP that gets pushed is the next one. */
function softwareInterrupt(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  if (variant === Vector.Of && (arithmeticFlags(core.words) & Flag.Of) === 0) return Status.Next;
  if (variant === 0 && !core.flagsPrivileged) return core.protection();
  const vector = variant === 0 ? core.code[pc + Entry.Immediate] & 0xff : variant;
  if ((core.words[State.GuestMode] & GuestRun.FlagInstructions) !== 0) {
    if (variant === 0 && core.intercepted(Intercept.SoftwareInterrupt, vector, pc)) return core.exit();
    if (variant === Vector.Db && core.intercepted(Intercept.Icebp, 0, pc)) return core.exit();
  }
  return core.softwareEvent(pc, vector, variant === 0);
}

export const INTERRUPT_RETURN: Family = {
  iret,
  int: [softwareInterrupt, 0],
  int1: [softwareInterrupt, Vector.Db],
  int3: [softwareInterrupt, Vector.Bp],
  into: [softwareInterrupt, Vector.Of],
};
