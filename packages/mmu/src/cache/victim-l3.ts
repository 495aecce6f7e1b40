import type { InclusionPolicy } from "./inclusion-policy.js";
import type { OuterCache } from "./outer-cache.js";

/**
 * L3 as a victim cache (AMD Zen): filled by lines that leave L2, and a hit moves the line back up. L2 includes L1,
 * as CPUID Fn8000_001D reports for these parts.
 */
export class VictimL3 implements InclusionPolicy {
  readonly l2HoldsL1 = true;
  fetchedDirty = false;
  private readonly l3: OuterCache;

  constructor(l3: OuterCache) {
    this.l3 = l3;
  }

  fetch(lo: number, hi: number, _stamp: number): number {
    if (!this.l3.remove(lo, hi)) return 4;
    this.fetchedDirty = this.l3.evictedDirty;
    return 3;
  }

  leftL2(lo: number, hi: number, dirty: boolean, stamp: number): void {
    this.l3.fill(lo, hi, dirty, stamp);
  }
}
