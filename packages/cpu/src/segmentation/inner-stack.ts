import { Segment, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "../interpreter/core.js";
import {
  Attribute,
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  readDescriptor,
  setAccessed,
  setSegment,
} from "./descriptor.js";
import { privilegeStack } from "./task-state.js";

const WRITABLE_DATA = 0x12;
const WRITABLE_DATA_MASK = 0x1a;

/**
 * The stack of an inner level that a gate switches to outside long mode (SDM vol. 3, 6.8.5): read from the TSS, checked,
 * written to, and only then loaded, so that a fault on the way changes no register.
 */
export class InnerStack {
  private selector = 0;
  private lo = 0;
  private hi = 0;
  private base = 0;
  private sp = 0;
  private big = false;

  /** Takes SS and SP of a level and checks them; #TS, or #SS when the segment is not present. */
  read(core: ExecutionCore, level: number, external: number): boolean {
    if (!privilegeStack(core, level, external)) return false;
    this.sp = core.lo;
    const selector = core.hi;
    this.selector = selector;
    const code = (selector & 0xfffc) | external;
    if ((selector & 0xfffc) === 0) return refuse(core, Vector.Ts, external);
    if (!readDescriptor(core, selector, Vector.Ts, external)) return false;
    const { lo, hi, eaLo, eaHi } = core;
    const attributes = descriptorAttributes(hi);
    const writable = (attributes & WRITABLE_DATA_MASK) === WRITABLE_DATA;
    if ((selector & 3) !== level || descriptorDpl(hi) !== level || !writable)
      return refuse(core, Vector.Ts, code);
    if ((attributes & Attribute.Present) === 0) return refuse(core, Vector.Ss, code);
    this.lo = lo;
    this.hi = hi;
    this.base = descriptorBase(lo, hi);
    this.big = (attributes & Attribute.Big) !== 0;
    return setAccessed(core, eaLo, eaHi, hi);
  }

  /** Whether so many bytes fit below the stack pointer; otherwise #SS with the new selector. */
  reserve(core: ExecutionCore, bytes: number, external: number): boolean {
    const mask = this.big ? -1 : 0xffff;
    const bottom = ((this.sp - bytes) & mask) >>> 0;
    const limit = descriptorLimit(this.lo, this.hi) >>> 0;
    const expandDown = (descriptorAttributes(this.hi) & Attribute.Direction) !== 0;
    const fits = expandDown ? bottom > limit : bottom + bytes - 1 <= limit;
    return fits || refuse(core, Vector.Ss, (this.selector & 0xfffc) | external);
  }

  /** Writes below the stack pointer, with the rights of the inner level. @param size log2 bytes */
  push(core: ExecutionCore, size: number, value: number): boolean {
    const next = (this.sp - (1 << size)) | 0;
    this.sp = this.big ? next : (this.sp & ~0xffff) | (next & 0xffff);
    const offset = this.big ? this.sp : this.sp & 0xffff;
    return core.writeSystem((this.base + offset) | 0, 0, size, value, 0);
  }

  /** Loads SS and rSP. */
  commit(words: Int32Array): void {
    setSegment(words, Segment.Ss, this.selector, this.lo, this.hi | 0x100);
    words[State.Gpr + 8] = this.sp;
    words[State.Gpr + 9] = 0;
  }
}

function refuse(core: ExecutionCore, vector: number, errorCode: number): false {
  core.raise(vector, errorCode);
  return false;
}
