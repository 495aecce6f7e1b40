import { Cause } from "@hyperwalk/mmu";
import { Cr0, Cr4, Efer } from "../../control-registers.js";
import { State } from "../../cpu-state.js";
import { Vector } from "../../exceptions/vector.js";
import { Intercept } from "../../guest-mode.js";
import {
  Component,
  loadX87,
  loadXmm,
  MXCSR_START,
  resetX87,
  resetXmm,
  StateOffset,
  storeX87,
  storeXmm,
  validXcr0,
  x87InUse,
  xmmInUse,
} from "../../registers/extended-state.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";
import { loadVector, storeVector, xmmUsable } from "../vector-operands.js";

const HEADER = StateOffset.Header / 4;
const SUPPORTED = Component.X87 | Component.Sse;
const COMPACTED = 0x80000000 | 0;
const ERROR_SUMMARY = 0x80;

/** XMM registers that the mode has. */
function registersIn(core: ExecutionCore): number {
  return core.mode === 64 ? 16 : 8;
}

/** LDMXCSR: #GP(0) on reserved bits. */
function ldmxcsr(core: ExecutionCore, pc: number): number {
  if (!xmmUsable(core)) return Status.Fault;
  const from = loadVector(core, pc, 4, 0);
  if (from < 0) return Status.Fault;
  const value = core.words[from];
  if ((value & ~core.mxcsrDefined) !== 0) return core.protection();
  core.words[State.Mxcsr] = value;
  return Status.Next;
}

function stmxcsr(core: ExecutionCore, pc: number): number {
  return xmmUsable(core) && storeVector(core, pc, State.Mxcsr, 4, 0) ? Status.Next : Status.Fault;
}

/** FXSAVE and FXRSTOR, which CR4.OSFXSR does not switch off. EM is #NM on Intel, #UD on AMD (their manuals, FXSAVE). */
function legacyUsable(core: ExecutionCore): boolean {
  const cr0 = core.words[State.Cr0];
  if ((cr0 & (Cr0.Em | Cr0.Ts)) === 0) return true;
  if ((cr0 & Cr0.Em) !== 0 && core.amd) core.undefined();
  else core.raisePlain(Vector.Nm);
  return false;
}

/** Whether FXSAVE and FXRSTOR include XMM registers: OSFXSR, and not EFER.FFXSR at CPL 0 of 64-bit mode. */
function legacyHasXmm(core: ExecutionCore): boolean {
  const { words } = core;
  if ((words[State.Cr4] & Cr4.OsFxsr) === 0) return false;
  return (words[State.EferLo] & Efer.Ffxsr) === 0 || core.mode !== 64 || words[State.Cpl] !== 0;
}

/** Whether there are x87 pointers to save: on AMD only while an exception waits (APM vol. 3, FXSAVE). */
function hasPointers(core: ExecutionCore): boolean {
  return !core.amd || (core.words[State.FpuStatus] & ERROR_SUMMARY) !== 0;
}

function fxsave(core: ExecutionCore, pc: number): number {
  const { stateArea: area } = core;
  const { image } = area;
  if (!legacyUsable(core)) return Status.Fault;
  if (!area.openLegacy(core, pc, true)) return Status.Fault;
  const { words } = core;
  const count = registersIn(core);
  storeX87(words, image, core.sizeOf(pc) === 3, hasPointers(core));
  image[StateOffset.Mxcsr >> 2] = words[State.Mxcsr];
  image[StateOffset.MxcsrMask >> 2] = core.mxcsrDefined;
  storeXmm(words, image, count);
  const end = legacyHasXmm(core) ? StateOffset.Xmm + 16 * count : StateOffset.Xmm;
  return area.write(core, 0, end) ? Status.Next : Status.Fault;
}

function fxrstor(core: ExecutionCore, pc: number): number {
  const { stateArea: area } = core;
  const { image } = area;
  if (!legacyUsable(core)) return Status.Fault;
  if (!area.openLegacy(core, pc, false)) return Status.Fault;
  if (!area.read(core, 0, StateOffset.Header)) return Status.Fault;
  const { words } = core;
  const mxcsr = image[StateOffset.Mxcsr >> 2];
  const media = (words[State.Cr4] & Cr4.OsFxsr) !== 0;
  if (media && (mxcsr & ~core.mxcsrDefined) !== 0) return core.protection();
  loadX87(words, image, core.sizeOf(pc) === 3);
  if (media) words[State.Mxcsr] = mxcsr;
  if (legacyHasXmm(core)) loadXmm(words, image, registersIn(core));
  return Status.Next;
}

