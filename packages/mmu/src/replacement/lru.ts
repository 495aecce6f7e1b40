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
  /** The end of the ring is the latest victim, refilled since: its new stamp is yet to be noted. */
  private endIsStale = false;
  /** Where the ways' stamps are, and what they were. */
  private ringAt = new Int32Array(0);
  private ringStamp = new Int32Array(0);

  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    if (ways >= WIDE) {
      if (this.ringFirst === -1) this.order(marks, first, ways, stride);
      if (this.ringFirst === first) return ((this.oldest(marks, ways) - first) / stride) | 0;
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
    this.endIsStale = false;
  }

  /** Index of the oldest stamp. Its way goes to the end of the ring, as it is about to be refilled. */
  private oldest(marks: Int32Array, ways: number): number {
    const { ringAt, ringStamp } = this;
    let head = this.ringHead;
    let end = head === 0 ? ways - 1 : head - 1;
    if (this.endIsStale) ringStamp[end] = marks[ringAt[end]];
    let at = ringAt[head];
    let stamp = marks[at];
    while (stamp !== ringStamp[head]) {
      // Used since: its place is where stamps before it are older.
      const next = head + 1 === ways ? 0 : head + 1;
      let to = head;
      while (to !== next && ringStamp[end] > stamp) {
        ringStamp[to] = ringStamp[end];
        ringAt[to] = ringAt[end];
        to = end;
        end = end === 0 ? ways - 1 : end - 1;
      }
      ringStamp[to] = stamp;
      ringAt[to] = at;
      end = head;
      head = next;
      at = ringAt[head];
      stamp = marks[at];
    }
    this.ringHead = head + 1 === ways ? 0 : head + 1;
    this.endIsStale = true;
    return at;
  }
}
