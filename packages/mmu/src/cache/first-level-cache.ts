import type { Arena } from "../arena.js";
import type { Reliance } from "../line-sequences.js";
import type { CacheGeometry, Replacement } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { makeReplacement } from "../replacement/policies.js";
import type { ReplacementPolicy } from "../replacement/replacement-policy.js";
import { LineTags, type LineTagsSnapshot } from "./line-tags.js";

// Bits of a generation word below the counter.
/** The line was written since it came. */
export const DIRTY = 1;
/** The way holds a line. */
export const VALID = 2;
/** A generation further. */
export const STEP = 4;

/** Contents of one first-level cache as plain data. */
export interface FirstLevelCacheSnapshot {
  readonly lines: LineTagsSnapshot;
  /** Generation and stamp by way. */
  readonly marks: Int32Array;
  readonly policy: readonly number[];
}

/**
 * L1I or L1D. It holds no data; lines are named by the pair of `line-number.ts`. A way's *generation* changes whenever the
 * way is refilled, invalidated or becomes dirty, so whoever remembers (way, generation) can later tell with one comparison
 * that the line is still there as it was, and stamp the way without asking.
 */
export class FirstLevelCache {
  readonly ways: number;
  readonly sets: number;
  /** Load-to-use latency in cycles. */
  readonly latency: number;
  /** 32-bit arena index of way 0's generation; its stamp follows it, way `w` is `2 * w` further. */
  readonly marksAt: number;
  /** After {@link fill}: whether a line had to make room. */
  evicted = false;
  /** After {@link fill}: number of the line that made room. */
  evictedLo = 0;
  evictedHi = 0;
  readonly replacement: Replacement;
  /** Which lines it holds: for paths that do without this class. */
  readonly lines: LineTags;
  private readonly policy: ReplacementPolicy;
  private reliance: Reliance | undefined;
  /** By way: who wants to know when it is given to another line. */
  readonly watchers: Int32Array;
  private i32!: Int32Array;

  constructor(arena: Arena, clock: RecencyClock, geometry: CacheGeometry, seed: number) {
    const { latency, replacement } = geometry;
    this.lines = new LineTags(arena, geometry);
    const { sets, ways } = this.lines;
    this.ways = ways;
    this.sets = sets;
    this.latency = latency;
    this.replacement = replacement;
    this.policy = makeReplacement(replacement, seed);
    this.watchers = new Int32Array(sets * ways);
    this.marksAt = arena.reserve(sets * ways * 8) >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
    clock.track(this.marksAt + 1, sets, ways, 2, this.policy);
  }

  /** Has somebody rely on where lines are; see {@link watch}. */
  rely(reliance: Reliance): void {
    this.reliance = reliance;
  }

  /** `reliance.lost` will be told when the line in this way leaves. @param watcher bits of its argument */
  watch(way: number, watcher: number): void {
    this.watchers[way] |= watcher;
  }

  /** Lines held. */
  get occupancy(): number {
    return this.lines.occupancy;
  }

  /** After {@link fill} or {@link remove}: whether the line that left was dirty. */
  get evictedDirty(): boolean {
    return this.lines.leftDirty;
  }

  /** Way that holds a line, or -1. Changes nothing. */
  find(lo: number, hi: number): number {
    const { lines } = this;
    return lines.find(lines.setOf(lo, hi), lo, hi);
  }

  /** Stamps a way as the newest of its set. */
  touch(way: number, stamp: number): void {
    this.i32[(this.marksAt + 2 * way + 1) | 0] = stamp;
  }

  markDirty(way: number): void {
    const { i32 } = this;
    const mark = (this.marksAt + 2 * way) | 0;
    if ((i32[mark] & DIRTY) !== 0) return;
    this.lines.markDirty(way);
    i32[mark] = (i32[mark] + STEP) | DIRTY;
  }

  isDirty(way: number): boolean {
    return (this.i32[this.marksAt + 2 * way] & DIRTY) !== 0;
  }

  /** Stamp of a way, for tests and reports. */
  stampOf(way: number): number {
    return this.i32[this.marksAt + 2 * way + 1];
  }

  generationOf(way: number): number {
    return this.i32[this.marksAt + 2 * way];
  }

  /**
   * Brings in a line that is not there; the line that made room is in {@link evictedLo} and its companions.
   * @returns the way that was filled
   */
  fill(lo: number, hi: number, dirty: boolean, stamp: number): number {
    const { lines, i32 } = this;
    const set = lines.setOf(lo, hi);
    const first = (set * this.ways) | 0;
    let inSet = lines.vacantWay(set);
    this.evicted = inSet < 0;
    if (inSet < 0) {
      this.settle(set);
      inSet = this.policy.victim(i32, (this.marksAt + 2 * first + 1) | 0, this.ways, 2);
      this.giveUp(first + inSet);
      this.evictedLo = lines.lowOf(first + inSet);
      this.evictedHi = lines.highOf(first + inSet);
    }
    const way = (first + inSet) | 0;
    lines.place(set, inSet, lo, hi, dirty);
    const mark = (this.marksAt + 2 * way) | 0;
    i32[mark] = (((i32[mark] + STEP) | 0) & ~DIRTY) | VALID | (dirty ? DIRTY : 0);
    i32[(mark + 1) | 0] = stamp;
    return way;
  }

  /** Invalidates a line if it is there ({@link evictedDirty} tells its state); returns whether it was. */
  remove(lo: number, hi: number): boolean {
    const { lines } = this;
    const set = lines.setOf(lo, hi);
    const way = lines.find(set, lo, hi);
    if (way < 0) return false;
    this.clear(set, way);
    return true;
  }

  /** Invalidates every line, as WBINVD does. */
  removeAll(): void {
    const { lines, ways } = this;
    for (let way = 0; way < this.sets * ways; way++)
      if (lines.isValid(way)) this.clear(Math.floor(way / ways), way);
  }

  snapshot(): FirstLevelCacheSnapshot {
    return {
      lines: this.lines.snapshot(),
      marks: this.i32.slice(this.marksAt, this.marksAt + 2 * this.sets * this.ways),
      policy: this.policy.snapshot(),
    };
  }

  restore(snapshot: FirstLevelCacheSnapshot): void {
    this.lines.restore(snapshot.lines);
    this.i32.set(snapshot.marks, this.marksAt);
    this.policy.restore(snapshot.policy);
  }

  /** The stamps of a set are about to be compared. */
  settle(set: number): void {
    if (this.reliance !== undefined) this.reliance.settle(set);
  }

  /** A way is about to hold another line or none: whoever watches it is told. */
  giveUp(way: number): void {
    const { reliance } = this;
    if (reliance === undefined || this.watchers[way] === 0) return;
    const watchers = this.watchers[way];
    this.watchers[way] = 0;
    reliance.lost(watchers);
  }

  private clear(set: number, way: number): void {
    const { i32 } = this;
    const mark = (this.marksAt + 2 * way) | 0;
    this.giveUp(way);
    this.lines.clear(set, way);
    i32[mark] = (i32[mark] + STEP) & ~(DIRTY | VALID);
  }
}
