import { Flag, State } from "../../cpu-state.js";
import { compare, Relation } from "../../floating-point/compare.js";
import { classOf } from "../../floating-point/extended.js";
import { FloatFlag, Part, Slot } from "../../floating-point/float-context.js";
import { conditionHolds, setArithmeticFlags } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  begin,
  conclude,
  FpuStatusBit,
  fpuOpcode,
  hasMemoryOperand,
  isEmpty,
  pop,
  put,
  setConditions,
  stackFault,
  take,
} from "../x87-unit.js";
import { loadOperand, unpackOperand } from "./x87-arithmetic.js";

/** Bits of the variant of comparisons. */
const Comparison = {
  /** How often to pop. */
  Pops: 3,
  /** Quiet NaNs are no invalid operands. */
  Quiet: 4,
  /** The result goes to EFLAGS. */
  ToFlags: 8,
  /** With +0.0. */
  Zero: 16,
} as const;

/** C3, C2 and C0 by relation, less first. */
const CONDITIONS = [
  FpuStatusBit.C0,
  FpuStatusBit.C3,
  0,
  FpuStatusBit.C0 | FpuStatusBit.C2 | FpuStatusBit.C3,
] as const;
/** CF, ZF and PF likewise. */
const FLAGS = [Flag.Cf, Flag.Zf, 0, Flag.Cf | Flag.Pf | Flag.Zf] as const;

function comparison(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const opcode = fpuOpcode(core, pc);
  const variant = core.variantOf(pc);
  const memory = hasMemoryOperand(opcode);
  if (memory && !loadOperand(core, pc, opcode)) return Status.Fault;
  const zero = (variant & Comparison.Zero) !== 0;
  const other = opcode & 7;
  let relation: number = Relation.Unordered;
  if (isEmpty(words, 0) || (!memory && !zero && isEmpty(words, other))) stackFault(core, false);
  else {
    take(core, 0, Slot.A);
    if (zero) float.unpack(Slot.B, 0, 0, 0);
    else if (memory) unpackOperand(core, opcode);
    else take(core, other, Slot.B);
    relation = compare(float, (variant & Comparison.Quiet) !== 0);
  }
  const toFlags = (variant & Comparison.ToFlags) !== 0;
  // AMD's FCOMI leaves C1 as it was, unless there is a stack fault.
  const c1 = words[State.FpuStatus] & FpuStatusBit.C1;
  const pops = conclude(core, pc);
  if (core.amd && toFlags && (float.flags & FloatFlag.StackFault) === 0) words[State.FpuStatus] |= c1;
  if (toFlags) setArithmeticFlags(words, FLAGS[relation + 1]);
  else setConditions(words, CONDITIONS[relation + 1]);
  if (!pops) return Status.Next;
  for (let count = variant & Comparison.Pops; count > 0; count--) pop(words);
  return Status.Next;
}

/** C3, C2 and C0 of FXAM by class. */
const EXAMINED: readonly number[] = [
  FpuStatusBit.C3, // zero
  FpuStatusBit.C2, // normal
  FpuStatusBit.C2 | FpuStatusBit.C3, // denormal
  FpuStatusBit.C0 | FpuStatusBit.C2, // infinity
  FpuStatusBit.C0, // NaN
  FpuStatusBit.C0,
  0, // unsupported
];
const EMPTY = FpuStatusBit.C0 | FpuStatusBit.C3;

/** FXAM: the class to C3, C2 and C0, the sign to C1, of an empty register too. */
function examine(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  take(core, 0, Slot.A);
  conclude(core, pc);
  const kind = isEmpty(words, 0) ? EMPTY : EXAMINED[classOf(float.words, Slot.A)];
  setConditions(words, kind | (float.words[Slot.A + Part.Sign] === 1 ? FpuStatusBit.C1 : 0));
  return Status.Next;
}

/** FCMOVcc: the variant is the condition code. */
function conditionalMove(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { words } = core;
  const other = fpuOpcode(core, pc) & 7;
  const moves = conditionHolds(
    core.variantOf(pc),
    words[State.FlagsZero],
    words[State.FlagsSign],
    words[State.FlagsParity],
    words[State.FlagsCarry],
  );
  const fault = isEmpty(words, 0) || isEmpty(words, other);
  // C1 changes with a stack fault only.
  const c1 = fault ? 0 : words[State.FpuStatus] & FpuStatusBit.C1;
  if (fault) stackFault(core, false);
  else take(core, other, Slot.R);
  if (conclude(core, pc) && (moves || fault)) put(core, 0, Slot.R);
  words[State.FpuStatus] |= c1;
  return Status.Next;
}

/** Condition codes in their encoding; FCMOVU moves when PF is set. */
const Condition = {
  Below: 2,
  AboveOrEqual: 3,
  Equal: 4,
  NotEqual: 5,
  BelowOrEqual: 6,
  Above: 7,
  Parity: 10,
  NoParity: 11,
} as const;

export const X87_COMPARE: Family = {
  fcom: [comparison, 0],
  fcomp: [comparison, 1],
  fcompp: [comparison, 2],
  ficom: [comparison, 0],
  ficomp: [comparison, 1],
  fucom: [comparison, Comparison.Quiet],
  fucomp: [comparison, Comparison.Quiet + 1],
  fucompp: [comparison, Comparison.Quiet + 2],
  ftst: [comparison, Comparison.Zero],
  fcomi: [comparison, Comparison.ToFlags],
  fcomip: [comparison, Comparison.ToFlags + 1],
  fucomi: [comparison, Comparison.ToFlags | Comparison.Quiet],
  fucomip: [comparison, (Comparison.ToFlags | Comparison.Quiet) + 1],
  fxam: examine,
  fcmovb: [conditionalMove, Condition.Below],
  fcmovnb: [conditionalMove, Condition.AboveOrEqual],
  fcmove: [conditionalMove, Condition.Equal],
  fcmovne: [conditionalMove, Condition.NotEqual],
  fcmovbe: [conditionalMove, Condition.BelowOrEqual],
  fcmovnbe: [conditionalMove, Condition.Above],
  fcmovu: [conditionalMove, Condition.Parity],
  fcmovnu: [conditionalMove, Condition.NoParity],
};