/** The XSAVE family: CR4.OSXSAVE or #UD, then CR0.TS or #NM (SDM vol. 1, 13.2 and 13.7). */
function extendedUsable(core: ExecutionCore): boolean {
  const { words } = core;
  if ((words[State.Cr4] & Cr4.OsXsave) === 0) core.undefined();
  else if ((words[State.Cr0] & Cr0.Ts) !== 0) core.raisePlain(Vector.Nm);
  else return true;
  return false;
}

/** XSAVES, XRSTORS: a VMX guest has them by a control that is not offered (SDM vol. 3, table 25-7). */
function supervisorUsable(core: ExecutionCore): boolean {
  if (core.amd || core.processor.guestMode === null) return core.privileged();
  core.undefined();
  return false;
}

/** XINUSE: AMD takes the x87 state for one that is always in use, as seen on Zen 3. */
function inUse(core: ExecutionCore): number {
  const { words } = core;
  const x87 = core.amd || x87InUse(words) ? Component.X87 : 0;
  return x87 | (xmmInUse(words, registersIn(core)) ? Component.Sse : 0);
}

/** The same for XSAVEC, XSAVES and XGETBV, which count MXCSR in (SDM vol. 1, 13.10 and vol. 2, XGETBV). */
function inUseWithMxcsr(core: ExecutionCore): number {
  return inUse(core) | (core.words[State.Mxcsr] === MXCSR_START ? 0 : Component.Sse);
}

const Save = { Plain: 0, Optimized: 1, Compacted: 2, Supervisor: 3 } as const;

/** XSAVE, XSAVEOPT, XSAVEC, XSAVES. Nothing is remembered about areas, so what was not modified is saved as well. */
function xsave(core: ExecutionCore, pc: number): number {
  const { stateArea: area } = core;
  const { image } = area;
  if (!extendedUsable(core)) return Status.Fault;
  const { words } = core;
  const kind = core.variantOf(pc);
  if (kind === Save.Supervisor && !supervisorUsable(core)) return Status.Fault;
  if (!area.openExtended(core, pc, true)) return Status.Fault;
  const wanted = words[State.XcrLo] & words[State.Gpr] & SUPPORTED;
  if (!area.read(core, StateOffset.Header, StateOffset.Header + 8)) return Status.Fault;
  const compacted = kind >= Save.Compacted;
  const used = compacted ? inUseWithMxcsr(core) : inUse(core);
  const saved = kind === Save.Plain ? wanted : wanted & used;
  if ((saved & Component.X87) !== 0) {
    storeX87(words, image, core.sizeOf(pc) === 3, hasPointers(core));
    if (!area.write(core, StateOffset.Environment, StateOffset.Mxcsr)) return Status.Fault;
    if (!area.write(core, StateOffset.Stack, StateOffset.Xmm)) return Status.Fault;
  }
  if (((compacted ? saved : wanted) & Component.Sse) !== 0) {
    image[StateOffset.Mxcsr >> 2] = words[State.Mxcsr];
    image[StateOffset.MxcsrMask >> 2] = core.mxcsrDefined;
    if (!area.write(core, StateOffset.Mxcsr, StateOffset.Stack)) return Status.Fault;
  }
  if ((saved & Component.Sse) !== 0) {
    const count = registersIn(core);
    storeXmm(words, image, count);
    if (!area.write(core, StateOffset.Xmm, StateOffset.Xmm + 16 * count)) return Status.Fault;
  }
  if (compacted) {
    image[HEADER] = wanted & used;
    image[HEADER + 1] = 0;
    image[HEADER + 2] = wanted;
    image[HEADER + 3] = COMPACTED;
  } else image[HEADER] = (image[HEADER] & ~wanted) | (wanted & used);
  const end = StateOffset.Header + (compacted ? 16 : 8);
  return area.write(core, StateOffset.Header, end) ? Status.Next : Status.Fault;
}

