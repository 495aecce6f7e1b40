import { Flag, Segment, State } from "../cpu-state.js";
import type { ExecutionCore } from "../interpreter/core.js";
import { Status } from "../interpreter/entry.js";
import { packFlags } from "../registers/flags.js";
import { CodeTarget } from "../segmentation/code-segment.js";
import {
  descriptorAttributes,
  descriptorDpl,
  descriptorLimit,
  readDescriptor,
  SystemType,
  setAccessed,
  setNull,
  setSegment,
} from "../segmentation/descriptor.js";
import { interruptStack64, privilegeStack32, privilegeStack64 } from "../segmentation/task-state.js";
import { Vector } from "./vector.js";

const IDT_ERROR = 2;
const PRESENT = 0x8000;

/**
 * Delivers events through the IDT of protected and long mode (SDM vol. 3, 6.12-6.14). RIP in the state words is what
 * gets pushed. Answers `Status.Next`, or `Status.Fault` with the nested fault set up in the core and no register
 * changed, or `Status.Unsupported` for task gates and 16-bit gates.
 */
export class EventDelivery {
  private readonly core: ExecutionCore;
  private readonly target: CodeTarget = new CodeTarget();

  constructor(core: ExecutionCore) {
    this.core = core;
  }

  deliver(vector: number, errorCode: number, hasErrorCode: boolean, software: boolean): number {
    const { core } = this;
    const long = core.longMode;
    const { words } = core;
    const external = software ? 0 : 1;
    const gateBytes = long ? 16 : 8;
    const gateError = vector * 8 + IDT_ERROR + external;
    if ((words[State.Cr0] & 1) === 0) return Status.Unsupported;
    if (vector * gateBytes + gateBytes - 1 > words[State.IdtrLimit]) return core.raise(Vector.Gp, gateError);
    const base = words[State.IdtrBaseLo];
    const gateLo = (base + vector * gateBytes) | 0;
    const gateHi = long ? (words[State.IdtrBaseHi] + (gateLo >>> 0 < base >>> 0 ? 1 : 0)) | 0 : 0;
    if (!core.readSystem(gateLo, gateHi, 3)) return Status.Fault;
    const low = core.lo;
    const high = core.hi;
    const type = (high >>> 8) & 0x1f;
    const wide = type === SystemType.InterruptGate || type === SystemType.TrapGate;
    if (!wide) {
      const legacy = type === SystemType.TaskGate || type === 6 || type === 7;
      if (!long && legacy) return Status.Unsupported;
      return core.raise(Vector.Gp, gateError);
    }
    if (software && ((high >>> 13) & 3) < words[State.Cpl]) return core.raise(Vector.Gp, gateError);
    if ((high & PRESENT) === 0) return core.raise(Vector.Np, gateError);
    let ripHi = 0;
    if (long) {
      const upper = (gateLo + 8) | 0;
      if (!core.readSystem(upper, upper >>> 0 < 8 ? (gateHi + 1) | 0 : gateHi, 2)) return Status.Fault;
      ripHi = core.lo;
    }
    const ripLo = (low & 0xffff) | (high & 0xffff0000);
    const { target } = this;
    if (!target.read(core, low >>> 16, external)) return Status.Fault;
    const selectorError = (target.selector & 0xfffc) | external;
    if (target.system || target.dpl > words[State.Cpl]) return core.raise(Vector.Gp, selectorError);
    if (!target.checkPresent(core, external)) return Status.Fault;
    if (long && (!target.is64(core) || (descriptorAttributes(target.hi) & 0x4000) !== 0))
      return core.raise(Vector.Gp, selectorError);
    const level = target.conforming ? words[State.Cpl] : target.dpl;
    const interrupt = type === SystemType.InterruptGate;
    const image = packFlags(words) | (pushesResumeFlag(vector, software) ? Flag.Rf : 0);
    if (long)
      return this.long(ripLo, ripHi, level, high, external, image, interrupt, errorCode, hasErrorCode);
    return this.protected(ripLo, level, external, image, interrupt, errorCode, hasErrorCode);
  }

  /** 64-bit: always SS:RSP, on a stack of 16-byte alignment. */
  private long(
    ripLo: number,
    ripHi: number,
    level: number,
    gateHigh: number,
    external: number,
    image: number,
    interrupt: boolean,
    errorCode: number,
    hasErrorCode: boolean,
  ): number {
    const { core, target } = this;
    const { words } = core;
    const inner = level !== words[State.Cpl];
    const ist = gateHigh & 7;
    let spLo = words[State.Gpr + 8];
    let spHi = words[State.Gpr + 9];
    if (ist !== 0) {
      if (!interruptStack64(core, ist, external)) return Status.Fault;
      spLo = core.lo;
      spHi = core.hi;
    } else if (inner) {
      if (!privilegeStack64(core, level, external)) return Status.Fault;
      spLo = core.lo;
      spHi = core.hi;
    }
    if (!core.canonical(spLo, spHi)) return core.raise(Vector.Ss, external);
    if (!target.checkOffset(core, ripLo, ripHi, external)) return Status.Fault;
    spLo &= -16;
    const cs = State.Segments + 8 * Segment.Cs;
    const ss = State.Segments + 8 * Segment.Ss;
    core.spLo = spLo;
    core.spHi = spHi;
    const user = level === 3;
    if (!this.push64(words[ss], 0, user)) return Status.Fault;
    if (!this.push64(words[State.Gpr + 8], words[State.Gpr + 9], user)) return Status.Fault;
    if (!this.push64(image, 0, user)) return Status.Fault;
    if (!this.push64(words[cs], 0, user)) return Status.Fault;
    if (!this.push64(words[State.RipLo], words[State.RipHi], user)) return Status.Fault;
    if (hasErrorCode && !this.push64(errorCode, 0, user)) return Status.Fault;
    if (!target.setAccessed(core)) return Status.Fault;
    words[State.Gpr + 8] = core.spLo;
    words[State.Gpr + 9] = core.spHi;
    if (inner) {
      setNull(words, Segment.Ss, level, false);
      words[ss + 1] |= level << 5;
    }
    this.enter(level, ripLo, ripHi, interrupt);
    return Status.Next;
  }

