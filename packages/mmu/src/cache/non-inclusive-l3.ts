import type { CacheLevel } from "./cache-level.js";
import type { InclusionPolicy } from "./inclusion-policy.js";

/** L3 filled together with L2, whose own evictions do not reach the levels above (Intel server parts). */
export class NonInclusiveL3 implements InclusionPolicy {
  readonly l2HoldsL1 = false;
  readonly fetchedDirty = false;
  private readonly l3: CacheLevel;

  constructor(l3: CacheLevel) {
    this.l3 = l3;
  }

  fetch(frame: number, line: number, stamp: number): number {
    const way = this.l3.find(frame, line);
    if (way >= 0) {
      this.l3.touch(way, stamp);
      return 3;
    }
    this.l3.fill(frame, line, false, stamp);
    return 4;
  }

  leftL2(frame: number, line: number, dirty: boolean, stamp: number): void {
    const way = this.l3.find(frame, line);
    if (way >= 0) {
      if (dirty) this.l3.markDirty(way);
    } else if (dirty) this.l3.fill(frame, line, true, stamp);
  }
}
