import { Segment, SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "../interpreter/core.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorDpl,
  descriptorLimit,
  readDescriptor,
  setAccessed,
  setParagraph,
  setSegment,
} from "./descriptor.js";

/**
 * A code segment that passed its checks, ready to be loaded. Far transfers check everything first, push or pop, and
 * commit last.
 */
export class CodeTarget {
  selector = 0;
  lo = 0;
  hi = 0;
  atLo = 0;
  atHi = 0;
  /** The descriptor is a gate or a TSS, not code. */
  system = false;

  /** 64-bit code: L set under EFER.LMA. */
  is64(core: ExecutionCore): boolean {
    return core.longMode && (descriptorAttributes(this.hi) & Attribute.Long) !== 0;
  }

  get dpl(): number {
    return descriptorDpl(this.hi);
  }

  get conforming(): boolean {
    return (descriptorAttributes(this.hi) & Attribute.Direction) !== 0;
  }

  /** Reads the descriptor; #GP on null, outside the table, or data. */
  read(core: ExecutionCore, selector: number, external = 0): boolean {
    this.selector = selector;
    if ((selector & 0xfffc) === 0) return refuse(core, Vector.Gp, external);
    if (!readDescriptor(core, selector, Vector.Gp, external)) return false;
    this.lo = core.lo;
    this.hi = core.hi;
    this.atLo = core.eaLo;
    this.atHi = core.eaHi;
    const attributes = descriptorAttributes(this.hi);
    this.system = (attributes & Attribute.NotSystem) === 0;
    if (this.system) return true;
    if ((attributes & Attribute.Code) === 0) return refuse(core, Vector.Gp, (selector & 0xfffc) | external);
    return true;
  }

  /** L and D together are reserved in long mode. */
  checkSize(core: ExecutionCore, external = 0): boolean {
    const attributes = descriptorAttributes(this.hi);
    const both = Attribute.Long | Attribute.Big;
    if (core.longMode && (attributes & both) === both)
      return refuse(core, Vector.Gp, (this.selector & 0xfffc) | external);
    return true;
  }

  checkPresent(core: ExecutionCore, external = 0): boolean {
    if ((descriptorAttributes(this.hi) & Attribute.Present) !== 0) return true;
    return refuse(core, Vector.Np, (this.selector & 0xfffc) | external);
  }

  /** The target offset lies in the segment (or is canonical). */
  checkOffset(core: ExecutionCore, lo: number, hi: number, external = 0): boolean {
    if (this.is64(core)) return core.canonical(lo, hi) || refuse(core, Vector.Gp, external);
    return lo >>> 0 <= descriptorLimit(this.lo, this.hi) >>> 0 || refuse(core, Vector.Gp, external);
  }

  setAccessed(core: ExecutionCore): boolean {
    return setAccessed(core, this.atLo, this.atHi, this.hi);
  }

  /** Loads CS with a privilege level, and RIP. */
  commit(core: ExecutionCore, cpl: number, ripLo: number, ripHi: number): void {
    const { words } = core;
    setSegment(words, Segment.Cs, (this.selector & 0xfffc) | cpl, this.lo, this.hi | 0x100);
    const changed = words[State.Cpl] !== cpl;
    words[State.Cpl] = cpl;
    words[State.RipLo] = ripLo;
    words[State.RipHi] = this.is64(core) ? ripHi : 0;
    core.noteSegments();
    core.syncMode();
    if (changed) core.syncTranslation();
  }
}

/** Far transfer in real and virtual-8086 mode: CS by paragraph, and IP; the limit is that of CS. */
export function transferParagraph(core: ExecutionCore, selector: number, offset: number): boolean {
  const { words } = core;
  const limit = words[State.Segments + 8 * Segment.Cs + SegmentWord.Limit] >>> 0;
  if (offset >>> 0 > limit) return refuse(core, Vector.Gp, 0);
  setParagraph(words, Segment.Cs, selector);
  words[State.RipLo] = offset;
  words[State.RipHi] = 0;
  core.noteSegments();
  core.syncMode();
  return true;
}

function refuse(core: ExecutionCore, vector: number, errorCode: number): false {
  core.raise(vector, errorCode);
  return false;
}
