import { Cause } from "@hyperwalk/mmu";
import { Segment, State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { TaskSwitchSource } from "../../guest-mode.js";
import { packFlags } from "../../registers/flags.js";
import { passCallGate } from "../../segmentation/call-gate.js";
import { transferParagraph } from "../../segmentation/code-segment.js";
import { Attribute, descriptorAttributes, descriptorDpl, SystemType } from "../../segmentation/descriptor.js";
import { dropInnerSegments } from "../../segmentation/return-stack.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { readFarPointer } from "./segments.js";

/** Far pointer operand: offset to lo, hi; selector returned, or -1 with a fault. */
function farOperand(core: ExecutionCore, pc: number): number {
  if (core.variantOf(pc) === 0) return readFarPointer(core, pc);
  core.lo = core.code[pc + Entry.Immediate];
  core.hi = 0;
  return core.code[pc + Entry.ImmediateHi] & 0xffff;
}

/** Pushes CS and the address of the next instruction on the current stack, which stays uncommitted. */
function pushReturn(core: ExecutionCore, pc: number): boolean {
  const size = core.sizeOf(pc);
  core.beginStack();
  if (!core.push(size, core.words[State.Segments + 8 * Segment.Cs], 0)) return false;
  core.nextRip(pc);
  return core.push(size, core.lo, core.hi);
}

/** JMP and CALL: to code directly, through a call gate, or to another task. */
function transfer(core: ExecutionCore, pc: number, isCall: boolean): number {
  const selector = farOperand(core, pc);
  if (selector < 0) return Status.Fault;
  const { lo, hi } = core;
  const status = core.realAddressing
    ? transferReal(core, pc, isCall, selector, lo)
    : transferProtected(core, pc, isCall, selector, lo, hi);
  if (status !== Status.Next) return status;
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

function transferReal(
  core: ExecutionCore,
  pc: number,
  isCall: boolean,
  selector: number,
  offset: number,
): number {
  if (isCall && !pushReturn(core, pc)) return Status.Fault;
  if (!transferParagraph(core, selector, offset)) return Status.Fault;
  if (isCall) core.commitStack();
  return Status.Next;
}

function transferProtected(
  core: ExecutionCore,
  pc: number,
  isCall: boolean,
  selector: number,
  lo: number,
  hi: number,
): number {
  const { words, codeTarget: target } = core;
  if (!target.read(core, selector)) return Status.Fault;
  if (target.system) return throughSystem(core, pc, isCall, selector);
  const cpl = words[State.Cpl];
  if (target.conforming ? target.dpl > cpl : target.dpl !== cpl || (selector & 3) > cpl)
    return core.raise(Vector.Gp, selector & 0xfffc);
  if (!target.checkSize(core) || !target.checkPresent(core) || !target.checkOffset(core, lo, hi))
    return Status.Fault;
  if (isCall && !pushReturn(core, pc)) return Status.Fault;
  if (!target.setAccessed(core)) return Status.Fault;
  if (isCall) core.commitStack();
  target.commit(core, cpl, lo, hi);
  return Status.Next;
}

/** Call gates, and outside long mode task gates and TSS; #GP on other system descriptors. */
function throughSystem(core: ExecutionCore, pc: number, isCall: boolean, selector: number): number {
  const { words, codeTarget: target, longMode } = core;
  const error = selector & 0xfffc;
  const type = descriptorAttributes(target.hi) & 15;
  if (type === SystemType.CallGate || (type === SystemType.CallGate16 && !longMode))
    return passCallGate(core, isCall, pc);
  const isGate = type === SystemType.TaskGate;
  const isTask = type === SystemType.TssAvailable || type === SystemType.TssAvailable16;
  if (longMode || !(isGate || isTask)) return core.raise(Vector.Gp, error);
  const dpl = descriptorDpl(target.hi);
  if (dpl < words[State.Cpl] || dpl < (selector & 3)) return core.raise(Vector.Gp, error);
  if (isGate && (descriptorAttributes(target.hi) & Attribute.Present) === 0)
    return core.raise(Vector.Np, error);
  const source = isCall ? TaskSwitchSource.Call : TaskSwitchSource.Jump;
  return switchTask(core, pc, source, isGate ? target.lo >>> 16 : selector);
}

/** A task switch by an instruction: the old task resumes behind it. @returns Status.Next in the new task */
export function switchTask(core: ExecutionCore, pc: number, source: number, selector: number): number {
  const { words, taskSwitch } = core;
  core.nextRip(pc);
  let status = taskSwitch.run(core, source, selector, 0, core.lo, packFlags(words), pc);
  if (status === Status.Next) status = taskSwitch.finish(core, false, 0, 0);
  // The run loop adds where the instruction lies in its block to the RIP of a fault, which here is the new task's.
  if (status === Status.Fault && taskSwitch.committed)
    words[State.RipLo] = (words[State.RipLo] - (core.code[pc + Entry.Where] & 0xffff)) | 0;
  return status;
}

function jumpFar(core: ExecutionCore, pc: number): number {
  return transfer(core, pc, false);
}

function callFar(core: ExecutionCore, pc: number): number {
  return transfer(core, pc, true);
}

/** RETF and IRET take the same checks of the return code segment (SDM vol. 2, IRET). */
export function checkReturn(core: ExecutionCore, selector: number): boolean {
  const { words, codeTarget: target } = core;
  if (!target.read(core, selector)) return false;
  const rpl = selector & 3;
  const level = target.conforming ? target.dpl > rpl : target.dpl !== rpl;
  if (target.system || rpl < words[State.Cpl] || level) {
    core.raise(Vector.Gp, selector & 0xfffc);
    return false;
  }
  return target.checkSize(core) && target.checkPresent(core);
}

function returnFar(core: ExecutionCore, pc: number): number {
  const { words, codeTarget: target, returnStack } = core;
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
  if (core.realAddressing) {
    if (!transferParagraph(core, selector, lo)) return Status.Fault;
    core.commitStack();
    core.charge(Cause.Serialise, core.timing.farTransfer);
    return Status.Jump;
  }
  const rpl = selector & 3;
  const outer = rpl !== words[State.Cpl];
  if (core.amd && outer && !returnStack.pop(core, size)) return Status.Fault;
  if (!checkReturn(core, selector)) return Status.Fault;
  if (!outer) {
    if (!target.checkOffset(core, lo, hi) || !target.setAccessed(core)) return Status.Fault;
    core.commitStack();
    target.commit(core, rpl, lo, hi);
  } else {
    if (!core.amd && !returnStack.pop(core, size)) return Status.Fault;
    if (!returnStack.check(core, target, rpl)) return Status.Fault;
    if (!target.checkOffset(core, lo, hi) || !target.setAccessed(core)) return Status.Fault;
    target.commit(core, rpl, lo, hi);
    returnStack.commit(core, rpl);
    core.syncMode();
    core.beginStack();
    core.moveStack(extra);
    core.commitStack();
    dropInnerSegments(core);
    core.syncMode();
  }
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

export const FAR_TRANSFERS: Family = { jmpf: jumpFar, callf: callFar, retf: returnFar };
