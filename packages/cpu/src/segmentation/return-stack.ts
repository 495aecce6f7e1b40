import { Segment, SegmentWord, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "../interpreter/core.js";
import type { CodeTarget } from "./code-segment.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorDpl,
  readDescriptor,
  setAccessed,
  setNull,
  setSegment,
} from "./descriptor.js";

/** The stack of an outer level that RETF or IRET goes back to: popped, checked, and only then loaded. */
export class ReturnStack {
  private selector = 0;
  private spLo = 0;
  private spHi = 0;
  private lo = 0;
  private hi = 0;

  /**
   * Pops rSP and SS. AMD does so before it reads the code descriptor (APM vol. 3, RET (Far), IRET), Intel after (SDM
   * vol. 2).
   */
  pop(core: ExecutionCore, size: number): boolean {
    if (!core.pop(size)) return false;
    this.spLo = size === 1 ? core.lo & 0xffff : core.lo;
    this.spHi = core.hi;
    if (!core.popSelector(size)) return false;
    this.selector = core.lo;
    return true;
  }

  /** Checks the segment for a return to `target` at level `rpl`. */
  check(core: ExecutionCore, target: CodeTarget, rpl: number): boolean {
    const { selector } = this;
    const error = selector & 0xfffc;
    if (error === 0) {
      if (target.is64(core) && rpl !== 3 && (selector & 3) === rpl) return true;
      return refuse(core, Vector.Gp, 0);
    }
    if (!readDescriptor(core, selector, Vector.Gp)) return false;
    const { lo, hi, eaLo, eaHi } = core;
    const attributes = descriptorAttributes(hi);
    if ((selector & 3) !== rpl || descriptorDpl(hi) !== rpl || (attributes & 0x1a) !== 0x12)
      return refuse(core, Vector.Gp, error);
    if ((attributes & Attribute.Present) === 0) return refuse(core, Vector.Ss, error);
    this.lo = lo;
    this.hi = hi | 0x100;
    return setAccessed(core, eaLo, eaHi, hi);
  }

  /** Loads SS and rSP; CS is that of the target already. */
  commit(core: ExecutionCore, rpl: number): void {
    const { words } = core;
    const ss = State.Segments + 8 * Segment.Ss + SegmentWord.Attributes;
    if ((this.selector & 0xfffc) === 0) {
      setNull(words, Segment.Ss, this.selector, false);
      words[ss] |= rpl << Attribute.DplShift;
    } else setSegment(words, Segment.Ss, this.selector, this.lo, this.hi);
    const big = core.mode === 64 || (words[ss] & Attribute.Big) !== 0;
    words[State.Gpr + 8] = big ? this.spLo : (words[State.Gpr + 8] & ~0xffff) | (this.spLo & 0xffff);
    words[State.Gpr + 9] = core.mode === 64 ? this.spHi : 0;
  }
}

/**
 * A return outwards empties data segments that the outer level may not use: their selectors become null (SDM vol. 2,
 * RET); kernels rely on the base of FS and GS, which stays.
 */
export function dropInnerSegments(core: ExecutionCore): void {
  const { words } = core;
  const cpl = words[State.Cpl];
  for (let segment = 0; segment < 6; segment++) {
    if (segment === Segment.Cs || segment === Segment.Ss) continue;
    const at = State.Segments + 8 * segment;
    const attributes = words[at + SegmentWord.Attributes];
    if ((attributes & Attribute.Unusable) !== 0) continue;
    const conforming = (attributes & 0xc) === 0xc;
    if (!conforming && ((attributes >> Attribute.DplShift) & 3) < cpl) setNull(words, segment, 0, true);
  }
}

function refuse(core: ExecutionCore, vector: number, errorCode: number): false {
  core.raise(vector, errorCode);
  return false;
}
