import { Cr0, Cr4 } from "../control-registers.js";
import { Attention, Dirty, Flag, Segment, SegmentWord, State } from "../cpu-state.js";
import { Dr6 } from "../debug/breakpoints.js";
import { Vector } from "../exceptions/vector.js";
import { Intercept, TaskSwitchSource, taskSwitchInfo } from "../guest-mode.js";
import type { ExecutionCore } from "../interpreter/core.js";
import { Status } from "../interpreter/entry.js";
import { unpackFlags } from "../registers/flags.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  readDescriptor,
  SystemType,
  setAccessed,
  setNull,
  setParagraph,
  setSegment,
} from "./descriptor.js";

/** Offsets in a TSS of 32 and of 16 bits (SDM vol. 3, figures 8-2 and 8-10): dynamic fields are contiguous. */
const Tss32 = {
  Cr3: 0x1c,
  Eip: 0x20,
  Flags: 0x24,
  Gpr: 0x28,
  Segments: 0x48,
  Ldt: 0x60,
  Trap: 0x64,
} as const;
const Tss16 = { Ip: 0x0e, Flags: 0x10, Gpr: 0x12, Segments: 0x22, Ldt: 0x2a } as const;
const MINIMUM_LIMIT_32 = 0x67;
const MINIMUM_LIMIT_16 = 0x2b;
const BUSY = 2;
const WIDE = 8;
/** EFLAGS bits that exist. */
const FLAGS_DEFINED = 0x3f7fd5;
/** L0 to L3 and LE. */
const DR7_LOCAL = 0x155;
/** Selectors of the new task in the order in which they are checked: CS, SS, then data (SDM vol. 3, table 8-1). */
const CHECK_ORDER: readonly number[] = [
  Segment.Cs,
  Segment.Ss,
  Segment.Es,
  Segment.Ds,
  Segment.Fs,
  Segment.Gs,
];

/**
 * Task switch through a TSS outside long mode (SDM vol. 3, 8.3). Everything that can fault in the old task is tried
 * first; from {@link committed} on faults belong to the new task, whose selectors are loaded and unchecked.
 */
export class TaskSwitch {
  /** The latest switch got so far that its faults are the new task's. */
  committed = false;
  /** CR3, EIP, EFLAGS, eight general registers, six selectors, LDTR, T. */
  private readonly image: Int32Array = new Int32Array(19);

  /**
   * @param source a {@link TaskSwitchSource} number @param selector of the TSS
   * @param external EXT bit of error codes
   * @param rip what the old task resumes at @param flags EFLAGS that it resumes with
   * @param pc entry of the instruction, -1 for events
   * @returns `Status.Next`, `Status.Fault`, or `Status.Stop` when a hypervisor intercepted it
   */
  run(
    core: ExecutionCore,
    source: number,
    selector: number,
    external: number,
    rip: number,
    flags: number,
    pc: number,
  ): number {
    this.committed = false;
    const { words } = core;
    const iret = source === TaskSwitchSource.Iret;
    const vector = iret ? Vector.Ts : Vector.Gp;
    const code = (selector & 0xfffc) | external;
    if ((selector & 4) !== 0) return core.raise(vector, code);
    if (!readDescriptor(core, selector, vector, external)) return Status.Fault;
    const { lo, hi, eaLo: at } = core;
    const attributes = descriptorAttributes(hi);
    const wide = (attributes & WIDE) !== 0;
    const expected = iret ? SystemType.TssBusy16 : SystemType.TssAvailable16;
    if ((attributes & 0x1f & ~WIDE) !== expected) return core.raise(vector, code);
    if ((attributes & Attribute.Present) === 0) return core.raise(Vector.Np, code);
    const limit = descriptorLimit(lo, hi) >>> 0;
    if (limit < (wide ? MINIMUM_LIMIT_32 : MINIMUM_LIMIT_16)) return core.raise(Vector.Ts, code);
    if (this.intercepted(core, taskSwitchInfo(selector, source), pc)) return core.exit();
    const base = descriptorBase(lo, hi);
    if (!this.read(core, base, wide)) return Status.Fault;
    const links = source === TaskSwitchSource.Call || source === TaskSwitchSource.Gate;
    // The link's page has to be writable.
    if (links && !touch(core, base, 1)) return Status.Fault;
    if (!this.save(core, external, rip, iret ? flags & ~Flag.Nt : flags)) return Status.Fault;
    if (!links && !markBusy(core, words[State.GdtrBaseLo] + (words[trWord()] & 0xfff8), false))
      return Status.Fault;
    if (links && !core.writeSystem(base, 0, 1, words[trWord()], 0)) return Status.Fault;
    if (!iret && !markBusy(core, at, true)) return Status.Fault;
    if (wide && !this.loadRoot(core)) return Status.Fault;
    this.committed = true;
    setSegment(words, Segment.Tr, selector, lo, hi | (BUSY << 8));
    words[State.Cr0] |= Cr0.Ts;
    words[State.Dr7] &= ~DR7_LOCAL;
    const { image } = this;
    unpackFlags(words, (image[2] & FLAGS_DEFINED) | (links ? Flag.Nt : 0));
    for (let register = 0; register < 8; register++)
      core.writeRegister(2 * register, wide ? 2 : 1, image[3 + register], 0);
    words[State.RipLo] = image[1];
    words[State.RipHi] = 0;
    core.markDirty(Dirty.All);
    const loaded = this.loadSegments(core, external);
    core.syncDebug();
    core.syncMode();
    core.syncTranslation();
    if (!loaded) return Status.Fault;
    if ((image[18] & 1) !== 0) {
      words[State.PendingDebug] |= Dr6.TaskSwitch;
      words[State.Attention] |= Attention.Debug;
    }
    return Status.Next;
  }

