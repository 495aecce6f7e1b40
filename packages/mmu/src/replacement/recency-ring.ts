/**
 * The ways of one wide set (a fully associative TLB) in a ring, in the order of stamps noted earlier. As stamps only grow, a
 * way whose stamp is still the one noted at the head of the ring is the oldest of all; others move to where their present
 * stamp belongs when they reach the head.
 */
export class RecencyRing {
  /** Where the ways' stamps are, from the oldest as of {@link head}. */
  readonly at: Int32Array;
  /** What they were. */
  readonly noted: Int32Array;
  head = 0;
  /** The end of the ring is the latest victim, refilled since: its new stamp is yet to be noted. */
  endIsStale = false;
  /** Index of the set's first stamp, or -1 while nothing is in order. */
  first = -1;

  constructor(ways: number) {
    this.at = new Int32Array(ways);
    this.noted = new Int32Array(ways);
  }

  /** Puts a set in order. */
  order(marks: Int32Array, first: number, stride: number): void {
    const { at, noted } = this;
    for (let way = 0; way < at.length; way++) at[way] = first + way * stride;
    at.sort((a, b) => marks[a] - marks[b]);
    for (let place = 0; place < at.length; place++) noted[place] = marks[at[place]];
    this.first = first;
    this.head = 0;
    this.endIsStale = false;
  }

  /** Index of the oldest stamp. Its way goes to the end of the ring, as it is about to be refilled. */
  oldest(marks: Int32Array): number {
    const { at, noted } = this;
    const ways = at.length;
    let head = this.head;
    let end = head === 0 ? ways - 1 : head - 1;
    if (this.endIsStale) noted[end] = marks[at[end]];
    let candidate = at[head];
    let stamp = marks[candidate];
    while (stamp !== noted[head]) {
      // Used since: its place is where stamps before it are older.
      const next = head + 1 === ways ? 0 : head + 1;
      let to = head;
      while (to !== next && noted[end] > stamp) {
        noted[to] = noted[end];
        at[to] = at[end];
        to = end;
        end = end === 0 ? ways - 1 : end - 1;
      }
      noted[to] = stamp;
      at[to] = candidate;
      end = head;
      head = next;
      candidate = at[head];
      stamp = marks[candidate];
    }
    this.head = head + 1 === ways ? 0 : head + 1;
    this.endIsStale = true;
    return candidate;
  }
}
