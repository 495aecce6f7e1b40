import type { Arena } from "../arena.js";
import type { CacheGeometry } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { makeReplacement } from "../replacement/policies.js";
import type { SetOrder, SetOrderSnapshot } from "../replacement/set-order.js";
import { StampOrder } from "../replacement/stamp-order.js";
import { TREE_ORDER_WAYS, TreeOrder } from "../replacement/tree-order.js";
import { LineTags, type LineTagsSnapshot } from "./line-tags.js";

/** Contents of one outer level as plain data. */
export interface OuterCacheSnapshot {
  readonly lines: LineTagsSnapshot;
  readonly order: SetOrderSnapshot;
}

/** One cache level behind the first. It holds no data; lines are named by the pair of `line-number.ts`. */
export class OuterCache {
  readonly ways: number;
  readonly sets: number;
  /** Load-to-use latency in cycles. */
  readonly latency: number;
  /** After {@link fill}: whether a line had to make room. */
  evicted = false;
  /** After {@link fill}: number of the line that made room. */
  evictedLo = 0;
  evictedHi = 0;
  /** Which lines it holds, and the bits of their order where tree bits keep it: for paths that do without this class. */
  readonly lines: LineTags;
  readonly tree: TreeOrder | undefined;
  private readonly order: SetOrder;

  constructor(arena: Arena, clock: RecencyClock, geometry: CacheGeometry, seed: number) {
    const { latency, replacement } = geometry;
    const lines = new LineTags(arena, geometry);
    this.lines = lines;
    const { ways, sets } = lines;
    this.ways = ways;
    this.sets = sets;
    this.latency = latency;
    if (replacement === "tree-plru" && ways <= TREE_ORDER_WAYS)
      this.tree = new TreeOrder(arena, lines.statesAt, lines.stride, ways);
    this.order = this.tree ?? new StampOrder(arena, clock, sets, ways, makeReplacement(replacement, seed));
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

  /** A hit in a way. @param stamp from the recency clock, newer than all others */
  touch(way: number, stamp: number): void {
    const set = (way / this.ways) | 0;
    this.order.touch(set, (way - set * this.ways) | 0, stamp);
  }

  markDirty(way: number): void {
    this.lines.markDirty(way);
  }

  isDirty(way: number): boolean {
    return this.lines.isDirty(way);
  }

  /**
   * Brings in a line that is not there; the line that made room is in {@link evictedLo} and its companions.
   * @returns the way that was filled
   */
  fill(lo: number, hi: number, dirty: boolean, stamp: number): number {
    const { lines, order } = this;
    const set = lines.setOf(lo, hi);
    let inSet = lines.vacantWay(set);
    this.evicted = inSet < 0;
    if (inSet < 0) {
      inSet = order.victim(set);
      this.evictedLo = lines.lowOf((set * this.ways + inSet) | 0);
      this.evictedHi = lines.highOf((set * this.ways + inSet) | 0);
    }
    lines.place(set, inSet, lo, hi, dirty);
    order.touch(set, inSet, stamp);
    return (set * this.ways + inSet) | 0;
  }

  /** Invalidates a line if it is there ({@link evictedDirty} tells its state); returns whether it was. */
  remove(lo: number, hi: number): boolean {
    const { lines } = this;
    const set = lines.setOf(lo, hi);
    const way = lines.find(set, lo, hi);
    if (way < 0) return false;
    lines.clear(set, way);
    return true;
  }

  /** Invalidates every line, as WBINVD does. */
  removeAll(): void {
    const { lines, ways } = this;
    for (let way = this.sets * ways - 1; way >= 0; way--)
      if (lines.isValid(way)) lines.clear(Math.floor(way / ways), way);
  }

  snapshot(): OuterCacheSnapshot {
    return { lines: this.lines.snapshot(), order: this.order.snapshot() };
  }

  restore(snapshot: OuterCacheSnapshot): void {
    this.lines.restore(snapshot.lines);
    this.order.restore(snapshot.order);
  }
}