  /**
   * What is left once the new task stands: the error code on its stack, and EIP within its code.
   * @param external EXT bit of error codes
   */
  finish(core: ExecutionCore, hasErrorCode: boolean, errorCode: number, external: number): number {
    const { words } = core;
    if (hasErrorCode) {
      const wide = (words[trWord() + SegmentWord.Attributes] & WIDE) !== 0;
      core.beginStack();
      if (!core.push(wide ? 2 : 1, errorCode, 0)) {
        if (!core.faultIsExit && core.faultVector === Vector.Ss) core.faultCode |= external;
        return Status.Fault;
      }
      core.commitStack();
    }
    const limit = words[State.Segments + 8 * Segment.Cs + SegmentWord.Limit] >>> 0;
    return words[State.RipLo] >>> 0 <= limit ? Status.Next : core.raise(Vector.Gp, external);
  }

  private intercepted(core: ExecutionCore, info: number, pc: number): boolean {
    if (pc >= 0) return core.intercepted(Intercept.TaskSwitch, info, pc);
    const { guestMode, eventInDelivery } = core.processor;
    return guestMode?.interceptInstruction(Intercept.TaskSwitch, info, eventInDelivery.length) ?? false;
  }

  /** The new task's fields to {@link image}. */
  private read(core: ExecutionCore, base: number, wide: boolean): boolean {
    const { image } = this;
    image.fill(0);
    const size = wide ? 2 : 1;
    if (wide && !this.field(core, base + Tss32.Cr3, 2, 0)) return false;
    if (!this.field(core, base + (wide ? Tss32.Eip : Tss16.Ip), size, 1)) return false;
    if (!this.field(core, base + (wide ? Tss32.Flags : Tss16.Flags), size, 2)) return false;
    for (let i = 0; i < 8; i++)
      if (!this.field(core, base + (wide ? Tss32.Gpr + 4 * i : Tss16.Gpr + 2 * i), size, 3 + i)) return false;
    for (let i = 0; i < (wide ? 6 : 4); i++)
      if (!this.field(core, base + (wide ? Tss32.Segments + 4 * i : Tss16.Segments + 2 * i), 1, 11 + i))
        return false;
    if (!this.field(core, base + (wide ? Tss32.Ldt : Tss16.Ldt), 1, 17)) return false;
    return !wide || this.field(core, base + Tss32.Trap, 1, 18);
  }

  private field(core: ExecutionCore, address: number, size: number, slot: number): boolean {
    if (!core.readSystem(address | 0, 0, size)) return false;
    this.image[slot] = size === 1 ? core.lo & 0xffff : core.lo;
    return true;
  }

  /** The old task's registers into its TSS. */
  private save(core: ExecutionCore, external: number, rip: number, flags: number): boolean {
    const { words } = core;
    const tr = trWord();
    const base = words[tr + SegmentWord.BaseLo];
    const wide = (words[tr + SegmentWord.Attributes] & WIDE) !== 0;
    const size = wide ? 2 : 1;
    if (words[tr + SegmentWord.Limit] >>> 0 < (wide ? MINIMUM_LIMIT_32 : MINIMUM_LIMIT_16)) {
      core.raise(Vector.Ts, (words[tr] & 0xfffc) | external);
      return false;
    }
    const first = base + (wide ? Tss32.Eip : Tss16.Ip);
    if (!touch(core, first, size)) return false;
    if (!touch(core, base + (wide ? Tss32.Segments + 20 : Tss16.Segments + 6), 1)) return false;
    if (!core.writeSystem(first | 0, 0, size, rip, 0)) return false;
    if (!core.writeSystem((base + (wide ? Tss32.Flags : Tss16.Flags)) | 0, 0, size, flags, 0)) return false;
    for (let i = 0; i < 8; i++) {
      const at = base + (wide ? Tss32.Gpr + 4 * i : Tss16.Gpr + 2 * i);
      if (!core.writeSystem(at | 0, 0, size, words[2 * i], 0)) return false;
    }
    for (let i = 0; i < (wide ? 6 : 4); i++) {
      const at = base + (wide ? Tss32.Segments + 4 * i : Tss16.Segments + 2 * i);
      if (!core.writeSystem(at | 0, 0, 1, words[State.Segments + 8 * i], 0)) return false;
    }
    return true;
  }

