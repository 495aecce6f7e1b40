import { State } from "../../cpu-state.js";
import { Rounding } from "../../floating-point/rounding.js";
import {
  fromIntegerLane,
  narrowLane,
  roundLane,
  toIntegerLane,
  widenLane,
} from "../../floating-point/sse-conversion.js";
import type { SseUnit } from "../../floating-point/sse-unit.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Form, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { enterMmx, loadVector, mmxUsable, vectorSource, xmmUsable } from "../vector-operands.js";
import { finish, Layout, layoutSource, settle, wordsIn } from "./sse-results.js";

/** CVTSI2SS, CVTSI2SD: from a general register or memory. */
function fromGeneral(core: ExecutionCore, pc: number): number {
  const size = core.sizeOf(pc);
  if (!xmmUsable(core) || !core.second(pc, size)) return Status.Fault;
  const wide = core.variantOf(pc) === 1;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(core.words[State.Mxcsr]);
  fromIntegerLane(unit, wide, core.lo, size === 3 ? core.hi : core.lo >> 31);
  results[0] = unit.lo;
  results[1] = unit.hi;
  return finish(core, core.code[pc + Entry.A], wide ? 2 : 1);
}

/** Variants: bit 0 binary64, bit 1 truncating. */
function roundingOf(unit: SseUnit, variant: number): number {
  return (variant & 2) !== 0 ? Rounding.Zero : unit.rounding;
}

/** CVTSS2SI, CVTTSS2SI, CVTSD2SI, CVTTSD2SI. */
function toGeneral(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const wide = (variant & 1) !== 0;
  const from = vectorSource(core, pc, wide ? 8 : 4, 0);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const size = core.sizeOf(pc);
  const { sse: unit } = core;
  unit.begin(words[State.Mxcsr]);
  const hi = wide ? words[from + 1] : 0;
  toIntegerLane(unit, wide, words[from], hi, size === 3, roundingOf(unit, variant));
  if (!settle(core)) return Status.Fault;
  core.writeRegister(core.code[pc + Entry.A], size, unit.lo, unit.hi);
  return Status.Next;
}

/** CVTPI2PS, CVTPI2PD: from two integers in an MMX register, which makes the x87 stack MMX's, or in memory. */
function fromMmx(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const inMemory = (code[pc + Entry.Form] & Form.MemorySecond) !== 0;
  const wide = core.variantOf(pc) === 1;
  if (!xmmUsable(core)) return Status.Fault;
  // From memory CVTPI2PD leaves the x87 state alone (SDM vol. 2, CVTPI2PD); on AMD CVTPI2PS does too, as seen on Zen 3.
  const entersMmx = !inMemory || !(wide || core.amd);
  if (entersMmx && !mmxUsable(core)) return Status.Fault;
  const from = inMemory ? loadVector(core, pc, 8, 0) : code[pc + Entry.B];
  if (from < 0) return Status.Fault;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  for (let i = 0; i < 2; i++) {
    fromIntegerLane(unit, wide, words[from + i], words[from + i] >> 31);
    results[wide ? 2 * i : i] = unit.lo;
    if (wide) results[2 * i + 1] = unit.hi;
  }
  if (entersMmx) enterMmx(words);
  return finish(core, code[pc + Entry.A], wide ? 4 : 2);
}

/** CVTPS2PI, CVTTPS2PI, CVTPD2PI, CVTTPD2PI. */
function toMmx(core: ExecutionCore, pc: number): number {
  const { words, code } = core;
  const variant = core.variantOf(pc);
  const wide = (variant & 1) !== 0;
  if (!xmmUsable(core) || !mmxUsable(core)) return Status.Fault;
  const from = vectorSource(core, pc, wide ? 16 : 8, wide ? 15 : 0);
  if (from < 0) return Status.Fault;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  const rounding = roundingOf(unit, variant);
  for (let i = 0; i < 2; i++) {
    if (wide) toIntegerLane(unit, true, words[from + 2 * i], words[from + 2 * i + 1], false, rounding);
    else toIntegerLane(unit, false, words[from + i], 0, false, rounding);
    results[i] = unit.lo;
  }
  // The x87 state becomes MMX's before an unmasked exception is reported, as seen on Zen 3.
  enterMmx(words);
  const to = code[pc + Entry.A];
  if (finish(core, to, 2) === Status.Fault) return Status.Fault;
  words[to + 2] = 0xffff;
  return Status.Next;
}

