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
  private i32!: Int32Array;
  /** Index in the arena's 32-bit view of the bits of set 0, and how far it is from set to set. */
  private readonly bitsAt: number;
  private readonly stride: number;
  /** By way, two words each: bits of the nodes above it, and those of them that have to be set when it is touched. */
  readonly pathsAt: number;
  /** By node, its lower then its upper half: number of the next node, or the complement of a way. */
  readonly halvesAt: number;

  /**
   * @param wordsAt index in the arena's 32-bit view of the words of set 0; the last of a set's `stride` words is its order
   * @throws RangeError beyond 32 ways
   */
  constructor(arena: Arena, wordsAt: number, stride: number, ways: number) {
    if (ways > TREE_ORDER_WAYS)
      throw new RangeError(`tree-plru over ${ways} ways; the bits of at most ${TREE_ORDER_WAYS} fit`);
    this.bitsAt = (wordsAt + stride - 1) | 0;
    this.stride = stride | 0;
    this.pathsAt = arena.reserve(2 * ways * 4) >>> 2;
    this.halvesAt = arena.reserve(2 * Math.max(1, ways - 1) * 4) >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
    const { i32, pathsAt, halvesAt } = this;
    let nodes = 0;
    const build = (low: number, count: number): number => {
      if (count === 1) return ~low;
      const node = nodes++;
      const lower = (count + 1) >> 1;
      for (let way = low; way < low + count; way++) {
        i32[pathsAt + 2 * way] |= 1 << node;
        if (way < low + lower) i32[pathsAt + 2 * way + 1] |= 1 << node;
      }
      i32[halvesAt + 2 * node] = build(low, lower);
      i32[halvesAt + 2 * node + 1] = build(low + lower, count - lower);
      return node;
    };
    build(0, ways);
    if (ways === 1) i32[halvesAt] = ~0;
  }

  touch(set: number, way: number, _stamp: number): void {
    const { i32 } = this;
    const at = (this.bitsAt + set * this.stride) | 0;
    const path = (this.pathsAt + 2 * way) | 0;
    i32[at] = (i32[at] & ~i32[path]) | i32[(path + 1) | 0];
  }

  victim(set: number): number {
    const { i32, halvesAt } = this;
    const bits = i32[(this.bitsAt + set * this.stride) | 0];
    let node = i32[(halvesAt + (bits & 1)) | 0];
    while (node >= 0) node = i32[(halvesAt + ((2 * node) | ((bits >>> node) & 1))) | 0];
    return ~node;
  }

  /** The words belong to the cache, which saves them. */
  snapshot(): SetOrderSnapshot {
    return { words: new Int32Array(0), policy: [] };
  }

  restore(): void {}
}
