import type { Arena } from "../arena.js";
import type { MemoryProfile } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { CacheLevel, type CacheLevelSnapshot } from "./cache-level.js";
import type { InclusionPolicy } from "./inclusion-policy.js";
import { InclusiveL3 } from "./inclusive-l3.js";
import { NonInclusiveL3 } from "./non-inclusive-l3.js";
import { VictimL3 } from "./victim-l3.js";

/** Who served an access. */
export const ServedBy = { L1: 1, L2: 2, L3: 3, Dram: 4 } as const;

/** Contents of all levels as plain data. */
export interface CacheHierarchySnapshot {
  readonly l1i: CacheLevelSnapshot;
  readonly l1d: CacheLevelSnapshot;
  readonly l2: CacheLevelSnapshot;
  readonly l3: CacheLevelSnapshot;
}

const INCLUSION: Readonly<
  Record<MemoryProfile["l3"]["policy"], (caches: CacheHierarchy) => InclusionPolicy>
> = {
  victim: (caches) => new VictimL3(caches.l3),
  "non-inclusive": (caches) => new NonInclusiveL3(caches.l3),
  inclusive: (caches) => new InclusiveL3(caches.l3, (frame, line) => caches.dropAboveL3(frame, line)),
};

/**
 * L1I, L1D, a unified L2 and L3, and DRAM, of one logical processor. Every access names a line by (frame, line in page)
 * and returns the level that served it, a {@link ServedBy} number; {@link way} then says where in L1 the line is.
 * Dirty lines are tracked, but write-backs cost nothing.
 */
export class CacheHierarchy {
  readonly l1i: CacheLevel;
  readonly l1d: CacheLevel;
  readonly l2: CacheLevel;
  readonly l3: CacheLevel;
  /** Way of L1D or L1I that holds the line of the latest access. */
  way = 0;
  private readonly inclusion: InclusionPolicy;

  constructor(arena: Arena, clock: RecencyClock, profile: MemoryProfile, seed: number) {
    this.l1i = new CacheLevel(arena, clock, profile.l1i, seed + 1);
    this.l1d = new CacheLevel(arena, clock, profile.l1d, seed + 2);
    this.l2 = new CacheLevel(arena, clock, profile.l2, seed + 3, false);
    this.l3 = new CacheLevel(arena, clock, profile.l3, seed + 4, false);
    this.inclusion = INCLUSION[profile.l3.policy](this);
  }

  /** Load, store or page-walk reference. @param stamp from the recency clock, newer than all others */
  data(frame: number, line: number, write: boolean, stamp: number): number {
    const l1 = this.l1d;
    const way = l1.find(frame, line);
    if (way >= 0) {
      l1.touch(way, stamp);
      if (write) l1.markDirty(way);
      this.way = way;
      return 1;
    }
    return this.miss(l1, frame, line, write, stamp);
  }

  /** Instruction fetch. */
  instruction(frame: number, line: number, stamp: number): number {
    const l1 = this.l1i;
    const way = l1.find(frame, line);
    if (way >= 0) {
      l1.touch(way, stamp);
      this.way = way;
      return 1;
    }
    return this.miss(l1, frame, line, false, stamp);
  }

  /** CLFLUSH: the line leaves every level. */
  flushLine(frame: number, line: number): void {
    this.l1i.remove(frame, line);
    this.l1d.remove(frame, line);
    this.l2.remove(frame, line);
    this.l3.remove(frame, line);
  }

  /** WBINVD. */
  flushAll(): void {
    this.l1i.removeAll();
    this.l1d.removeAll();
    this.l2.removeAll();
    this.l3.removeAll();
  }

  /** Drops a line from L1 and L2 because an inclusive L3 dropped it; returns whether a copy was dirty. */
  dropAboveL3(frame: number, line: number): boolean {
    let dirty = this.l2.remove(frame, line) && this.l2.evictedDirty;
    if (this.l1d.remove(frame, line) && this.l1d.evictedDirty) dirty = true;
    this.l1i.remove(frame, line);
    return dirty;
  }

  snapshot(): CacheHierarchySnapshot {
    return {
      l1i: this.l1i.snapshot(),
      l1d: this.l1d.snapshot(),
      l2: this.l2.snapshot(),
      l3: this.l3.snapshot(),
    };
  }

  restore(snapshot: CacheHierarchySnapshot): void {
    this.l1i.restore(snapshot.l1i);
    this.l1d.restore(snapshot.l1d);
    this.l2.restore(snapshot.l2);
    this.l3.restore(snapshot.l3);
  }

  private miss(l1: CacheLevel, frame: number, line: number, write: boolean, stamp: number): number {
    const l2 = this.l2;
    const hit = l2.find(frame, line);
    let level = 2;
    if (hit >= 0) l2.touch(hit, stamp);
    else {
      level = this.inclusion.fetch(frame, line, stamp);
      this.fillL2(frame, line, level === 3 && this.inclusion.fetchedDirty, stamp);
    }
    this.way = l1.fill(frame, line, write, stamp);
    if (l1.evictedFrame >= 0 && l1.evictedDirty) this.writeBack(l1.evictedFrame, l1.evictedLine, stamp);
    return level;
  }

  private fillL2(frame: number, line: number, dirty: boolean, stamp: number): void {
    const l2 = this.l2;
    l2.fill(frame, line, dirty, stamp);
    const left = l2.evictedFrame;
    if (left < 0) return;
    const leftLine = l2.evictedLine;
    let leftDirty = l2.evictedDirty;
    if (this.inclusion.l2HoldsL1) {
      if (this.l1d.remove(left, leftLine) && this.l1d.evictedDirty) leftDirty = true;
      this.l1i.remove(left, leftLine);
    }
    this.inclusion.leftL2(left, leftLine, leftDirty, stamp);
  }

  /** A dirty line left L1D: its data goes to L2. */
  private writeBack(frame: number, line: number, stamp: number): void {
    const way = this.l2.find(frame, line);
    if (way >= 0) this.l2.markDirty(way);
    else this.fillL2(frame, line, true, stamp);
  }
}