  private push64(lo: number, hi: number, user: boolean): boolean {
    const { core } = this;
    const old = core.spLo;
    core.spLo = (old - 8) | 0;
    if (old >>> 0 < 8) core.spHi = (core.spHi - 1) | 0;
    if (!user) return core.writeSystem(core.spLo, core.spHi, 3, lo, hi);
    core.eaLo = core.spLo;
    core.eaHi = core.spHi;
    return core.store(3, lo, hi, Segment.Ss);
  }

  /** 32-bit gates. */
  private protected(
    ripLo: number,
    level: number,
    external: number,
    image: number,
    interrupt: boolean,
    errorCode: number,
    hasErrorCode: boolean,
  ): number {
    const { core, target } = this;
    const { words } = core;
    if (!target.checkOffset(core, ripLo, 0, external)) return Status.Fault;
    const cs = State.Segments + 8 * Segment.Cs;
    const ss = State.Segments + 8 * Segment.Ss;
    if (level === words[State.Cpl]) {
      core.beginStack();
      if (!core.push(2, image, 0) || !core.push(2, words[cs], 0) || !core.push(2, words[State.RipLo], 0))
        return this.external(external);
      if (hasErrorCode && !core.push(2, errorCode, 0)) return this.external(external);
      if (!target.setAccessed(core)) return Status.Fault;
      core.commitStack();
      this.enter(level, ripLo, 0, interrupt);
      return Status.Next;
    }
    if (!privilegeStack32(core, level, external)) return Status.Fault;
    const newSp = core.lo;
    const selector = core.hi;
    const code = (selector & 0xfffc) | external;
    if ((selector & 0xfffc) === 0) return core.raise(Vector.Ts, external);
    if (!readDescriptor(core, selector, Vector.Ts, external)) return Status.Fault;
    const { lo, hi, eaLo, eaHi } = core;
    const attributes = descriptorAttributes(hi);
    if ((selector & 3) !== level || descriptorDpl(hi) !== level || (attributes & 0x1a) !== 0x12)
      return core.raise(Vector.Ts, code);
    if ((attributes & 0x80) === 0) return core.raise(Vector.Ss, code);
    const bytes = hasErrorCode ? 24 : 20;
    const big = (attributes & 0x4000) !== 0;
    const top = big ? newSp : newSp & 0xffff;
    const limit = descriptorLimit(lo, hi) >>> 0;
    const expandDown = (attributes & 4) !== 0;
    const bottom = ((top - bytes) & (big ? -1 : 0xffff)) >>> 0;
    if (expandDown ? bottom <= limit : bottom + bytes - 1 > limit) return core.raise(Vector.Ss, code);
    const base = (lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff000000);
    if (!setAccessed(core, eaLo, eaHi, hi)) return Status.Fault;
    let at = (base + bottom + bytes) | 0;
    const user = level === 3;
    const frame = this.frame;
    frame[0] = words[ss];
    frame[1] = words[State.Gpr + 8];
    frame[2] = image;
    frame[3] = words[cs];
    frame[4] = words[State.RipLo];
    frame[5] = errorCode;
    for (let i = 0; i < bytes >> 2; i++) {
      at = (at - 4) | 0;
      core.eaLo = at;
      core.eaHi = 0;
      if (user ? !core.store(2, frame[i], 0, Segment.Ss) : !core.writeSystem(at, 0, 2, frame[i], 0))
        return Status.Fault;
    }
    if (!target.setAccessed(core)) return Status.Fault;
    setSegment(words, Segment.Ss, selector, lo, hi | 0x100);
    words[State.Gpr + 8] = big ? bottom | 0 : (newSp & ~0xffff) | bottom;
    this.enter(level, ripLo, 0, interrupt);
    return Status.Next;
  }

  private readonly frame: Int32Array = new Int32Array(6);

  private external(external: number): number {
    const { core } = this;
    if (!core.faultIsExit && core.faultVector === Vector.Ss) core.faultCode |= external;
    return Status.Fault;
  }

  private enter(level: number, ripLo: number, ripHi: number, interrupt: boolean): void {
    const { core, target } = this;
    const { words } = core;
    words[State.Flags] &= ~(Flag.Tf | Flag.Nt | Flag.Rf | Flag.Vm | (interrupt ? Flag.If : 0));
    target.commit(core, level, ripLo, ripHi);
  }
}

/** Faults push RF set; traps, interrupts and aborts do not. */
function pushesResumeFlag(vector: number, software: boolean): boolean {
  if (software || vector >= 32) return false;
  return (
    vector !== Vector.Db &&
    vector !== Vector.Nmi &&
    vector !== Vector.Bp &&
    vector !== Vector.Of &&
    vector !== Vector.Df &&
    vector !== Vector.Mc
  );
}

/** #DE, #TS, #NP, #SS, #GP: two of these in a row are a double fault (SDM vol. 3, table 6-5). */
export function isContributory(vector: number): boolean {
  return vector === Vector.De || (vector >= Vector.Ts && vector <= Vector.Gp);
}

/** Whether a fault during delivery of another makes a double fault; otherwise they are handled one after the other. */
export function makesDoubleFault(first: number, second: number): boolean {
  if (isContributory(first)) return isContributory(second);
  return first === Vector.Pf && (isContributory(second) || second === Vector.Pf);
}
