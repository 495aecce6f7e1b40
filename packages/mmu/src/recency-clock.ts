import type { Arena } from "./arena.js";
import type { ReplacementPolicy } from "./replacement/replacement-policy.js";

interface StampedArray {
  readonly first: number;
  readonly groups: number;
  readonly ways: number;
  readonly stride: number;
  readonly policy: ReplacementPolicy;
}

/**
 * The counter that stamps recency in every cache and TLB of one logical processor. Only the order of stamps within a
 * set means anything, so before the counter could overflow all stamps are replaced by their rank within their set.
 */
export class RecencyClock {
  /** Index of the counter in the arena's 32-bit view; hot code increments it there and compares with {@link limit}. */
  readonly at: number;
  /** Counter value at which {@link renormalise} must run. */
  readonly limit: number;
  private readonly arena: Arena;
  private readonly arrays: StampedArray[] = [];
  private readonly owed: (() => void)[] = [];
  private i32!: Int32Array;

  /** @param limit small in tests that want to see a renormalisation; more than twice the ways of any set */
  constructor(arena: Arena, limit: number = 2 ** 30) {
    this.arena = arena;
    this.limit = limit;
    this.at = arena.reserve(64) >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /** Registers `groups` sets of `ways` stamps; stamp 0 is at 32-bit index `first`, the others `stride` apart. */
  track(first: number, groups: number, ways: number, stride: number, policy: ReplacementPolicy): void {
    if (2 * ways + 8 > this.limit)
      throw new RangeError(`recency limit ${this.limit} is too small for ${ways} ways`);
    this.arrays.push({ first, groups, ways, stride, policy });
  }

  /** Has stamps that were put off stored before a renormalisation ranks them. */
  beforeRanking(store: () => void): void {
    this.owed.push(store);
  }

  /** The arena's 32-bit view, which all stamps are in. */
  get view(): Int32Array {
    return this.i32;
  }

  /** A stamp newer than all others. */
  next(): number {
    const stamp = this.i32[this.at] + 1;
    this.i32[this.at] = stamp;
    if (stamp >= this.limit) return this.renormalise();
    return stamp;
  }

  /** Ranks the stamps of every set and restarts the counter above them; returns the counter's new value. */
  renormalise(): number {
    for (const store of this.owed) store();
    const marks = this.arena.i32;
    let highest = 0;
    for (const { first, groups, ways, stride, policy } of this.arrays) {
      highest = Math.max(highest, ways);
      for (let group = 0; group < groups; group++)
        rankStamps(marks, first + group * ways * stride, ways, stride);
      policy.renormalised();
    }
    marks[this.at] = highest + 1;
    return highest + 1;
  }
}

/** Replaces stamps by 1, 2, 3 … in their order; 0 (never used) stays 0. */
function rankStamps(marks: Int32Array, first: number, ways: number, stride: number): void {
  const used: number[] = [];
  for (let way = 0; way < ways; way++) if (marks[first + way * stride] !== 0) used.push(first + way * stride);
  used.sort((a, b) => marks[a] - marks[b]);
  for (let rank = 0; rank < used.length; rank++) marks[used[rank]] = rank + 1;
}
