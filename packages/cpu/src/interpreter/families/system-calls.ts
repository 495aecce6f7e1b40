import { Cause } from "@hyperwalk/mmu";
import { Cr0 } from "../../control-registers.js";
import { ARITHMETIC_FLAGS, Attention, Flag, Segment, SegmentWord, State } from "../../cpu-state.js";
import { Dr6 } from "../../debug/breakpoints.js";
import { packFlags, unpackFlags } from "../../registers/flags.js";
import { setFlat } from "../../segmentation/descriptor.js";
import type { ExecutionCore } from "../core.js";
import { Status } from "../entry.js";
import type { Family } from "../handler.js";

const EFER_SCE = 1;
/** Present, code or data, accessed; G; L or D/B. */
const CODE_64 = 0xa09b;
const CODE_32 = 0xc09b;
const DATA = 0xc093;
const RING3 = 3 << 5;
const RCX = State.Gpr + 2;
const R11 = State.Gpr + 22;
const RDX = State.Gpr + 4;
const RSP = State.Gpr + 8;

function arrive(core: ExecutionCore, lo: number, hi: number, cpl: number): number {
  const { words } = core;
  words[State.RipLo] = lo;
  words[State.RipHi] = hi;
  words[State.Cpl] = cpl;
  core.noteSegments();
  core.syncMode();
  core.syncTranslation();
  core.charge(Cause.Serialise, core.timing.farTransfer);
  return Status.Jump;
}

/**
 * SYSCALL and SYSRET single-step by the trap flag as they leave it (Xen and Linux both rest on it: a flag that FMASK
 * clears does not trap in the kernel, one that SYSRET restores traps before the first user instruction).
 * @param before RFLAGS at the start of the instruction
 */
function followTrapFlag(core: ExecutionCore, before: number): void {
  const { words } = core;
  const now = words[State.Flags];
  if (((before ^ now) & Flag.Tf) === 0) return;
  if ((now & Flag.Tf) === 0) core.trapFlagCleared = true;
  else {
    words[State.PendingDebug] |= Dr6.SingleStep;
    words[State.Attention] |= Attention.Debug;
  }
}

function syscall(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const before = words[State.Flags];
  const intel = core.processor.profile.vendor === "intel";
  if ((words[State.EferLo] & EFER_SCE) === 0) return core.undefined();
  if (intel && core.mode !== 64) return core.undefined();
  const selector = words[State.StarHi] & 0xfffc;
  const long = core.longMode;
  const from64 = core.mode === 64;
  core.nextRip(pc);
  words[RCX] = core.lo;
  words[RCX + 1] = core.hi;
  let lo = words[State.StarLo];
  let hi = 0;
  if (long) {
    words[R11] = packFlags(words) & ~Flag.Rf;
    words[R11 + 1] = 0;
    lo = words[from64 ? State.LstarLo : State.CstarLo];
    hi = words[from64 ? State.LstarHi : State.CstarHi];
    unpackFlags(words, packFlags(words) & ~words[State.FmaskLo] & ~Flag.Rf);
  } else words[State.Flags] &= ~(Flag.If | Flag.Vm | Flag.Rf);
  setFlat(words, Segment.Cs, selector, long ? CODE_64 : CODE_32);
  setFlat(words, Segment.Ss, selector + 8, DATA);
  followTrapFlag(core, before);
  return arrive(core, lo, hi, 0);
}

function sysret(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const before = words[State.Flags];
  const intel = core.processor.profile.vendor === "intel";
  if ((words[State.EferLo] & EFER_SCE) === 0) return core.undefined();
  if (intel && core.mode !== 64) return core.undefined();
  if (!core.privileged()) return Status.Fault;
  const to64 = core.sizeOf(pc) === 3;
  const base = words[State.StarHi] >>> 16;
  const lo = words[RCX];
  const hi = to64 ? words[RCX + 1] : 0;
  // Intel checks the target before it leaves CPL 0, AMD faults at the target.
  if (intel && to64 && !core.canonical(lo, hi)) return core.protection();
  if (core.longMode) unpackFlags(words, words[R11] & (ARITHMETIC_FLAGS | 0x3c7702));
  else words[State.Flags] |= Flag.If;
  setFlat(words, Segment.Cs, (to64 ? base + 16 : base) | 3, (to64 ? CODE_64 : CODE_32) | RING3);
  if (intel) setFlat(words, Segment.Ss, (base + 8) | 3, DATA | RING3);
  else {
    // AMD sets the selector and leaves the hidden part, whose DPL now counts as 3.
    const ss = State.Segments + 8 * Segment.Ss;
    words[ss] = (base + 8) | 3;
    words[ss + SegmentWord.Attributes] |= RING3;
  }
  followTrapFlag(core, before);
  return arrive(core, lo, hi, 3);
}

/** SYSENTER: AMD has it outside long mode only. */
function sysenter(core: ExecutionCore): number {
  const { words } = core;
  if (core.longMode && core.processor.profile.vendor === "amd") return core.undefined();
  const selector = words[State.SysenterCs] & 0xfffc;
  if (selector === 0 || (words[State.Cr0] & Cr0.Pe) === 0) return core.protection();
  const long = core.longMode;
  words[State.Flags] &= ~(Flag.If | Flag.Vm | Flag.Rf);
  setFlat(words, Segment.Cs, selector, long ? CODE_64 : CODE_32);
  setFlat(words, Segment.Ss, selector + 8, DATA);
  words[RSP] = words[State.SysenterEspLo];
  words[RSP + 1] = long ? words[State.SysenterEspHi] : 0;
  return arrive(core, words[State.SysenterEipLo], long ? words[State.SysenterEipHi] : 0, 0);
}

function sysexit(core: ExecutionCore, pc: number): number {
  const { words } = core;
  if (core.longMode && core.processor.profile.vendor === "amd") return core.undefined();
  const selector = words[State.SysenterCs] & 0xfffc;
  if (selector === 0 || words[State.Cpl] !== 0 || (words[State.Cr0] & Cr0.Pe) === 0) return core.protection();
  const to64 = core.sizeOf(pc) === 3;
  const lo = words[RDX];
  const hi = to64 ? words[RDX + 1] : 0;
  if (to64 && !(core.canonical(lo, hi) && core.canonical(words[RCX], words[RCX + 1])))
    return core.protection();
  setFlat(words, Segment.Cs, (selector + (to64 ? 32 : 16)) | 3, (to64 ? CODE_64 : CODE_32) | RING3);
  setFlat(words, Segment.Ss, (selector + (to64 ? 40 : 24)) | 3, DATA | RING3);
  words[RSP] = words[RCX];
  words[RSP + 1] = to64 ? words[RCX + 1] : 0;
  return arrive(core, lo, hi, 3);
}

export const SYSTEM_CALLS: Family = { syscall, sysret, sysenter, sysexit };
