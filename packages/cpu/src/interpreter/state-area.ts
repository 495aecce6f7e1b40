import { Segment } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import { StateOffset } from "../registers/extended-state.js";
import type { ExecutionCore } from "./core.js";
import { Entry, Form } from "./entry.js";
import { vectorAddress } from "./vector-operands.js";

const SHORT_ADDRESSES = 0x10000;
/** Address bits that areas of FXSAVE and XSAVE have clear. */
const LEGACY_ALIGNMENT = 15;
const EXTENDED_ALIGNMENT = 63;

/**
 * The area of the FXSAVE, XSAVE or restoring instruction at work: moves bytes of it between memory and {@link image}.
 * Where 16- or 32-bit addresses end, the rest of the area is at the start of the segment, as on Zen 3.
 */
export class StateArea {
  readonly image: Int32Array = new Int32Array(StateOffset.End / 4);
  private lo = 0;
  private hi = 0;
  /** Distance at which the offset wraps, or the end of every area. */
  private room = 0;
  private shortAddresses = false;
  private segment = 0;

  /**
   * The 512 bytes of FXSAVE or FXRSTOR: limit, form of the address, alignment and access rights checked. On Zen 3 those
   * are limit, canonical form and alignment by fours of the first dword, which is read, then the alignment of the area,
   * then access rights and limit of the last byte.
   */
  openLegacy(core: ExecutionCore, pc: number, write: boolean): boolean {
    const last = StateOffset.Header - 1;
    this.segment = core.segmentOf(pc);
    if (core.amd) {
      if (!core.address(pc, 4, false) || !core.canonicalOperand(4, this.segment) || !core.aligned(4))
        return false;
      this.begin(core, pc);
      if ((this.lo & LEGACY_ALIGNMENT) !== 0) {
        core.protection();
        return false;
      }
      if (!core.addressAfter(pc, last, 1, write)) return false;
    } else if (!this.take(core, pc, StateOffset.Header, LEGACY_ALIGNMENT, write)) return false;
    return this.touch(core, last, write) && this.touch(core, 0, write);
  }

  /**
   * Legacy area and header of the XSAVE family: limit, alignment, form of the address and access rights checked. The first
   * byte comes first, then the last one to write or the header to read, as on Zen 3.
   */
  openExtended(core: ExecutionCore, pc: number, write: boolean): boolean {
    this.segment = core.segmentOf(pc);
    if (!this.take(core, pc, StateOffset.End, EXTENDED_ALIGNMENT, write)) return false;
    return (
      this.touch(core, 0, write) && this.touch(core, write ? StateOffset.End - 1 : StateOffset.Header, write)
    );
  }

  /** Takes an area whose limit is checked at once. Alignment comes before the canonical form of a stack address on Zen 3. */
  private take(core: ExecutionCore, pc: number, bytes: number, alignment: number, write: boolean): boolean {
    if (vectorAddress(core, pc, bytes, alignment, write)) {
      this.begin(core, pc);
      return true;
    }
    const stack = !core.amd && core.mode === 64 && this.segment === Segment.Ss;
    if (stack && !core.canonical(core.eaLo, core.eaHi)) core.raise(Vector.Ss, 0);
    return false;
  }

  /** Takes the linear address of the first byte, and where offsets wrap: at the end of 16- or 32-bit addresses. */
  private begin(core: ExecutionCore, pc: number): void {
    this.lo = core.eaLo;
    this.hi = core.eaHi;
    core.offsetOf(pc);
    const size = (core.code[pc + Entry.Form] >> Form.AddressShift) & 3;
    this.shortAddresses = size === 1;
    const left = this.shortAddresses ? SHORT_ADDRESSES - core.lo : -core.lo >>> 0;
    const wraps = size !== 3 && left > 0 && left < StateOffset.End;
    this.room = wraps ? left : StateOffset.End;
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

  /** Linear address of what lies `offset` bytes on to the core's. */
  private place(core: ExecutionCore, offset: number): void {
    const wrapped = offset >= this.room;
    const lo = (this.lo + offset) | 0;
    core.eaLo = wrapped && this.shortAddresses ? (lo - SHORT_ADDRESSES) | 0 : lo;
    core.eaHi = this.hi;
    if (core.mode === 64) core.eaHi = (this.hi + (lo >>> 0 < offset ? 1 : 0) - (wrapped ? 1 : 0)) | 0;
  }
}
