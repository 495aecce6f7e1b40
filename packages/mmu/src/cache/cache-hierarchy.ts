import type { Arena } from "../arena.js";
import type { MemoryProfile } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { FirstLevelCache, type FirstLevelCacheSnapshot } from "./first-level-cache.js";
import type { InclusionPolicy } from "./inclusion-policy.js";
import { InclusiveL3 } from "./inclusive-l3.js";
import { NonInclusiveL3 } from "./non-inclusive-l3.js";
import { OuterCache, type OuterCacheSnapshot } from "./outer-cache.js";
import { type DataPath, hasVictimDataPath, LEFT_DIRTY, victimDataPath } from "./victim-data-path.js";
import { VictimL3 } from "./victim-l3.js";

/** Who served an access. */
export const ServedBy = { L1: 1, L2: 2, L3: 3, Dram: 4 } as const;

/** Contents of all levels as plain data. */
export interface CacheHierarchySnapshot {
  readonly l1i: FirstLevelCacheSnapshot;
  readonly l1d: FirstLevelCacheSnapshot;
  readonly l2: OuterCacheSnapshot;
  readonly l3: OuterCacheSnapshot;
}

const INCLUSION: Readonly<
  Record<MemoryProfile["l3"]["policy"], (caches: CacheHierarchy) => InclusionPolicy>
> = {
  victim: (caches) => new VictimL3(caches.l3),
  "non-inclusive": (caches) => new NonInclusiveL3(caches.l3),
  inclusive: (caches) => new InclusiveL3(caches.l3, (lo, hi) => caches.dropAboveL3(lo, hi)),
};

/**
 * L1I, L1D, a unified L2 and L3, and DRAM, of one logical processor. Every access names a line by the pair of `line-number.ts`
 * and returns the level that served it, a {@link ServedBy} number; {@link way} then says where in L1 the line is.
 * Dirty lines are tracked, but write-backs cost nothing.
 */
export class CacheHierarchy {
  readonly l1i: FirstLevelCache;
  readonly l1d: FirstLevelCache;
  readonly l2: OuterCache;
  readonly l3: OuterCache;
  /** Way of L1D or L1I that holds the line of the latest access. */
  way = 0;
  private readonly inclusion: InclusionPolicy;
  /** The whole of a data access in one function, where there is one for caches of this shape. */
  private path: DataPath | undefined;
  /** Where {@link path} leaves its answer in the arena. */
  private readonly answerAt: number;
  private i32!: Int32Array;
  /** A line beyond 256 GiB, or the last one below, was brought in: levels are asked one by one from then on. */
  private wide = false;

  /** @param oneFunction false: levels are asked one by one even where {@link hasDataPath} could be. For tests. */
  constructor(arena: Arena, clock: RecencyClock, profile: MemoryProfile, seed: number, oneFunction = true) {
    this.l1i = new FirstLevelCache(arena, clock, profile.l1i, seed + 1);
    this.l1d = new FirstLevelCache(arena, clock, profile.l1d, seed + 2);
    this.l2 = new OuterCache(arena, clock, profile.l2, seed + 3);
    this.l3 = new OuterCache(arena, clock, profile.l3, seed + 4);
    this.inclusion = INCLUSION[profile.l3.policy](this);
    this.answerAt = arena.reserve(8) >>> 2;
    const { l1i, l1d, l2, l3 } = this;
    const known = oneFunction && profile.l3.policy === "victim" && hasVictimDataPath(l1i, l1d, l2, l3);
    arena.adopt(() => {
      this.i32 = arena.i32;
      if (known) this.path = victimDataPath(arena.i32, this.answerAt, l1i, l1d, l2, l3);
    });
  }

  /** Whether data accesses go through one function written for caches of this shape. */
  get hasDataPath(): boolean {
    return this.path !== undefined;
  }

  /** Load, store or page-walk reference. @param stamp from the recency clock, newer than all others */
  data(lo: number, hi: number, write: boolean, stamp: number): number {
    const { path, l1d: l1 } = this;
    if (path !== undefined && !this.wide && hi === 0 && lo !== -1) {
      const level = path(lo, write, stamp);
      const { i32, answerAt } = this;
      this.way = i32[answerAt];
      if ((level & LEFT_DIRTY) === 0) return level;
      this.writeBack(i32[answerAt + 1], 0, stamp);
      return level & ~LEFT_DIRTY;
    }
    this.wide ||= hi !== 0 || lo === -1;
    const way = l1.find(lo, hi);
    if (way >= 0) {
      l1.touch(way, stamp);
      if (write) l1.markDirty(way);
      this.way = way;
      return 1;
    }
    return this.miss(l1, lo, hi, write, stamp);
  }

  /** Instruction fetch. */
  instruction(lo: number, hi: number, stamp: number): number {
    const l1 = this.l1i;
    this.wide ||= hi !== 0 || lo === -1;
    const way = l1.find(lo, hi);
    if (way >= 0) {
      l1.touch(way, stamp);
      this.way = way;
      return 1;
    }
    return this.miss(l1, lo, hi, false, stamp);
  }

  /** CLFLUSH: the line leaves every level. */
  flushLine(lo: number, hi: number): void {
    this.l1i.remove(lo, hi);
    this.l1d.remove(lo, hi);
    this.l2.remove(lo, hi);
    this.l3.remove(lo, hi);
  }

  /** WBINVD. */
  flushAll(): void {
    this.l1i.removeAll();
    this.l1d.removeAll();
    this.l2.removeAll();
    this.l3.removeAll();
  }

  /** Drops a line from L1 and L2 because an inclusive L3 dropped it; returns whether a copy was dirty. */
  dropAboveL3(lo: number, hi: number): boolean {
    let dirty = this.l2.remove(lo, hi) && this.l2.evictedDirty;
    if (this.l1d.remove(lo, hi) && this.l1d.evictedDirty) dirty = true;
    this.l1i.remove(lo, hi);
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
    this.wide = [this.l1i, this.l1d, this.l2, this.l3].some(({ lines }) => lines.needsWholeTags);
  }

  private miss(l1: FirstLevelCache, lo: number, hi: number, write: boolean, stamp: number): number {
    const l2 = this.l2;
    const hit = l2.find(lo, hi);
    let level = 2;
    if (hit >= 0) l2.touch(hit, stamp);
    else {
      level = this.inclusion.fetch(lo, hi, stamp);
      this.fillL2(lo, hi, level === 3 && this.inclusion.fetchedDirty, stamp);
    }
    this.way = l1.fill(lo, hi, write, stamp);
    if (l1.evicted && l1.evictedDirty) this.writeBack(l1.evictedLo, l1.evictedHi, stamp);
    return level;
  }

  private fillL2(lo: number, hi: number, dirty: boolean, stamp: number): void {
    const l2 = this.l2;
    l2.fill(lo, hi, dirty, stamp);
    if (!l2.evicted) return;
    const leftLo = l2.evictedLo;
    const leftHi = l2.evictedHi;
    let leftDirty = l2.evictedDirty;
    if (this.inclusion.l2HoldsL1) {
      if (this.l1d.remove(leftLo, leftHi) && this.l1d.evictedDirty) leftDirty = true;
      this.l1i.remove(leftLo, leftHi);
    }
    this.inclusion.leftL2(leftLo, leftHi, leftDirty, stamp);
  }

  /** A dirty line left L1D: its data goes to L2. */
  private writeBack(lo: number, hi: number, stamp: number): void {
    const way = this.l2.find(lo, hi);
    if (way >= 0) this.l2.markDirty(way);
    else this.fillL2(lo, hi, true, stamp);
  }
}
