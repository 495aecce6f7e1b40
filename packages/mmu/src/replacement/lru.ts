import { RecencyRing } from "./recency-ring.js";
import type { ReplacementPolicy } from "./replacement-policy.js";

/** Sets at least this wide are kept in order. */
const WIDE = 32;

/** Least recently used: the way with the oldest stamp. A wide set is kept in a {@link RecencyRing}. */
export class LeastRecentlyUsed implements ReplacementPolicy {
  readonly name = "lru";
  /** Made for the first wide set that a victim is wanted of. */
  private ordered: RecencyRing | undefined;

  /** The ring of a wide set of so many ways; undefined for a narrow one. */
  ring(ways: number): RecencyRing | undefined {
    if (ways < WIDE) return undefined;
    if (this.ordered?.at.length !== ways) this.ordered = new RecencyRing(ways);
    return this.ordered;
  }

  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    const ring = this.ring(ways);
    if (ring !== undefined) {
      if (ring.first === -1) ring.order(marks, first, stride);
      if (ring.first === first) return ((ring.oldest(marks) - first) / stride) | 0;
    }
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

  renormalised(): void {
    if (this.ordered !== undefined) this.ordered.first = -1;
  }

  snapshot(): readonly number[] {
    return [];
  }

  restore(): void {
    this.renormalised();
  }
}
