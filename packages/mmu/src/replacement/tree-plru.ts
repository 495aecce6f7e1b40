import type { ReplacementPolicy } from "./replacement-policy.js";

/**
 * Tree pseudo-LRU. A node's bit always points away from the half that was touched last, so the bits are a function of
 * the stamps and need no storage: at each node take the half whose newest stamp is older. A tie is the reset state,
 * all bits zero, which points at the lower half. Way counts that are no power of two get an uneven tree.
 */
export class TreePlru implements ReplacementPolicy {
  readonly name = "tree-plru";

  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    let low = 0;
    let count = ways;
    while (count > 1) {
      const lower = (count + 1) >> 1;
      const middle = first + (low + lower) * stride;
      const end = first + (low + count) * stride;
      let newestLower = -1;
      let newestUpper = -1;
      for (let at = first + low * stride; at < middle; at += stride)
        if (marks[at] > newestLower) newestLower = marks[at];
      for (let at = middle; at < end; at += stride) if (marks[at] > newestUpper) newestUpper = marks[at];
      if (newestLower > newestUpper) {
        low += lower;
        count -= lower;
      } else count = lower;
    }
    return low;
  }

  renormalised(): void {}

  snapshot(): readonly number[] {
    return [];
  }

  restore(): void {}
}
