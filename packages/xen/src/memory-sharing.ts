import type { PhysicalMemory } from "@hyperwalk/mmu";
import { copyFrame } from "./frame-copy.js";
import type { P2m } from "./p2m.js";
import { P2mType } from "./p2m-type.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { UNSHARE_PAGE } from "./path-cost/stages/p2m-conditions.js";

export interface MemorySharingOptions {
  readonly p2m: P2m;
  readonly memory: PhysicalMemory;
  /** A frame of Xen's heap. */
  readonly allocateFrame: () => number;
}

/** Sharing as plain data; which frames are shared is in the p2m. */
export interface MemorySharingSnapshot {
  /** -1: no limit. */
  readonly framesLeft: number;
}

/**
 * Guest frames of the same contents with one machine frame (`mem_sharing.c`). A write, by the guest or by one of Xen's
 * copies, gives its guest frame a copy of its own; so does any other copy of Xen's, which asks for pages that it may write to.
 */
export class MemorySharing {
  /** Frames that are left to unshare with; then a copy is -EFAULT, and a guest's write the end of the domain. */
  framesLeft: number = Number.POSITIVE_INFINITY;
  private readonly options: MemorySharingOptions;

  constructor(options: MemorySharingOptions) {
    this.options = options;
  }

  /**
   * Lets a second guest frame show the first one's memory; what it had is lost.
   * @throws RangeError unless both are ordinary or shared RAM
   */
  share(gfn: number, other: number): void {
    const { p2m } = this.options;
    for (const each of [gfn, other])
      if (![P2mType.RamRw, P2mType.RamLogdirty, P2mType.RamShared].some((type) => type === p2m.typeAt(each)))
        throw new RangeError(`guest frame 0x${each.toString(16)} has type ${p2m.typeAt(each)}: not sharable`);
    p2m.setEntry(other, p2m.frameOf(gfn), false, P2mType.RamShared);
    p2m.setType(gfn, P2mType.RamShared);
  }

  /** `mem_sharing_unshare_page`. @returns false when there is no frame for it */
  unshare(gfn: number, cost: PathCost): boolean {
    const { p2m, allocateFrame, memory } = this.options;
    if (this.framesLeft <= 0) return false;
    this.framesLeft--;
    cost.run(cost.compile(UNSHARE_PAGE));
    const from = p2m.frameOf(gfn);
    const to = allocateFrame();
    copyFrame(memory, from, to, cost);
    p2m.setEntry(gfn, to);
    return true;
  }

  snapshot(): MemorySharingSnapshot {
    const { framesLeft } = this;
    return { framesLeft: framesLeft === Number.POSITIVE_INFINITY ? -1 : framesLeft };
  }

  /** @throws RangeError for a number of frames that cannot be */
  restore({ framesLeft }: MemorySharingSnapshot): void {
    if (!Number.isInteger(framesLeft) || framesLeft < -1) throw new RangeError(`${framesLeft} frames left`);
    this.framesLeft = framesLeft < 0 ? Number.POSITIVE_INFINITY : framesLeft;
  }
}
