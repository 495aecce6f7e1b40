import type { Arena } from "../arena.js";
import { treePlruOfEight } from "../replacement/tree-plru.js";
import type { FirstLevelCache } from "./first-level-cache.js";
import type { OuterCache } from "./outer-cache.js";

// Of the caches this path knows: ways of the first two levels and of L3, as shifts. A set's state is two words.
const WAYS = 3;
const L3_WAYS = 4;
const ALL_VACANT = 0xff;

/**
 * A data access in the hierarchy of AMD's Zen parts (first two levels of eight ways, a victim L3 of sixteen, tree-plru
 * everywhere) as one function over the arena. It does what `CacheHierarchy` does by asking its levels one by one, which
 * stays the rule that this must agree with; written out it takes a third of the host instructions, because what
 * costs there is not the search but the calls, and looking up again where each level's words are.
 */
export class VictimDataPath {
  /** L1D way of the latest access's line. */
  way = 0;
  /** A dirty line left L1D in the latest access: low part of its number. */
  leftDirty = false;
  left = 0;
  private readonly l1i: FirstLevelCache;
  private readonly l1d: FirstLevelCache;
  private readonly mask1: number;
  private readonly tags1: number;
  private readonly states1: number;
  private readonly marks1: number;
  private readonly maskI: number;
  private readonly statesI: number;
  private readonly mask2: number;
  private readonly tags2: number;
  private readonly states2: number;
  private readonly paths2: number;
  private readonly halves2: number;
  private readonly mask3: number;
  private readonly tags3: number;
  private readonly states3: number;
  private readonly paths3: number;
  private readonly halves3: number;
  private i32!: Int32Array;

