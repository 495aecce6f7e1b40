import { Segment, SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "../interpreter/core.js";
import { Status } from "../interpreter/entry.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorDpl,
  SystemType,
  setNull,
  tableLimit,
} from "./descriptor.js";
import { privilegeStack64 } from "./task-state.js";

const PARAMETERS = 31;

/**
 * Far CALL or JMP through the call gate that `core.codeTarget` has read (SDM vol. 3, 6.8.3 to 6.8.5).
 * @param isCall CALL, which may go to an inner level @param pc entry of the instruction
 * @returns `Status.Next` with CS, RIP and the stack in place, or `Status.Fault`
 */
export function passCallGate(core: ExecutionCore, isCall: boolean, pc: number): number {
  const { words, codeTarget: target, longMode } = core;
  const { selector, lo: gateLo, hi: gateHi, atLo, atHi } = target;
  const error = selector & 0xfffc;
  const cpl = words[State.Cpl];
  const dpl = descriptorDpl(gateHi);
  if (dpl < cpl || dpl < (selector & 3)) return core.raise(Vector.Gp, error);
  if ((descriptorAttributes(gateHi) & Attribute.Present) === 0) return core.raise(Vector.Np, error);
  const narrow = (descriptorAttributes(gateHi) & 15) === SystemType.CallGate16;
  const size = longMode ? 3 : narrow ? 1 : 2;
  const offsetLo = (gateLo & 0xffff) | (narrow ? 0 : gateHi & 0xffff0000);
  let offsetHi = 0;
  if (longMode) {
    if ((selector & 0xfff8) + 15 > tableLimit(words, selector)) return core.raise(Vector.Gp, error);
    const upper = (atLo + 8) | 0;
    if (!core.readSystem(upper, upper >>> 0 < 8 ? (atHi + 1) | 0 : atHi, 3)) return Status.Fault;
    if ((core.hi & 0x1f00) !== 0) return core.raise(Vector.Gp, error);
    offsetHi = core.lo;
  }
  if (!target.read(core, gateLo >>> 16)) return Status.Fault;
  const code = target.selector & 0xfffc;
  const outward = !isCall && !target.conforming && target.dpl !== cpl;
  if (target.system || target.dpl > cpl || outward) return core.raise(Vector.Gp, code);
  if (longMode && (!target.is64(core) || (descriptorAttributes(target.hi) & Attribute.Big) !== 0))
    return core.raise(Vector.Gp, code);
  if (!target.checkPresent(core)) return Status.Fault;
  const level = target.conforming ? cpl : target.dpl;
  if (level !== cpl)
    return longMode
      ? callInner64(core, level, offsetLo, offsetHi, pc)
      : callInner(core, level, size, gateHi & PARAMETERS, offsetLo, pc);
  core.beginStack();
  if (isCall) {
    if (!core.push(size, words[State.Segments + 8 * Segment.Cs], 0)) return Status.Fault;
    core.nextRip(pc);
    if (!core.push(size, core.lo, core.hi)) return Status.Fault;
  }
  if (!target.checkOffset(core, offsetLo, offsetHi) || !target.setAccessed(core)) return Status.Fault;
  core.commitStack();
  target.commit(core, cpl, offsetLo, offsetHi);
  return Status.Next;
}

/** Inner level outside long mode: SS:SP from the TSS, parameters copied from the outer stack. */
function callInner(
  core: ExecutionCore,
  level: number,
  size: number,
  parameters: number,
  offset: number,
  pc: number,
): number {
  const { words, codeTarget: target, innerStack: stack } = core;
  if (!stack.read(core, level, 0)) return Status.Fault;
  if (!stack.reserve(core, (4 + parameters) << size, 0)) return Status.Fault;
  if (!target.checkOffset(core, offset, 0)) return Status.Fault;
  if (!stack.push(core, size, words[State.Segments + 8 * Segment.Ss])) return Status.Fault;
  if (!stack.push(core, size, words[State.Gpr + 8])) return Status.Fault;
  for (let i = parameters - 1; i >= 0; i--) {
    core.beginStack();
    core.moveStack(i << size);
    if (!core.pop(size) || !stack.push(core, size, core.lo)) return Status.Fault;
  }
  if (!stack.push(core, size, words[State.Segments + 8 * Segment.Cs])) return Status.Fault;
  core.nextRip(pc);
  if (!stack.push(core, size, core.lo)) return Status.Fault;
  if (!target.setAccessed(core)) return Status.Fault;
  stack.commit(words);
  target.commit(core, level, offset, 0);
  return Status.Next;
}

/** Inner level in long mode: RSP from the TSS, SS null. */
function callInner64(
  core: ExecutionCore,
  level: number,
  offsetLo: number,
  offsetHi: number,
  pc: number,
): number {
  const { words, codeTarget: target } = core;
  if (!privilegeStack64(core, level, 0)) return Status.Fault;
  core.spLo = core.lo;
  core.spHi = core.hi;
  if (!core.canonical(core.spLo, core.spHi)) return core.raise(Vector.Ss, 0);
  if (!target.checkOffset(core, offsetLo, offsetHi)) return Status.Fault;
  const ss = State.Segments + 8 * Segment.Ss;
  if (!pushInner64(core, words[ss], 0)) return Status.Fault;
  if (!pushInner64(core, words[State.Gpr + 8], words[State.Gpr + 9])) return Status.Fault;
  if (!pushInner64(core, words[State.Segments + 8 * Segment.Cs], 0)) return Status.Fault;
  core.nextRip(pc);
  if (!pushInner64(core, core.lo, core.hi)) return Status.Fault;
  if (!target.setAccessed(core)) return Status.Fault;
  words[State.Gpr + 8] = core.spLo;
  words[State.Gpr + 9] = core.spHi;
  setNull(words, Segment.Ss, level, false);
  words[ss + SegmentWord.Attributes] |= level << Attribute.DplShift;
  target.commit(core, level, offsetLo, offsetHi);
  return Status.Next;
}

function pushInner64(core: ExecutionCore, lo: number, hi: number): boolean {
  const old = core.spLo;
  core.spLo = (old - 8) | 0;
  if (old >>> 0 < 8) core.spHi = (core.spHi - 1) | 0;
  return core.writeSystem(core.spLo, core.spHi, 3, lo, hi);
}
