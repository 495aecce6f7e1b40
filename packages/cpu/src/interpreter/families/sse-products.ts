import { State } from "../../cpu-state.js";
import { reciprocal, reciprocalRoot } from "../../floating-point/approximation.js";
import { addLane, multiplyLane } from "../../floating-point/sse-arithmetic.js";
import type { SseUnit } from "../../floating-point/sse-unit.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { vectorSource } from "../vector-operands.js";
import { Layout, layoutSource, settle, wordsIn } from "./sse-results.js";

/** `results[a] + results[b]` to the first of them. */
function addResults(unit: SseUnit, wide: boolean, a: number, b: number): void {
  const { results } = unit;
  const aHi = wide ? results[a + 1] : 0;
  const bHi = wide ? results[b + 1] : 0;
  addLane(unit, wide, false, results[a], aHi, results[b], bHi);
  results[a] = unit.lo;
  if (wide) results[a + 1] = unit.hi;
}

/**
 * DPPS, DPPD: products of the lanes that immediate bits 7:4 choose, their sum in the lanes of bits 3:0. Every step
 * rounds, and one with an unmasked exception is the last.
 */
function dotProduct(core: ExecutionCore, pc: number): number {
  const wide = core.variantOf(pc) === 1;
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words, code } = core;
  const to = code[pc + Entry.A];
  const choice = code[pc + Entry.Immediate];
  const step = wide ? 2 : 1;
  const control = words[State.Mxcsr];
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(control);
  for (let i = 0; i < 4; i += step) {
    results[i] = 0;
    if (wide) results[i + 1] = 0;
    if (((choice >> (4 + i / step)) & 1) === 0) continue;
    const aHi = wide ? words[to + i + 1] : 0;
    const bHi = wide ? words[from + i + 1] : 0;
    multiplyLane(unit, wide, words[to + i], aHi, words[from + i], bHi);
    results[i] = unit.lo;
    if (wide) results[i + 1] = unit.hi;
  }
  if (!settle(core)) return Status.Fault;
  unit.begin(control);
  addResults(unit, wide, 0, step);
  if (!wide) {
    addResults(unit, false, 2, 3);
    if (!settle(core)) return Status.Fault;
    unit.begin(control);
    addResults(unit, false, 0, 2);
  }
  if (!settle(core)) return Status.Fault;
  const lo = results[0];
  const hi = results[1];
  for (let i = 0; i < 4; i += step) {
    const chosen = ((choice >> (i / step)) & 1) !== 0;
    words[to + i] = chosen ? lo : 0;
    if (wide) words[to + i + 1] = chosen ? hi : 0;
  }
  return Status.Next;
}

/** RCPPS, RCPSS, RSQRTPS, RSQRTSS: variants are the {@link Layout}, and 4 for the roots. */
function approximate(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const from = layoutSource(core, pc, variant & 3);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const count = wordsIn(variant & 3);
  const { host } = core.sse;
  for (let i = 0; i < count; i++) {
    const operand = words[from + i];
    words[to + i] = variant > 3 ? reciprocalRoot(host, operand) : reciprocal(host, operand);
  }
  return Status.Next;
}

export const SSE_PRODUCTS: Family = {
  dpps: [dotProduct, 0],
  dppd: [dotProduct, 1],
  rcpps: [approximate, Layout.Ps],
  rcpss: [approximate, Layout.Ss],
  rsqrtps: [approximate, 4 | Layout.Ps],
  rsqrtss: [approximate, 4 | Layout.Ss],
};
