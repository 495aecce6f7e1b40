import { Cr0 } from "../control-registers.js";
import { Flag, Segment, State } from "../cpu-state.js";
import { TaskSwitchSource } from "../guest-mode.js";
import type { ExecutionCore } from "../interpreter/core.js";
import { Status } from "../interpreter/entry.js";
import { packFlags } from "../registers/flags.js";
import { CodeTarget, transferParagraph } from "../segmentation/code-segment.js";
import { descriptorAttributes, SystemType, setNull } from "../segmentation/descriptor.js";
import { interruptStack64, privilegeStack64 } from "../segmentation/task-state.js";
import { Vector } from "./vector.js";

const IDT_ERROR = 2;
const PRESENT = 0x8000;
/** In the order in which an event in virtual-8086 mode pushes them. */
const VIRTUAL_8086_DATA: readonly number[] = [Segment.Gs, Segment.Fs, Segment.Ds, Segment.Es];

/**
 * Delivers events through the IDT (SDM vol. 3, 6.12-6.14), in real mode through the vector table. RIP in the state words
 * is what gets pushed. Answers `Status.Next`, or `Status.Fault` with the nested fault set up in the core and no register
 * changed (unless `core.taskSwitch.committed` says that a task switch came so far), or `Status.Stop` when a hypervisor
 * intercepted the task switch.
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
    core.taskSwitch.committed = false;
    if ((words[State.Cr0] & Cr0.Pe) === 0) return this.real(vector);
    const external = software ? 0 : 1;
    const gateBytes = long ? 16 : 8;
    const gateError = vector * 8 + IDT_ERROR + external;
    if (vector * gateBytes + gateBytes - 1 > words[State.IdtrLimit]) return core.raise(Vector.Gp, gateError);
    const base = words[State.IdtrBaseLo];
    const gateLo = (base + vector * gateBytes) | 0;
    const gateHi = long ? (words[State.IdtrBaseHi] + (gateLo >>> 0 < base >>> 0 ? 1 : 0)) | 0 : 0;
    if (!core.readSystem(gateLo, gateHi, 3)) return Status.Fault;
    const low = core.lo;
    const high = core.hi;
    const type = (high >>> 8) & 0x1f;
    const isTask = type === SystemType.TaskGate;
    const narrow = type === SystemType.InterruptGate16 || type === SystemType.TrapGate16;
    const wide = type === SystemType.InterruptGate || type === SystemType.TrapGate;
    if (!wide && (long || !(narrow || isTask))) return core.raise(Vector.Gp, gateError);
    if (software && ((high >>> 13) & 3) < words[State.Cpl]) return core.raise(Vector.Gp, gateError);
    if ((high & PRESENT) === 0) return core.raise(Vector.Np, gateError);
    const image = packFlags(words) | (pushesResumeFlag(vector, software) ? Flag.Rf : 0);
    if (isTask) return this.task(low >>> 16, external, image, errorCode, hasErrorCode);
    let ripHi = 0;
    if (long) {
      const upper = (gateLo + 8) | 0;
      if (!core.readSystem(upper, upper >>> 0 < 8 ? (gateHi + 1) | 0 : gateHi, 2)) return Status.Fault;
      ripHi = core.lo;
    }
    const ripLo = (low & 0xffff) | (narrow ? 0 : high & 0xffff0000);
    const { target } = this;
    if (!target.read(core, low >>> 16, external)) return Status.Fault;
    const selectorError = (target.selector & 0xfffc) | external;
    if (target.system || target.dpl > words[State.Cpl]) return core.raise(Vector.Gp, selectorError);
    if (!target.checkPresent(core, external)) return Status.Fault;
    if (long && (!target.is64(core) || (descriptorAttributes(target.hi) & 0x4000) !== 0))
      return core.raise(Vector.Gp, selectorError);
    const level = target.conforming ? words[State.Cpl] : target.dpl;
    // Out of virtual-8086 mode to CPL 0 only (SDM vol. 3, 21.3.1).
    if ((words[State.Flags] & Flag.Vm) !== 0 && level !== 0) return core.raise(Vector.Gp, selectorError);
    const interrupt = type === SystemType.InterruptGate || type === SystemType.InterruptGate16;
    if (long)
      return this.long(ripLo, ripHi, level, high, external, image, interrupt, errorCode, hasErrorCode);
    const size = narrow ? 1 : 2;
    return this.protected(ripLo, level, size, external, image, interrupt, errorCode, hasErrorCode);
  }

  /** A task gate: the handler is a task, the error code on its stack. */
  private task(
    selector: number,
    external: number,
    image: number,
    errorCode: number,
    hasErrorCode: boolean,
  ): number {
    const { core } = this;
    const { taskSwitch, words } = core;
    const rip = words[State.RipLo];
    const status = taskSwitch.run(core, TaskSwitchSource.Gate, selector, external, rip, image, -1);
    if (status !== Status.Next) return status;
    return taskSwitch.finish(core, hasErrorCode, errorCode, external);
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

  /** 16- and 32-bit gates. @param size log2 bytes of a slot */
  private protected(
    ripLo: number,
    level: number,
    size: number,
    external: number,
    image: number,
    interrupt: boolean,
    errorCode: number,
    hasErrorCode: boolean,
  ): number {
    const { core, target } = this;
    const { words } = core;
    if (!target.checkOffset(core, ripLo, 0, external)) return Status.Fault;
    const cs = words[State.Segments + 8 * Segment.Cs];
    if (level === words[State.Cpl]) {
      core.beginStack();
      if (!core.push(size, image, 0) || !core.push(size, cs, 0) || !core.push(size, words[State.RipLo], 0))
        return this.external(external);
      if (hasErrorCode && !core.push(size, errorCode, 0)) return this.external(external);
      if (!target.setAccessed(core)) return Status.Fault;
      core.commitStack();
      this.enter(level, ripLo, 0, interrupt);
      return Status.Next;
    }
    const { innerStack: stack } = core;
    const virtual8086 = (words[State.Flags] & Flag.Vm) !== 0;
    const slots = (virtual8086 ? 9 : 5) + (hasErrorCode ? 1 : 0);
    if (!stack.read(core, level, external) || !stack.reserve(core, slots << size, external))
      return Status.Fault;
    if (virtual8086)
      for (const segment of VIRTUAL_8086_DATA)
        if (!stack.push(core, size, words[State.Segments + 8 * segment])) return Status.Fault;
    if (!stack.push(core, size, words[State.Segments + 8 * Segment.Ss])) return Status.Fault;
    if (!stack.push(core, size, words[State.Gpr + 8])) return Status.Fault;
    if (!stack.push(core, size, image) || !stack.push(core, size, cs)) return Status.Fault;
    if (!stack.push(core, size, words[State.RipLo])) return Status.Fault;
    if (hasErrorCode && !stack.push(core, size, errorCode)) return Status.Fault;
    if (!target.setAccessed(core)) return Status.Fault;
    if (virtual8086) for (const segment of VIRTUAL_8086_DATA) setNull(words, segment, 0, false);
    stack.commit(words);
    this.enter(level, ripLo, 0, interrupt);
    return Status.Next;
  }

  /** Real mode: offset and segment from the vector table, 16-bit FLAGS, CS and IP on the stack, never an error code. */
  private real(vector: number): number {
    const { core } = this;
    const { words } = core;
    if (vector * 4 + 3 > words[State.IdtrLimit]) return core.raise(Vector.Gp, vector * 8 + IDT_ERROR);
    if (!core.readSystem((words[State.IdtrBaseLo] + vector * 4) | 0, 0, 2)) return Status.Fault;
    const entry = core.lo;
    core.beginStack();
    if (
      !core.push(1, packFlags(words), 0) ||
      !core.push(1, words[State.Segments + 8 * Segment.Cs], 0) ||
      !core.push(1, words[State.RipLo], 0)
    )
      return Status.Fault;
    if (!transferParagraph(core, entry >>> 16, entry & 0xffff)) return Status.Fault;
    core.commitStack();
    words[State.Flags] &= ~(Flag.If | Flag.Tf | Flag.Rf | Flag.Ac);
    core.syncTranslation();
    return Status.Next;
  }

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
function isContributory(vector: number): boolean {
  return vector === Vector.De || (vector >= Vector.Ts && vector <= Vector.Gp) || vector === Vector.Vc;
}

/** Whether a fault during delivery of another makes a double fault; otherwise they are handled one after the other. */
export function makesDoubleFault(first: number, second: number): boolean {
  if (isContributory(first)) return isContributory(second);
  return first === Vector.Pf && (isContributory(second) || second === Vector.Pf);
}
