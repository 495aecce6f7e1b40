import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { PathCost } from "./path-cost/path-cost.js";

const FRAME_BYTES = 4096;

/** Offsets within a `struct active_grant_entry`: what a grant in use is used for. */
export const ActiveEntry = {
  /** u32: four counts of eight bits, see {@link Pin}. */
  Pin: 0,
  /** u16: who uses it. */
  Domid: 4,
  /** u16: whose frame it is in the end. */
  SourceDomid: 6,
  /** u16, u16: bytes of the frame that it is about. */
  Start: 8,
  Length: 10,
  /** u8: not the whole frame, or through another domain: such a grant cannot be mapped. */
  IsSubPage: 12,
  /** u32: grant of {@link SourceDomid} that it comes from. */
  SourceRef: 16,
  /** u32: machine frame. */
  Frame: 20,
} as const;

/** Uses by the processor, in {@link ActiveEntry.Pin}: GNTPIN_hstw_inc and GNTPIN_hstr_inc. */
export const Pin = { HostWrite: 1, HostRead: 0x100 } as const;
/** GNTPIN_hstw_mask */
export const PINNED_FOR_WRITING = 0xff;

const RECORD_BYTES = 32;
const PER_FRAME: number = FRAME_BYTES / RECORD_BYTES;

/** Where Xen keeps what its domains' grants are used for. */
export interface GrantRecordsOptions {
  readonly memory: PhysicalMemory;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
}

/**
 * Xen's own state of each grant reference of a domain, in simulated frames that come into being with the first grant in
 * them that is used. With a {@link PathCost} each touch goes through the caches.
 */
export class ActiveEntries {
  private readonly memory: PhysicalMemory;
  private readonly allocateFrame: () => number;
  private frames: number[] = []; // 0: none yet

  constructor(options: GrantRecordsOptions) {
    this.memory = options.memory;
    this.allocateFrame = options.allocateFrame;
  }

  /** Arena offset of a reference's record. */
  at(reference: number, cost: PathCost | undefined): number {
    const index = Math.floor(reference / PER_FRAME);
    while (this.frames.length <= index) this.frames.push(0);
    if (this.frames[index] === 0) this.frames[index] = this.allocateFrame();
    const frame = this.frames[index];
    const offset = (reference % PER_FRAME) * RECORD_BYTES;
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, RECORD_BYTES, true);
  }

  /** Uses of a reference, for which no record has to be made. */
  pinOf(reference: number): number {
    const frame = this.frames[Math.floor(reference / PER_FRAME)] ?? 0;
    if (frame === 0) return 0;
    return this.memory.readU32(
      frame * FRAME_BYTES + (reference % PER_FRAME) * RECORD_BYTES + ActiveEntry.Pin,
    );
  }

  /** Is any reference from `first` on in use? */
  isUsedFrom(first: number): boolean {
    for (let index = 0; index < this.frames.length; index++) {
      if (this.frames[index] === 0) continue;
      for (let ref = Math.max(first, index * PER_FRAME); ref < (index + 1) * PER_FRAME; ref++)
        if (this.pinOf(ref) !== 0) return true;
    }
    return false;
  }

  snapshot(): readonly number[] {
    return [...this.frames];
  }

  /** @throws RangeError for frames that are no RAM */
  restore(frames: readonly number[]): void {
    const stray = frames.find((frame) => frame !== 0 && !this.memory.isRam(frame));
    if (stray !== undefined) throw new RangeError(`active grant entries in frame ${stray}, which is not RAM`);
    this.frames = [...frames];
  }
}
