import type { Arena } from "../arena.js";
import type { SetOrder, SetOrderSnapshot } from "./set-order.js";

/** The nodes of more ways do not fit into a word. */
export const TREE_ORDER_WAYS = 32;

/**
 * Tree pseudo-LRU as bits, one word a set: a node's bit points away from the half that was touched last, so following the
 * bits from the root leads to the victim. Way counts that are no power of two get an uneven tree, its lower half the
 * larger one. Chooses the same ways as `TreePlru` does from stamps.
 */
export class TreeOrder implements SetOrder {
  /** Word `set * stride + at` has a set's bits. */
  private words!: Int32Array;
  private readonly stride: number;
  private readonly at: number;
  /** By node, its lower then its upper half: number of the next node, or the complement of a way. */
  private readonly halves: Int32Array;
  /** By way: bits of the nodes above it, and those of them that have to be set when it is touched. */
  private readonly path: Int32Array;
  private readonly away: Int32Array;

  /**
   * @param wordsAt arena offset of the words of set 0; the last of a set's `stride` words is its order
   * @throws RangeError beyond 32 ways
   */
  constructor(arena: Arena, wordsAt: number, sets: number, stride: number, ways: number) {
    if (ways > TREE_ORDER_WAYS)
      throw new RangeError(`tree-plru over ${ways} ways; the bits of at most ${TREE_ORDER_WAYS} fit`);
    arena.adopt(() => {
      this.words = arena.int32(wordsAt, sets * stride);
    });
    this.stride = stride;
    this.at = stride - 1;
    this.halves = new Int32Array(2 * Math.max(1, ways - 1));
    this.path = new Int32Array(ways);
    this.away = new Int32Array(ways);
    let nodes = 0;
    const build = (low: number, count: number): number => {
      if (count === 1) return ~low;
      const node = nodes++;
      const lower = (count + 1) >> 1;
      for (let way = low; way < low + count; way++) {
        this.path[way] |= 1 << node;
        if (way < low + lower) this.away[way] |= 1 << node;
      }
      this.halves[2 * node] = build(low, lower);
      this.halves[2 * node + 1] = build(low + lower, count - lower);
      return node;
    };
    build(0, ways);
    if (ways === 1) this.halves[0] = ~0;
  }

  touch(set: number, way: number, _stamp: number): void {
    const at = (set * this.stride + this.at) | 0;
    this.words[at] = (this.words[at] & ~this.path[way]) | this.away[way];
  }

  victim(set: number): number {
    const { halves } = this;
    const bits = this.words[(set * this.stride + this.at) | 0];
    let node = halves[bits & 1];
    while (node >= 0) node = halves[(2 * node) | ((bits >>> node) & 1)];
    return ~node;
  }

  /** The words belong to the cache, which saves them. */
  snapshot(): SetOrderSnapshot {
    return { words: new Int32Array(0), policy: [] };
  }

  restore(): void {}
}
