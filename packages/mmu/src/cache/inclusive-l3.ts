import type { CacheLevel } from "./cache-level.js";
import type { BackInvalidate, InclusionPolicy } from "./inclusion-policy.js";

/** L3 that holds every line of L1 and L2: a line it evicts leaves them too. */
export class InclusiveL3 implements InclusionPolicy {
  readonly l2HoldsL1 = false;
  readonly fetchedDirty = false;
  private readonly l3: CacheLevel;
  private readonly backInvalidate: BackInvalidate;

  constructor(l3: CacheLevel, backInvalidate: BackInvalidate) {
    this.l3 = l3;
    this.backInvalidate = backInvalidate;
  }

  fetch(frame: number, line: number, stamp: number): number {
    const way = this.l3.find(frame, line);
    if (way >= 0) {
      this.l3.touch(way, stamp);
      return 3;
    }
    this.l3.fill(frame, line, false, stamp);
    if (this.l3.evictedFrame >= 0) this.backInvalidate(this.l3.evictedFrame, this.l3.evictedLine);
    return 4;
  }

  leftL2(frame: number, line: number, dirty: boolean, _stamp: number): void {
    if (!dirty) return;
    const way = this.l3.find(frame, line);
    if (way >= 0) this.l3.markDirty(way);
  }
}
