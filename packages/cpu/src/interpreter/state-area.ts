import { Segment } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import { StateOffset } from "../registers/extended-state.js";
import type { ExecutionCore } from "./core.js";
import { Entry, Form } from "./entry.js";
import { vectorAddress } from "./vector-operands.js";

const PAGE = 4096;
const FOUR_GIB = 2 ** 32;
/** Address bits that FXSAVE's area has clear. */
export const LEGACY_ALIGNMENT = 15;

/**
 * The area of the FXSAVE, XSAVE or restoring instruction at work: moves bytes of it, once they have been found to be
 * accessible, between memory and {@link image}.
 */
export class StateArea {
  readonly image: Int32Array = new Int32Array(StateOffset.End / 4);
  private lo = 0;
  private hi = 0;
  private segment = 0;

  /**
   * Takes the entry's operand: limit, form of the address, alignment (a mask) and access rights checked, in the order
   * of Zen 3, which begins with the last byte.
   */
  open(core: ExecutionCore, pc: number, bytes: number, alignment: number, write: boolean): boolean {
    this.segment = core.segmentOf(pc);
    if (core.amd && alignment === LEGACY_ALIGNMENT) return this.openInSteps(core, pc, write);
    if (!vectorAddress(core, pc, bytes, alignment, write)) {
      const stack = core.mode === 64 && this.segment === Segment.Ss;
      if (stack && !core.canonical(core.eaLo, core.eaHi)) core.raise(Vector.Ss, 0);
      return false;
    }
    this.lo = core.eaLo;
    this.hi = core.eaHi;
    return this.touch(core, this.lastByte(core, pc, bytes), write) && this.touchFirst(core, bytes, write);
  }

  /**
   * FXSAVE and FXRSTOR on Zen 3: limit, canonical form and alignment by fours of the first dword, which is read, then
   * the alignment of the area, then access rights and limit of the last byte, whose offset wraps.
   */
  private openInSteps(core: ExecutionCore, pc: number, write: boolean): boolean {
    if (!core.address(pc, 4, false) || !core.canonicalOperand(4, this.segment) || !core.aligned(4))
      return false;
    this.lo = core.eaLo;
    this.hi = core.eaHi;
    if ((this.lo & LEGACY_ALIGNMENT) !== 0) {
      core.protection();
      return false;
    }
    const last = this.lastByte(core, pc, StateOffset.Header);
    if (!core.addressAfter(pc, last, 1, write)) return false;
    return this.touch(core, last, write) && this.touchFirst(core, StateOffset.Header, write);
  }

  /** Distance to the last byte, negative where its offset wraps at the end of 16- or, in 64-bit code, 32-bit addresses. */
  private lastByte(core: ExecutionCore, pc: number, bytes: number): number {
    core.offsetOf(pc);
    const size = (core.code[pc + Entry.Form] >> Form.AddressShift) & 3;
    const last = (core.lo >>> 0) + bytes - 1;
    if (size === 1) return (last & 0xffff) - core.lo;
    const wraps = size === 2 && core.mode === 64 && last >= FOUR_GIB;
    return wraps ? bytes - 1 - FOUR_GIB : bytes - 1;
  }

  private touchFirst(core: ExecutionCore, bytes: number, write: boolean): boolean {
    const crosses = (this.lo & (PAGE - 1)) + bytes > PAGE;
    return !crosses || this.touch(core, 0, write);
  }

  private touch(core: ExecutionCore, offset: number, write: boolean): boolean {
    const { mmu } = core;
    this.place(core, offset);
    const at = write ? mmu.write(core.eaLo, core.eaHi, 1) : mmu.read(core.eaLo, core.eaHi, 1);
    return at >= 0 || core.memoryFault(this.segment);
  }

  read(core: ExecutionCore, from: number, to: number): boolean {
    const { view } = core;
    const { image } = this;
    for (let offset = from; offset < to; offset += 8) {
      this.place(core, offset);
      const at = core.mmu.read(core.eaLo, core.eaHi, 8);
      if (at < 0) return core.memoryFault(this.segment);
      image[offset >> 2] = view.getInt32(at, true);
      image[(offset >> 2) + 1] = view.getInt32(at + 4, true);
    }
    return true;
  }

  write(core: ExecutionCore, from: number, to: number): boolean {
    const { view } = core;
    const { image } = this;
    for (let offset = from; offset < to; offset += 8) {
      this.place(core, offset);
      const at = core.mmu.write(core.eaLo, core.eaHi, 8);
      if (at < 0) return core.memoryFault(this.segment);
      view.setInt32(at, image[offset >> 2], true);
      view.setInt32(at + 4, image[(offset >> 2) + 1], true);
    }
    return true;
  }

  private place(core: ExecutionCore, offset: number): void {
    core.eaLo = (this.lo + offset) | 0;
    const sum = (this.lo >>> 0) + offset;
    core.eaHi = core.mode === 64 ? (this.hi + Math.floor(sum / FOUR_GIB)) | 0 : this.hi;
  }
}
