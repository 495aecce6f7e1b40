import type { RecencyClock } from "../recency-clock.js";
import type { PagingStructureCache } from "../tlb/paging-structure-cache.js";
import type { TlbArray } from "../tlb/tlb-array.js";

const CAPACITY = 64; // five guest levels and the page, each with a translation of at most five levels, and slack

/** Which cache an entry is for. */
export const FillTarget = { PagingStructure: 0, NestedTlb: 1, NestedPagingStructure: 2 } as const;

/**
 * Entries that a walk found for the walker's own caches. They become visible when the walk completes, and a walk that
 * faults leaves none: a cold two-dimensional walk therefore makes exactly (g+1)(n+1)-1 references.
 */
export class PendingFills {
  private readonly words = new Int32Array(CAPACITY * 8);
  private readonly frames = new Float64Array(CAPACITY * 2);
  private count = 0;

  discard(): void {
    this.count = 0;
  }

  add(
    target: number,
    kind: number,
    pageLo: number,
    pageHi: number,
    space: number,
    tag: number,
    rights: number,
    frame: number,
    guestFrame: number,
  ): void {
    if (this.count === CAPACITY) return;
    const words = this.words;
    const at = this.count * 8;
    words[at] = target;
    words[at + 1] = kind;
    words[at + 2] = pageLo;
    words[at + 3] = pageHi;
    words[at + 4] = space;
    words[at + 5] = tag;
    words[at + 6] = rights;
    this.frames[this.count * 2] = frame;
    this.frames[this.count * 2 + 1] = guestFrame;
    this.count++;
  }

  /** Hands every entry to its cache, in the order in which the walk found them. */
  commit(
    clock: RecencyClock,
    structures: PagingStructureCache,
    nestedTlb: TlbArray,
    nestedStructures: PagingStructureCache,
  ): void {
    const words = this.words;
    for (let i = 0; i < this.count; i++) {
      const at = i * 8;
      const kind = words[at + 1];
      const pageLo = words[at + 2];
      const pageHi = words[at + 3];
      const space = words[at + 4];
      const tag = words[at + 5];
      const rights = words[at + 6];
      const frame = this.frames[2 * i];
      const guestFrame = this.frames[2 * i + 1];
      const stamp = clock.next();
      if (words[at] === FillTarget.PagingStructure)
        structures.put(kind, pageLo, pageHi, space, tag, rights, frame, guestFrame, stamp);
      else if (words[at] === FillTarget.NestedTlb)
        nestedTlb.put(kind, pageLo, pageHi, space, tag, rights, frame, guestFrame, stamp);
      else nestedStructures.put(kind, pageLo, pageHi, space, tag, rights, frame, guestFrame, stamp);
    }
    this.count = 0;
  }
}
