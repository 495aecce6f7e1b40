import type { BackInvalidate, InclusionPolicy } from "./inclusion-policy.js";
import type { OuterCache } from "./outer-cache.js";

/** L3 that holds every line of L1 and L2: a line it evicts leaves them too. */
export class InclusiveL3 implements InclusionPolicy {
  readonly l2HoldsL1 = false;
  readonly fetchedDirty = false;
  private readonly l3: OuterCache;
  private readonly backInvalidate: BackInvalidate;

  constructor(l3: OuterCache, backInvalidate: BackInvalidate) {
    this.l3 = l3;
    this.backInvalidate = backInvalidate;
  }

  fetch(lo: number, hi: number, stamp: number): number {
    const way = this.l3.find(lo, hi);
    if (way >= 0) {
      this.l3.touch(way, stamp);
      return 3;
    }
    this.l3.fill(lo, hi, false, stamp);
    if (this.l3.evicted) this.backInvalidate(this.l3.evictedLo, this.l3.evictedHi);
    return 4;
  }

  leftL2(lo: number, hi: number, dirty: boolean, _stamp: number): void {
    if (!dirty) return;
    const way = this.l3.find(lo, hi);
    if (way >= 0) this.l3.markDirty(way);
  }
}
