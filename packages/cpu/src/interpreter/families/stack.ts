import { ARITHMETIC_FLAGS, Flag, GuestRun, State } from "../../cpu-state.js";
import { Intercept } from "../../guest-mode.js";
import { packFlags, setArithmeticFlags } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";

function push(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if ((core.code[pc + Entry.Form] & 0x1000) !== 0) core.second(pc, size);
  else if (!core.first(pc, size)) return Status.Fault;
  const { lo, hi } = core;
  core.beginStack();
  if (!core.push(size, lo, hi)) return Status.Fault;
  core.commitStack();
  return Status.Next;
}

/** POP; an address that uses rSP sees it after the increment. */
function pop(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  core.beginStack();
  if (!core.pop(size)) return Status.Fault;
  const { lo, hi } = core;
  const { words } = core;
  const spLo = words[State.Gpr + 8];
  const spHi = words[State.Gpr + 9];
  core.commitStack();
  if (core.writeFirst(pc, size, lo, hi)) return Status.Next;
  words[State.Gpr + 8] = spLo;
  words[State.Gpr + 9] = spHi;
  return Status.Fault;
}

function pushAll(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  core.beginStack();
  for (let register = 0; register < 8; register++)
    if (!core.push(size, core.words[State.Gpr + 2 * register], 0)) return Status.Fault;
  core.commitStack();
  return Status.Next;
}

/** POPA; processors write each register as they go, and rSP last. */
function popAll(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  core.beginStack();
  for (let register = 7; register >= 0; register--) {
    if (!core.pop(size)) return Status.Fault;
    if (register !== 4) core.writeRegister(2 * register, size, core.lo, 0);
  }
  core.commitStack();
  return Status.Next;
}

/** Whether the guest is left before PUSHF, POPF or their kin. */
function leaves(core: ExecutionCore, event: number, pc: number): boolean {
  return (core.words[State.GuestMode] & GuestRun.FlagInstructions) !== 0 && core.intercepted(event, 0, pc);
}

function pushf(core: ExecutionCore, pc: number): number {
  if (leaves(core, Intercept.Pushf, pc)) return core.exit();
  if (!core.flagsPrivileged) return core.protection();
  core.beginStack();
  if (!core.push(core.sizeOf(pc), packFlags(core.words) & ~(Flag.Vm | Flag.Rf), 0)) return Status.Fault;
  core.commitStack();
  return Status.Next;
}

/**
 * Takes RFLAGS as POPF and IRET do: IOPL changes at CPL 0 only, IF at CPL <= IOPL, VM, VIF and VIP not at all.
 * @param size log2 bytes of the image
 */
export function loadFlags(core: ExecutionCore, image: number, size: number): void {
  const { words } = core;
  const old = words[State.Flags];
  const cpl = words[State.Cpl];
  let changeable = ARITHMETIC_FLAGS | Flag.Tf | Flag.Df | Flag.Nt | Flag.Rf | Flag.Ac | Flag.Id;
  if (cpl === 0) changeable |= Flag.Iopl;
  if (cpl <= (old & Flag.Iopl) >> 12) changeable |= Flag.If;
  if (size === 1) changeable &= 0xffff;
  setArithmeticFlags(words, image);
  words[State.Flags] = (old & ~changeable) | (image & changeable & ~ARITHMETIC_FLAGS) | 2;
  if (((old ^ words[State.Flags]) & Flag.Ac) !== 0) {
    core.syncTranslation();
    core.syncMode();
  }
}

function popf(core: ExecutionCore, pc: number): number {
  if (leaves(core, Intercept.Popf, pc)) return core.exit();
  if (!core.flagsPrivileged) return core.protection();
  core.beginStack();
  const size = core.sizeOf(pc);
  if (!core.pop(size)) return Status.Fault;
  core.commitStack();
  loadFlags(core, core.lo & ~Flag.Rf, size);
  core.words[State.Flags] &= ~Flag.Rf;
  return Status.EndBlock;
}

function enter(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  const { code, words } = core;
  const room = code[pc + Entry.Immediate] & 0xffff;
  const level = code[pc + Entry.ImmediateHi] & 31;
  const frameCode = State.Gpr + 10;
  core.beginStack();
  core.readRegister(frameCode, size);
  if (!core.push(size, core.lo, core.hi)) return Status.Fault;
  const frameLo = core.spLo;
  const frameHi = core.spHi;
  if (level > 0) {
    const oldLo = words[frameCode];
    const oldHi = words[frameCode + 1];
    for (let i = 1; i < level; i++) {
      const { spLo, spHi } = core;
      core.spLo = oldLo;
      core.spHi = oldHi;
      core.moveStack(-(i << size));
      if (!core.pop(size)) return Status.Fault;
      const { lo, hi } = core;
      core.spLo = spLo;
      core.spHi = spHi;
      if (!core.push(size, lo, hi)) return Status.Fault;
    }
    if (!core.push(size, frameLo, frameHi)) return Status.Fault;
  }
  core.moveStack(-room);
  // A write to where the stack pointer ends up would have to succeed.
  if (!core.probeStack(1, 1 << size)) return Status.Fault;
  core.commitStack();
  core.writeRegister(frameCode, size, frameLo, frameHi);
  return Status.Next;
}

function leave(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const size = core.sizeOf(pc);
  core.spLo = words[State.Gpr + 10];
  core.spHi = words[State.Gpr + 11];
  if (core.stackAddressSize === 1) core.spLo = (words[State.Gpr + 8] & ~0xffff) | (core.spLo & 0xffff);
  if (!core.pop(size)) return Status.Fault;
  core.commitStack();
  core.writeRegister(State.Gpr + 10, size, core.lo, core.hi);
  return Status.Next;
}

export const STACK: Family = { push, pop, pusha: pushAll, popa: popAll, pushf, popf, enter, leave };