  /** CR3 of the new task, where paging is on; the PDPTEs of the PAE format are checked before anything changes. */
  private loadRoot(core: ExecutionCore): boolean {
    const { words, mmu } = core;
    if ((words[State.Cr0] & Cr0.Pg) === 0) return true;
    const root = this.image[0];
    if ((words[State.Cr4] & Cr4.Pae) !== 0) {
      const result = mmu.loadPdptes(root);
      if (result < 0) core.faultIsExit = true;
      else if (result > 0) core.protection();
      if (result !== 0) return false;
    }
    words[State.Cr3Lo] = root;
    words[State.Cr3Hi] = 0;
    mmu.invalidatePcid(0, true);
    core.syncTranslation();
    return true;
  }

  private loadSegments(core: ExecutionCore, external: number): boolean {
    const { words } = core;
    const { image } = this;
    const virtual8086 = (words[State.Flags] & Flag.Vm) !== 0;
    for (let segment = 0; segment < 6; segment++) {
      if (virtual8086) setParagraph(words, segment, image[11 + segment]);
      else setNull(words, segment, image[11 + segment], false);
    }
    setNull(words, Segment.Ldtr, image[17], false);
    words[State.Cpl] = virtual8086 ? 3 : image[11 + Segment.Cs] & 3;
    core.syncTranslation();
    if (!this.loadLdt(core, image[17], external)) return false;
    if (virtual8086) return true;
    for (const segment of CHECK_ORDER)
      if (!this.loadSegment(core, segment, image[11 + segment], external)) return false;
    return true;
  }

  private loadLdt(core: ExecutionCore, selector: number, external: number): boolean {
    if ((selector & 0xfffc) === 0) return true;
    const code = (selector & 0xfffc) | external;
    if ((selector & 4) !== 0) return refuse(core, Vector.Ts, code);
    if (!readDescriptor(core, selector, Vector.Ts, external)) return false;
    const { lo, hi } = core;
    const attributes = descriptorAttributes(hi);
    const ldt = (attributes & 0x1f) === SystemType.Ldt;
    if (!ldt || (attributes & Attribute.Present) === 0) return refuse(core, Vector.Ts, code);
    setSegment(core.words, Segment.Ldtr, selector, lo, hi);
    return true;
  }

  private loadSegment(core: ExecutionCore, segment: number, selector: number, external: number): boolean {
    const code = (selector & 0xfffc) | external;
    const isStack = segment === Segment.Ss;
    const isCode = segment === Segment.Cs;
    if ((selector & 0xfffc) === 0) return !(isStack || isCode) || refuse(core, Vector.Ts, external);
    if (!readDescriptor(core, selector, Vector.Ts, external)) return false;
    const { words, lo, hi, eaLo, eaHi } = core;
    const attributes = descriptorAttributes(hi);
    const dpl = descriptorDpl(hi);
    const rpl = selector & 3;
    const cpl = words[State.Cpl];
    const conforming = (attributes & 0xc) === 0xc;
    let good = (attributes & Attribute.NotSystem) !== 0;
    if (isCode) good &&= (attributes & Attribute.Code) !== 0 && (conforming ? dpl <= rpl : dpl === rpl);
    else if (isStack) good &&= (attributes & 0xa) === 2 && dpl === cpl && rpl === cpl;
    else good &&= (attributes & 0xa) !== Attribute.Code && (conforming || (dpl >= cpl && dpl >= rpl));
    if (!good) return refuse(core, Vector.Ts, code);
    if ((attributes & Attribute.Present) === 0) return refuse(core, isStack ? Vector.Ss : Vector.Np, code);
    if (!setAccessed(core, eaLo, eaHi, hi)) return false;
    setSegment(words, segment, selector, lo, hi | 0x100);
    return true;
  }
}

/** State word of TR. */
function trWord(): number {
  return State.Segments + 8 * Segment.Tr;
}

/** Writes back what is there, for the fault that a write would raise. */
function touch(core: ExecutionCore, address: number, size: number): boolean {
  if (!core.readSystem(address | 0, 0, size)) return false;
  return core.writeSystem(address | 0, 0, size, core.lo, 0);
}

/** Sets or clears the busy bit of a TSS descriptor. */
function markBusy(core: ExecutionCore, address: number, busy: boolean): boolean {
  const at = (address + 4) | 0;
  if (!core.readSystem(at, 0, 2)) return false;
  const hi = busy ? core.lo | (BUSY << 8) : core.lo & ~(BUSY << 8);
  return core.writeSystem(at, 0, 2, hi, 0);
}

function refuse(core: ExecutionCore, vector: number, errorCode: number): false {
  core.raise(vector, errorCode);
  return false;
}
