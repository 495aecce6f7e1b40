import { State } from "../../cpu-state.js";
import { AngleFunction, angle, isOutOfRange } from "../../floating-point/angle.js";
import { arctangent } from "../../floating-point/arctangent.js";
import { exponential } from "../../floating-point/exponential.js";
import { BIAS, Class, classOf, setResult } from "../../floating-point/extended.js";
import { Slot } from "../../floating-point/float-context.js";
import { timesLogarithm, timesLogarithmPlusOne } from "../../floating-point/logarithm.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";
import {
  begin,
  conclude,
  concludeTop,
  FpuStatusBit,
  isEmpty,
  pop,
  put,
  rotate,
  stackFault,
  take,
} from "../x87-unit.js";

/** FSIN, FCOS, F2XM1 by variant. */
const Unary = { Sine: 0, Cosine: 1, Exponential: 2 } as const;

/** Ends an angle function whose argument is too large: C2 says so, and nothing else changes but C1. */
function refuseArgument(core: ExecutionCore, pc: number): number {
  const { words } = core;
  conclude(core, pc);
  words[State.FpuStatus] |= FpuStatusBit.C2;
  return Status.Next;
}

function clearC2(words: Int32Array): void {
  words[State.FpuStatus] &= ~FpuStatusBit.C2;
}

function unary(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const variant = core.variantOf(pc);
  if (isEmpty(words, 0)) stackFault(core, false);
  else {
    take(core, 0, Slot.A);
    if (variant === Unary.Exponential) exponential(float);
    else if (isOutOfRange(float)) return refuseArgument(core, pc);
    else angle(float, variant === Unary.Sine ? AngleFunction.Sine : AngleFunction.Cosine);
  }
  if (variant !== Unary.Exponential) clearC2(words);
  concludeTop(core, pc);
  return Status.Next;
}

/** FPTAN (variant 0), which pushes 1, and FSINCOS, which pushes the cosine. */
function twoResults(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const sincos = core.variantOf(pc) === 1;
  const full = !isEmpty(words, 7);
  if (isEmpty(words, 0) || full) {
    stackFault(core, !isEmpty(words, 0));
    float.copy(Slot.R, Slot.B);
  } else {
    take(core, 0, Slot.A);
    if (isOutOfRange(float)) return refuseArgument(core, pc);
    const special = classOf(float.words, Slot.A) >= Class.Infinity;
    angle(float, sincos ? AngleFunction.Sine : AngleFunction.Tangent);
    float.copy(Slot.R, Slot.B);
    if (sincos) {
      take(core, 0, Slot.A);
      angle(float, AngleFunction.Cosine);
    } else if (!special) setResult(float.words, 0, 0x80000000 | 0, BIAS, 0);
  }
  clearC2(words);
  if (!conclude(core, pc)) return Status.Next;
  put(core, 0, Slot.B);
  rotate(words, -1);
  put(core, 0, Slot.R);
  return Status.Next;
}

/** FPATAN, FYL2X, FYL2XP1: ST(1) becomes the result, ST(0) is popped. */
const Binary = { Arctangent: 0, Logarithm: 1, LogarithmPlusOne: 2 } as const;

function binary(core: ExecutionCore, pc: number): number {
  if (!begin(core)) return Status.Fault;
  const { float, words } = core;
  const variant = core.variantOf(pc);
  if (isEmpty(words, 0) || isEmpty(words, 1)) stackFault(core, false);
  else {
    take(core, 0, Slot.A);
    take(core, 1, Slot.B);
    if (variant === Binary.Arctangent) arctangent(float);
    else if (variant === Binary.Logarithm) timesLogarithm(float);
    else timesLogarithmPlusOne(float);
  }
  if (!conclude(core, pc)) return Status.Next;
  put(core, 1, Slot.R);
  pop(words);
  return Status.Next;
}

export const X87_TRANSCENDENTAL: Family = {
  fsin: [unary, Unary.Sine],
  fcos: [unary, Unary.Cosine],
  f2xm1: [unary, Unary.Exponential],
  fptan: [twoResults, 0],
  fsincos: [twoResults, 1],
  fpatan: [binary, Binary.Arctangent],
  fyl2x: [binary, Binary.Logarithm],
  fyl2xp1: [binary, Binary.LogarithmPlusOne],
};
