import type { ReplacementPolicy } from "./replacement-policy.js";

/** Least recently used: the way with the oldest stamp. */
export class LeastRecentlyUsed implements ReplacementPolicy {
  readonly name = "lru";

  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    let oldest = 0;
    let stamp = marks[first];
    for (let way = 1, at = first + stride; way < ways; way++, at += stride) {
      const candidate = marks[at];
      if (candidate < stamp) {
        stamp = candidate;
        oldest = way;
      }
    }
    return oldest;
  }

  snapshot(): readonly number[] {
    return [];
  }

  restore(): void {}
}
