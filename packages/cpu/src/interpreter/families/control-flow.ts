import { Cause } from "@hyperwalk/mmu";
import { State } from "../../cpu-state.js";
import { CONDITIONS } from "../../decode/opcode-tables.js";
import { conditionHolds } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";

/*
 * Near transfers in every size. The hot loop has the common forms; these serve 16-bit operand sizes, segments that are
 * not flat, and memory targets.
 */

function penalty(core: ExecutionCore, amount: number): void {
  if (amount !== 0) core.ledger.charge(Cause.Branch, amount);
}

function addressOf(core: ExecutionCore, pc: number): number {
  return (core.words[State.RipLo] + (core.code[pc + Entry.Where] & 0xffff)) | 0;
}

/** Conditional branch on `taken`: prediction, then the jump or the next instruction. */
function branch(core: ExecutionCore, pc: number, taken: boolean): number {
  const address = addressOf(core, pc);
  core.relativeTarget(pc);
  penalty(core, core.processor.predictor.conditional(address, taken ? 1 : 0, core.lo));
  if (!taken) return Status.EndBlock;
  return core.jump(core.lo, core.hi);
}

function jcc(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const taken = conditionHolds(
    core.variantOf(pc),
    words[State.FlagsZero],
    words[State.FlagsSign],
    words[State.FlagsParity],
    words[State.FlagsCarry],
  );
  return branch(core, pc, taken);
}

/** rCX of the address size, 0 when it is zero. */
function counter(core: ExecutionCore, addressSize: number): number {
  const { words } = core;
  const lo = words[State.Gpr + 2];
  if (addressSize === 1) return lo & 0xffff;
  return addressSize === 2 ? lo : lo | words[State.Gpr + 3];
}

/** On Zen 3 a repeat prefix decides between LOOPE and LOOPNE, as for CMPS; Intel ignores it. */
function loopVariant(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const repeat = core.code[pc + Entry.Form] & (Form.RepeatEqual | Form.RepeatNotEqual);
  if (!core.amd || repeat === 0 || variant === 2) return variant;
  return repeat === Form.RepeatEqual ? 1 : 0;
}

/** LOOPNE, LOOPE, LOOP. */
function loop(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const addressSize = (core.code[pc + Entry.Form] >> Form.AddressShift) & 3;
  const lo = words[State.Gpr + 2];
  core.writeRegister(2, addressSize, (lo - 1) | 0, (words[State.Gpr + 3] - (lo === 0 ? 1 : 0)) | 0);
  const variant = loopVariant(core, pc);
  const zero = words[State.FlagsZero] === 0;
  const condition = variant === 2 || (variant === 1) === zero;
  return branch(core, pc, condition && counter(core, addressSize) !== 0);
}

function jrcxz(core: ExecutionCore, pc: number): number {
  const addressSize = (core.code[pc + Entry.Form] >> Form.AddressShift) & 3;
  return branch(core, pc, counter(core, addressSize) === 0);
}

/** Target of a jump or call to lo, hi. */
function target(core: ExecutionCore, pc: number): boolean {
  if (core.variantOf(pc) === 1) {
    core.relativeTarget(pc);
    return true;
  }
  const size = core.sizeOf(pc);
  if (!core.first(pc, size)) return false;
  if (size === 1) core.lo &= 0xffff;
  return true;
}

function jmp(core: ExecutionCore, pc: number): number {
  const address = addressOf(core, pc);
  if (!target(core, pc)) return Status.Fault;
  const { lo, hi } = core;
  const { predictor } = core.processor;
  const status = core.jump(lo, hi);
  if (status !== Status.Jump) return status;
  penalty(core, core.variantOf(pc) === 1 ? predictor.direct(address, lo) : predictor.indirect(address, lo));
  return status;
}

function call(core: ExecutionCore, pc: number): number {
  const address = addressOf(core, pc);
  if (!target(core, pc)) return Status.Fault;
  const { lo, hi } = core;
  const size = core.sizeOf(pc);
  core.nextRip(pc);
  const returnLo = core.lo;
  core.beginStack();
  // AMD leaves no return address in memory when a bad target faults (APM vol. 3, CALL (Near)); the stack faults first.
  if (core.amd && !core.reachable(lo, hi)) {
    core.moveStack(-(1 << size));
    return core.probeStack(1 << size) ? core.protection() : Status.Fault;
  }
  if (!core.push(size, returnLo, core.hi)) return Status.Fault;
  // On Intel the return address is in memory already when a bad target faults.
  const status = core.jump(lo, hi);
  if (status !== Status.Jump) return status;
  core.commitStack();
  const { predictor } = core.processor;
  penalty(core, core.variantOf(pc) === 1 ? predictor.direct(address, lo) : predictor.indirect(address, lo));
  predictor.call(returnLo);
  return status;
}

function ret(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  core.beginStack();
  if (!core.pop(size)) return Status.Fault;
  const lo = size === 1 ? core.lo & 0xffff : core.lo;
  core.moveStack(core.code[pc + Entry.Immediate] & 0xffff);
  const status = core.jump(lo, core.hi);
  if (status !== Status.Jump) return status;
  core.commitStack();
  penalty(core, core.processor.predictor.return(lo));
  return status;
}

export const CONTROL_FLOW: Family = {
  ...Object.fromEntries(CONDITIONS.map((cc, i) => [`j${cc}`, [jcc, i] as const])),
  loopne: [loop, 0],
  loope: [loop, 1],
  loop: [loop, 2],
  jrcxz,
  jmp,
  call,
  ret,
};
