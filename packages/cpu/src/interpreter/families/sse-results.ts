import { Cr4 } from "../../control-registers.js";
import { State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { Mxcsr } from "../../floating-point/mxcsr.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import { vectorSource } from "../vector-operands.js";

/** What lanes an instruction works on; bit 0: binary64, bit 1: the lowest lane only. */
export const Layout = { Ps: 0, Pd: 1, Ss: 2, Sd: 3 } as const;

/** Second operand in a layout; packed ones in memory are aligned. @returns its state word, or -1 after a fault */
export function layoutSource(core: ExecutionCore, pc: number, layout: number): number {
  if ((layout & 2) === 0) return vectorSource(core, pc, 16, 15);
  return vectorSource(core, pc, layout === Layout.Sd ? 8 : 4, 0);
}

/** Words of the lanes in a layout. */
export function wordsIn(layout: number): number {
  return (layout & 2) === 0 ? 4 : 1 + (layout & 1);
}

/**
 * Notes the exceptions of the instruction, in `core.sse`, in MXCSR.
 * @returns false after an unmasked one: #XM, or #UD where the system does not expect that (SDM vol. 1, 11.5.4)
 */
export function settle(core: ExecutionCore): boolean {
  const { sse: unit } = core;
  const raised = unit.settle();
  if (raised === 0) return true;
  const { words } = core;
  words[State.Mxcsr] |= raised;
  if ((raised & ~(unit.control >>> Mxcsr.MaskShift)) === 0) return true;
  if ((words[State.Cr4] & Cr4.OsXmmExcpt) === 0) core.undefined();
  else core.raisePlain(Vector.Xm);
  return false;
}

/** Ends an instruction: {@link settle}, then the first results go to a register. */
export function finish(core: ExecutionCore, to: number, count: number): number {
  if (!settle(core)) return Status.Fault;
  const { words } = core;
  const { results } = core.sse;
  for (let i = 0; i < count; i++) words[to + i] = results[i];
  return Status.Next;
}