/** CVTDQ2PS, CVTDQ2PD. */
function fromPacked(core: ExecutionCore, pc: number): number {
  const wide = core.variantOf(pc) === 1;
  const from = vectorSource(core, pc, wide ? 8 : 16, wide ? 0 : 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  for (let i = 0; i < 4; i += wide ? 2 : 1) {
    const value = words[from + (wide ? i >> 1 : i)];
    fromIntegerLane(unit, wide, value, value >> 31);
    results[i] = unit.lo;
    if (wide) results[i + 1] = unit.hi;
  }
  return finish(core, core.code[pc + Entry.A], 4);
}

/** CVTPS2DQ, CVTTPS2DQ, and CVTPD2DQ, CVTTPD2DQ, which clear the upper half. */
function toPacked(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const wide = (variant & 1) !== 0;
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  const rounding = roundingOf(unit, variant);
  results[2] = 0;
  results[3] = 0;
  for (let i = 0; i < (wide ? 2 : 4); i++) {
    if (wide) toIntegerLane(unit, true, words[from + 2 * i], words[from + 2 * i + 1], false, rounding);
    else toIntegerLane(unit, false, words[from + i], 0, false, rounding);
    results[i] = unit.lo;
  }
  return finish(core, core.code[pc + Entry.A], 4);
}

/** CVTPS2PD and CVTSS2SD (variant 1). */
function widen(core: ExecutionCore, pc: number): number {
  const scalar = core.variantOf(pc) === 1;
  const from = vectorSource(core, pc, scalar ? 4 : 8, 0);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const lanes = scalar ? 1 : 2;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  for (let i = 0; i < lanes; i++) {
    widenLane(unit, words[from + i]);
    results[2 * i] = unit.lo;
    results[2 * i + 1] = unit.hi;
  }
  return finish(core, core.code[pc + Entry.A], 2 * lanes);
}

/** CVTPD2PS, which clears the upper half, and CVTSD2SS (variant 1). */
function narrow(core: ExecutionCore, pc: number): number {
  const scalar = core.variantOf(pc) === 1;
  const from = layoutSource(core, pc, scalar ? Layout.Sd : Layout.Pd);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  for (let i = 0; i < (scalar ? 1 : 2); i++) {
    narrowLane(unit, words[from + 2 * i], words[from + 2 * i + 1]);
    results[i] = unit.lo;
  }
  results[2] = 0;
  results[3] = 0;
  return finish(core, core.code[pc + Entry.A], scalar ? 1 : 4);
}

/** Immediate of ROUNDPS and its kin: use MXCSR's rounding; raise no #P. */
const BY_MXCSR = 4;
const NO_PRECISION = 8;

/** ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD. */
function round(core: ExecutionCore, pc: number): number {
  const layout = core.variantOf(pc);
  const from = layoutSource(core, pc, layout);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const how = core.code[pc + Entry.Immediate];
  const wide = (layout & 1) !== 0;
  const count = wordsIn(layout);
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  const rounding = (how & BY_MXCSR) !== 0 ? unit.rounding : how & 3;
  for (let i = 0; i < count; ) {
    const hi = wide ? words[from + i + 1] : 0;
    roundLane(unit, wide, words[from + i], hi, rounding, (how & NO_PRECISION) === 0);
    results[i++] = unit.lo;
    if (wide) results[i++] = unit.hi;
  }
  return finish(core, core.code[pc + Entry.A], count);
}

export const SSE_CONVERSIONS: Family = {
  cvtsi2ss: [fromGeneral, 0],
  cvtsi2sd: [fromGeneral, 1],
  cvtss2si: [toGeneral, 0],
  cvtsd2si: [toGeneral, 1],
  cvttss2si: [toGeneral, 2],
  cvttsd2si: [toGeneral, 3],
  cvtpi2ps: [fromMmx, 0],
  cvtpi2pd: [fromMmx, 1],
  cvtps2pi: [toMmx, 0],
  cvtpd2pi: [toMmx, 1],
  cvttps2pi: [toMmx, 2],
  cvttpd2pi: [toMmx, 3],
  cvtdq2ps: [fromPacked, 0],
  cvtdq2pd: [fromPacked, 1],
  cvtps2dq: [toPacked, 0],
  cvtpd2dq: [toPacked, 1],
  cvttps2dq: [toPacked, 2],
  cvttpd2dq: [toPacked, 3],
  cvtps2pd: [widen, 0],
  cvtss2sd: [widen, 1],
  cvtpd2ps: [narrow, 0],
  cvtsd2ss: [narrow, 1],
  roundps: [round, Layout.Ps],
  roundpd: [round, Layout.Pd],
  roundss: [round, Layout.Ss],
  roundsd: [round, Layout.Sd],
};
