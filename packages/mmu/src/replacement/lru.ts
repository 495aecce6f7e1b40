import type { ReplacementPolicy } from "./replacement-policy.js";

const QUEUE = 16;
/** Sets at least this wide remember the next victims of a search. */
const WIDE = 32;

/**
 * Least recently used: the way with the oldest stamp. A search of a wide set (a fully associative TLB) notes the sixteen
 * oldest ways; as stamps only grow, the first of them whose stamp has not changed is still the oldest of all.
 */
export class LeastRecentlyUsed implements ReplacementPolicy {
  readonly name = "lru";
  private readonly queuedAt = new Int32Array(QUEUE);
  private readonly queuedStamp = new Int32Array(QUEUE);
  private queueFirst = -1;
  private queueHead = 0;
  private queueEnd = 0;
  private latest = 0;

  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    if (ways >= WIDE) return this.wideVictim(marks, first, ways, stride);
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
    this.queueFirst = -1;
  }

  snapshot(): readonly number[] {
    return [];
  }

  restore(): void {
    this.queueFirst = -1;
  }

  private wideVictim(marks: Int32Array, first: number, ways: number, stride: number): number {
    if (first === this.queueFirst) {
      while (this.queueHead < this.queueEnd) {
        const i = this.queueHead++;
        const at = this.queuedAt[i];
        if (marks[at] !== this.queuedStamp[i]) continue;
        this.latest = at;
        return (at - first) / stride;
      }
    }
    this.search(marks, first, ways, stride);
    return (this.queuedAt[0] - first) / stride;
  }

  /**
   * Fills the queue with the oldest ways in order. Starts behind the latest victim, where the oldest are likeliest, so
   * that few have to be moved; stamps of a full set differ, so the order of the search does not matter.
   */
  private search(marks: Int32Array, first: number, ways: number, stride: number): void {
    const { queuedAt, queuedStamp } = this;
    const end = first + ways * stride;
    let at = first === this.queueFirst ? this.latest : first;
    let count = 0;
    let newestQueued = 0;
    for (let way = 0; way < ways; way++) {
      at += stride;
      if (at >= end) at = first;
      const stamp = marks[at];
      if (count === QUEUE && stamp >= newestQueued) continue;
      let i = count < QUEUE ? count++ : QUEUE - 1;
      for (; i > 0 && queuedStamp[i - 1] > stamp; i--) {
        queuedStamp[i] = queuedStamp[i - 1];
        queuedAt[i] = queuedAt[i - 1];
      }
      queuedStamp[i] = stamp;
      queuedAt[i] = at;
      newestQueued = queuedStamp[count - 1];
    }
    this.queueFirst = first;
    this.queueHead = 1;
    this.queueEnd = count;
    this.latest = queuedAt[0];
  }
}