/** Whether the header that was read may be restored from (SDM vol. 1, 13.8.1 and 13.8.2). */
function headerIsValid(core: ExecutionCore, supervisor: boolean): boolean {
  const { image } = core.stateArea;
  const enabled = core.words[State.XcrLo];
  const compacted = image[HEADER + 3] < 0;
  if (supervisor && !compacted) return false;
  const layout = image[HEADER + 2];
  const allowed = compacted ? layout : enabled;
  if ((image[HEADER] & ~allowed) !== 0 || image[HEADER + 1] !== 0) return false;
  if (compacted && ((layout & ~enabled) !== 0 || image[HEADER + 3] !== COMPACTED)) return false;
  let rest = compacted ? 0 : image[HEADER + 2] | image[HEADER + 3];
  for (let i = 4; i < (compacted ? 16 : 6); i++) rest |= image[HEADER + i];
  return rest === 0;
}

/** XRSTOR, XRSTORS (variant 1): components that are not in the image take their initial values. */
function xrstor(core: ExecutionCore, pc: number): number {
  const { stateArea: area } = core;
  const { image } = area;
  if (!extendedUsable(core)) return Status.Fault;
  const { words } = core;
  const supervisor = core.variantOf(pc) === 1;
  if (supervisor && !supervisorUsable(core)) return Status.Fault;
  if (!area.openExtended(core, pc, false)) return Status.Fault;
  if (!area.read(core, StateOffset.Header, StateOffset.End)) return Status.Fault;
  if (!headerIsValid(core, supervisor)) return core.protection();
  const compacted = image[HEADER + 3] < 0;
  const wanted = words[State.XcrLo] & words[State.Gpr] & SUPPORTED;
  const loaded = wanted & image[HEADER];
  // The standard form has MXCSR whether or not it has XMM registers.
  const withMxcsr = ((compacted ? loaded : wanted) & Component.Sse) !== 0;
  if ((loaded !== 0 || withMxcsr) && !area.read(core, 0, StateOffset.XmmEnd)) return Status.Fault;
  const mxcsr = withMxcsr ? image[StateOffset.Mxcsr >> 2] : MXCSR_START;
  if ((mxcsr & ~core.mxcsrDefined) !== 0) return core.protection();
  if ((wanted & Component.X87) !== 0) {
    if ((loaded & Component.X87) !== 0) loadX87(words, image, core.sizeOf(pc) === 3);
    else resetX87(words);
  }
  if ((wanted & Component.Sse) !== 0) {
    words[State.Mxcsr] = mxcsr;
    if ((loaded & Component.Sse) !== 0) loadXmm(words, image, registersIn(core));
    else resetXmm(words, registersIn(core));
  }
  return Status.Next;
}

/** XGETBV: XCR0, and with ECX 1 what of it is in use. */
function xgetbv(core: ExecutionCore): number {
  const { words } = core;
  if ((words[State.Cr4] & Cr4.OsXsave) === 0) return core.undefined();
  const register = words[State.Gpr + 2] >>> 0;
  if (register > 1) return core.protection();
  const enabled = words[State.XcrLo];
  core.writeRegister(0, 2, register === 0 ? enabled : enabled & inUseWithMxcsr(core), 0);
  core.writeRegister(4, 2, 0, 0);
  return Status.Next;
}

/** XSETBV: a guest's exits first; then XCR0 alone, x87 state always on, and nothing that there is not. */
function xsetbv(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if ((words[State.Cr4] & Cr4.OsXsave) === 0) return core.undefined();
  if (!core.privileged()) return Status.Fault;
  if (core.intercepted(Intercept.Xsetbv, 0, pc)) return core.exit();
  const value = words[State.Gpr];
  if (words[State.Gpr + 2] !== 0 || !validXcr0(value, words[State.Gpr + 4])) return core.protection();
  words[State.XcrLo] = value;
  core.charge(Cause.Serialise, core.timing.serialise);
  return Status.EndBlock;
}

export const EXTENDED_STATE: Family = {
  ldmxcsr,
  stmxcsr,
  fxsave,
  fxrstor,
  xsave: [xsave, Save.Plain],
  xsaveopt: [xsave, Save.Optimized],
  xsavec: [xsave, Save.Compacted],
  xsaves: [xsave, Save.Supervisor],
  xrstor: [xrstor, 0],
  xrstors: [xrstor, 1],
  xgetbv,
  xsetbv,
};
