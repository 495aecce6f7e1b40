import type { ReplacementPolicy } from "./replacement-policy.js";

/** Sets at least this wide are kept in order. */
const WIDE = 32;

/**
 * Least recently used: the way with the oldest stamp. The ways of a wide set (a fully associative TLB) stand in a ring in
 * the order of stamps noted earlier. As stamps only grow, a way whose stamp is still the one noted at the head of the
 * ring is the oldest of all; others move to where their present stamp belongs when they reach the head.
 */
export class LeastRecentlyUsed implements ReplacementPolicy {
  readonly name = "lru";
  /** The set in the ring: index of its first stamp, or -1. */
  private ringFirst = -1;
  private ringHead = 0;
  /** Where the ways' stamps are, and what they were. */
  private ringAt = new Int32Array(0);
  private ringStamp = new Int32Array(0);

  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    if (ways >= WIDE) {
      if (this.ringFirst === -1) this.order(marks, first, ways, stride);
      if (this.ringFirst === first) return (this.oldest(marks, ways) - first) / stride;
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
    this.ringFirst = -1;
  }

  snapshot(): readonly number[] {
    return [];
  }

  restore(): void {
    this.ringFirst = -1;
  }

  private order(marks: Int32Array, first: number, ways: number, stride: number): void {
    this.ringAt = Int32Array.from({ length: ways }, (_, way) => first + way * stride).sort(
      (a, b) => marks[a] - marks[b],
    );
    this.ringStamp = this.ringAt.map((at) => marks[at]);
    this.ringFirst = first;
    this.ringHead = 0;
  }

  /** Index of the oldest stamp. Its way goes to the end of the ring, as it is about to be refilled. */
  private oldest(marks: Int32Array, ways: number): number {
    const { ringAt, ringStamp } = this;
    for (;;) {
      const head = this.ringHead;
      const at = ringAt[head];
      const stamp = marks[at];
      const end = head === 0 ? ways - 1 : head - 1;
      this.ringHead = head + 1 === ways ? 0 : head + 1;
      if (stamp === ringStamp[head]) {
        // Not its next stamp, which is still unknown, but one that keeps the ring in order.
        ringStamp[head] = ringStamp[end];
        return at;
      }
      let to = head;
      for (let before = end; to !== this.ringHead && ringStamp[before] > stamp; ) {
        ringStamp[to] = ringStamp[before];
        ringAt[to] = ringAt[before];
        to = before;
        before = before === 0 ? ways - 1 : before - 1;
      }
      ringStamp[to] = stamp;
      ringAt[to] = at;
    }
  }
}
