import type { Arena } from "../arena.js";
import type { RecencyClock } from "../recency-clock.js";
import type { ReplacementPolicy } from "./replacement-policy.js";
import type { SetOrder, SetOrderSnapshot } from "./set-order.js";

/** A stamp for every way, and any {@link ReplacementPolicy} to choose by them. */
export class StampOrder implements SetOrder {
  private readonly ways: number;
  private readonly policy: ReplacementPolicy;
  private stamps!: Int32Array;

  constructor(arena: Arena, clock: RecencyClock, sets: number, ways: number, policy: ReplacementPolicy) {
    this.ways = ways;
    this.policy = policy;
    const at = arena.reserve(sets * ways * 4);
    arena.adopt(() => {
      this.stamps = arena.int32(at, sets * ways);
    });
    clock.track(at >>> 2, sets, ways, 1, policy);
  }

  touch(set: number, way: number, stamp: number): void {
    this.stamps[set * this.ways + way] = stamp;
  }

  victim(set: number): number {
    return this.policy.victim(this.stamps, set * this.ways, this.ways, 1);
  }

  snapshot(): SetOrderSnapshot {
    return { words: this.stamps.slice(), policy: this.policy.snapshot() };
  }

  restore(snapshot: SetOrderSnapshot): void {
    this.stamps.set(snapshot.words);
    this.policy.restore(snapshot.policy);
  }
}
