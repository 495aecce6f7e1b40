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
      if (count === 8) return low + descendEight(marks, (first + low * stride) | 0, stride);
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

/** The rest of the descent from a node over eight ways. */
function descendEight(marks: Int32Array, first: number, stride: number): number {
  const pair = oldestPair(
    newer(marks[first], marks[(first + stride) | 0]),
    newer(marks[(first + 2 * stride) | 0], marks[(first + 3 * stride) | 0]),
    newer(marks[(first + 4 * stride) | 0], marks[(first + 5 * stride) | 0]),
    newer(marks[(first + 6 * stride) | 0], marks[(first + 7 * stride) | 0]),
  );
  const at = (first + pair * stride) | 0;
  return pair | ((((marks[(at + stride) | 0] - marks[at]) | 0) >> 31) & 1);
}

/**
 * Of eight ways, the first of the two that the descent ends at: 0, 2, 4 or 6. Without branches that the host would have
 * to guess: stamps are below 2^31 and not negative, so the sign of a difference tells which is newer.
 * @param ab,cd,ef,gh the {@link newer} stamps of the four pairs of ways
 */
function oldestPair(ab: number, cd: number, ef: number, gh: number): number {
  const upper = ((newer(ef, gh) - newer(ab, cd)) | 0) >> 31; // -1: the lower four are newer
  const left = ab ^ ((ab ^ ef) & upper);
  const right = cd ^ ((cd ^ gh) & upper);
  return (upper & 4) | ((((right - left) | 0) >> 31) & 2);
}

/** The greater of two stamps. */
export function newer(x: number, y: number): number {
  const difference = (x - y) | 0;
  return (x - (difference & (difference >> 31))) | 0;
}
