import type { InclusionPolicy } from "./inclusion-policy.js";
import type { OuterCache } from "./outer-cache.js";

/** L3 filled together with L2, whose own evictions do not reach the levels above (Intel server parts). */
export class NonInclusiveL3 implements InclusionPolicy {
  readonly l2HoldsL1 = false;
  readonly fetchedDirty = false;
  private readonly l3: OuterCache;

  constructor(l3: OuterCache) {
    this.l3 = l3;
  }

  fetch(lo: number, hi: number, stamp: number): number {
    const way = this.l3.find(lo, hi);
    if (way >= 0) {
      this.l3.touch(way, stamp);
      return 3;
    }
    this.l3.fill(lo, hi, false, stamp);
    return 4;
  }

  leftL2(lo: number, hi: number, dirty: boolean, stamp: number): void {
    const way = this.l3.find(lo, hi);
    if (way >= 0) {
      if (dirty) this.l3.markDirty(way);
    } else if (dirty) this.l3.fill(lo, hi, true, stamp);
  }
}