  private constructor(
    arena: Arena,
    l1i: FirstLevelCache,
    l1d: FirstLevelCache,
    l2: OuterCache,
    l3: OuterCache,
  ) {
    this.l1i = l1i;
    this.l1d = l1d;
    this.mask1 = l1d.lines.setMask;
    this.tags1 = l1d.lines.tagsAt;
    this.states1 = l1d.lines.statesAt;
    this.marks1 = l1d.marksAt;
    this.maskI = l1i.lines.setMask;
    this.statesI = l1i.lines.statesAt;
    this.mask2 = l2.lines.setMask;
    this.tags2 = l2.lines.tagsAt;
    this.states2 = l2.lines.statesAt;
    this.paths2 = l2.tree?.pathsAt ?? 0;
    this.halves2 = l2.tree?.halvesAt ?? 0;
    this.mask3 = l3.lines.setMask;
    this.tags3 = l3.lines.tagsAt;
    this.states3 = l3.lines.statesAt;
    this.paths3 = l3.tree?.pathsAt ?? 0;
    this.halves3 = l3.tree?.halvesAt ?? 0;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /** The path for these caches under a victim L3; undefined when they have another shape. */
  static of(
    arena: Arena,
    l1i: FirstLevelCache,
    l1d: FirstLevelCache,
    l2: OuterCache,
    l3: OuterCache,
  ): VictimDataPath | undefined {
    for (const { ways, lines } of [l1i, l1d, l2])
      if (ways !== 1 << WAYS || lines.setMask < 0) return undefined;
    if (l3.ways !== 1 << L3_WAYS || l3.lines.setMask < 0) return undefined;
    if (l1d.replacement !== "tree-plru" || l2.tree === undefined || l3.tree === undefined) return undefined;
    return new VictimDataPath(arena, l1i, l1d, l2, l3);
  }

  /**
   * @param lo low part of the line's number, not -1; the high part is 0, as it is for every line in any of the caches
   * @param stamp from the recency clock, newer than all others
   * @returns level that served, a `ServedBy` number
   */
  access(lo: number, write: boolean, stamp: number): number {
    const { i32, tags1, marks1 } = this;
    const tag = ~lo;
    const set1 = lo & this.mask1;
    const first1 = (tags1 + (set1 << WAYS)) | 0;
    const held = amongEight(i32, first1, tag);
    if (held >= 0) {
      const way = (held - tags1) | 0;
      i32[(marks1 + 2 * way + 1) | 0] = stamp;
      if (write) this.l1d.markDirty(way);
      this.leftDirty = false;
      this.way = way;
      return 1;
    }

    let level = 2;
    const set2 = lo & this.mask2;
    const first2 = (this.tags2 + (set2 << WAYS)) | 0;
    const state2 = (this.states2 + (set2 << 1)) | 0;
    const order2 = (state2 + 1) | 0;
    const at2 = amongEight(i32, first2, tag);
    let in2 = (at2 - first2) | 0;
    if (at2 < 0) {
      const { mask3, tags3, states3 } = this;
      // What L3 holds moves up.
      level = 4;
      let dirty = 0;
      const set3 = lo & mask3;
      const first3 = (tags3 + (set3 << L3_WAYS)) | 0;
      let at3 = amongEight(i32, first3, tag);
      if (at3 < 0) at3 = amongEight(i32, (first3 + 8) | 0, tag);
      if (at3 >= 0) {
        level = 3;
        const in3 = (at3 - first3) | 0;
        const state3 = (states3 + (set3 << 1)) | 0;
        const word = i32[state3];
        dirty = (word >>> (16 + in3)) & 1;
        i32[state3] = (word & ~(0x10000 << in3)) | (1 << in3);
        i32[at3] = 0;
      }
      let word = i32[state2];
      const vacant = word & ALL_VACANT;
      in2 = 31 - Math.clz32(vacant & -vacant);
      if (in2 < 0) {
        const bits = i32[order2];
        in2 = i32[(this.halves2 + (bits & 1)) | 0];
        while (in2 >= 0) in2 = i32[(this.halves2 + ((2 * in2) | ((bits >>> in2) & 1))) | 0];
        in2 = ~in2;
        // What leaves L2 leaves L1 and goes to L3.
        const tagLeft = i32[(first2 + in2) | 0];
        const left = ~tagLeft;
        let leftDirty = (word >>> (16 + in2)) & 1;
        if (amongEight(i32, (tags1 + ((left & this.mask1) << WAYS)) | 0, tagLeft) >= 0) {
          this.l1d.remove(left, 0);
          if (this.l1d.evictedDirty) leftDirty = 1;
        }
        const stateI = i32[(this.statesI + ((left & this.maskI) << 1)) | 0];
        if ((stateI & ALL_VACANT) !== ALL_VACANT) this.l1i.remove(left, 0);
        const setLeft = left & mask3;
        const state3 = (states3 + (setLeft << 1)) | 0;
        const order3 = (state3 + 1) | 0;
        const word3 = i32[state3];
        const free = word3 & 0xffff;
        let in3 = 31 - Math.clz32(free & -free);
        if (in3 < 0) {
          const bits3 = i32[order3];
          in3 = i32[(this.halves3 + (bits3 & 1)) | 0];
          while (in3 >= 0) in3 = i32[(this.halves3 + ((2 * in3) | ((bits3 >>> in3) & 1))) | 0];
          in3 = ~in3;
        }
        i32[(tags3 + (setLeft << L3_WAYS) + in3) | 0] = tagLeft;
        i32[state3] = (word3 & ~(0x10001 << in3)) | ((leftDirty << 16) << in3);
        const path3 = (this.paths3 + 2 * in3) | 0;
        i32[order3] = (i32[order3] & ~i32[path3]) | i32[(path3 + 1) | 0];
      }
      word = i32[state2];
      i32[state2] = (word & ~(0x10001 << in2)) | ((dirty << 16) << in2);
      i32[(first2 + in2) | 0] = tag;
    }
    const path2 = (this.paths2 + 2 * in2) | 0;
    i32[order2] = (i32[order2] & ~i32[path2]) | i32[(path2 + 1) | 0];

    const state1 = (this.states1 + (set1 << 1)) | 0;
    const word1 = i32[state1];
    const free = word1 & ALL_VACANT;
    let in1 = 31 - Math.clz32(free & -free);
    this.leftDirty = false;
    if (in1 < 0) {
      this.l1d.settle(set1);
      in1 = treePlruOfEight(i32, (marks1 + (set1 << (WAYS + 1)) + 1) | 0, 2);
      this.l1d.giveUp(((set1 << WAYS) + in1) | 0);
      if (((word1 >>> (16 + in1)) & 1) !== 0) {
        this.leftDirty = true;
        this.left = ~i32[(first1 + in1) | 0];
      }
    }
    const made = write ? 1 : 0;
    i32[state1] = (word1 & ~(0x10001 << in1)) | ((made << 16) << in1);
    i32[(first1 + in1) | 0] = tag;
    const way = ((set1 << WAYS) + in1) | 0;
    const mark = (marks1 + 2 * way) | 0;
    i32[mark] = ((i32[mark] + 4) & ~1) | 2 | made;
    i32[(mark + 1) | 0] = stamp;
    this.way = way;
    return level;
  }
}

/** Index of a tag among eight from `at` on, or -1. */
function amongEight(i32: Int32Array, at: number, tag: number): number {
  for (let from = at, end = (at + 8) | 0; from < end; from = (from + 4) | 0) {
    const a = i32[from] ^ tag;
    const b = i32[(from + 1) | 0] ^ tag;
    const c = i32[(from + 2) | 0] ^ tag;
    if (a !== 0 && b !== 0 && c !== 0 && i32[(from + 3) | 0] !== tag) continue;
    // Which of the four it is, without branches that the host would have to guess: count those before it.
    const notFirst = 1 ^ (Math.clz32(a) >> 5);
    const notSecond = notFirst & ~(Math.clz32(b) >> 5);
    return (from + notFirst + notSecond + (notSecond & ~(Math.clz32(c) >> 5))) | 0;
  }
  return -1;
}
