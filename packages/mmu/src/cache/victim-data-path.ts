import type { TreeOrder } from "../replacement/tree-order.js";
import { newer } from "../replacement/tree-plru.js";
import { DIRTY, type FirstLevelCache, STEP, VALID } from "./first-level-cache.js";
import type { OuterCache } from "./outer-cache.js";

// Of the caches this path knows: ways of the first two levels and of L3, as shifts. A set's state is two words.
const WAYS = 3;
const L3_WAYS = 4;
const ALL_VACANT = 0xff;

/** Bit of a {@link DataPath}'s answer: a dirty line left L1D. */
export const LEFT_DIRTY = 8;

/**
 * One data access. Leaves in two words of the arena the way of L1D that holds the line, and with {@link LEFT_DIRTY} the
 * low part of the number of the line that left.
 * @param lo low part of the line's number, not -1; the high part is 0, as it is for every line in any of the caches
 * @param stamp from the recency clock, newer than all others
 * @returns level that served, a `ServedBy` number, and perhaps {@link LEFT_DIRTY}
 */
export type DataPath = (lo: number, write: boolean, stamp: number) => number;

/** Whether {@link victimDataPath} knows caches like these. */
export function hasVictimDataPath(
  l1i: FirstLevelCache,
  l1d: FirstLevelCache,
  l2: OuterCache,
  l3: OuterCache,
): boolean {
  if (l3.ways !== 1 << L3_WAYS || l3.lines.setMask < 0) return false;
  if (l1d.replacement !== "tree-plru" || l2.tree === undefined || l3.tree === undefined) return false;
  return [l1i, l1d, l2].every(({ ways, lines }) => ways === 1 << WAYS && lines.setMask >= 0);
}

/**
 * A data access in the hierarchy of AMD's Zen parts (first two levels of eight ways, a victim L3 of sixteen, tree-plru
 * everywhere) as one function over the arena. It does what `CacheHierarchy` does by asking its levels one by one, which
 * stays the rule that this must agree with; written out it takes a third of the host instructions, because what
 * costs there is not the search but the calls, and looking up again where each level's words are. In a closure, because
 * V8 takes what the first one of a process captures for constants.
 * @param arena32 the arena's 32-bit view, of which two words from `result` on are for the answer
 */
export function victimDataPath(
  arena32: Int32Array,
  result: number,
  l1i: FirstLevelCache,
  l1d: FirstLevelCache,
  l2: OuterCache,
  l3: OuterCache,
): DataPath {
  const { setMask: mask1, tagsAt: tags1, statesAt: states1 } = l1d.lines;
  const { setMask: maskI, statesAt: statesI } = l1i.lines;
  const { setMask: mask2, tagsAt: tags2, statesAt: states2 } = l2.lines;
  const { setMask: mask3, tagsAt: tags3, statesAt: states3 } = l3.lines;
  const { marksAt: marks1, watchers: watchers1 } = l1d;
  const { pathsAt: paths2, halvesAt: halves2 } = l2.tree as TreeOrder;
  const { pathsAt: paths3, halvesAt: halves3 } = l3.tree as TreeOrder;

  /** Index of a tag among eight from `at` on, or -1. */
  const amongEight = (at: number, tag: number): number => {
    const i32 = arena32;
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
  };

  return (lo, write, at) => {
    // Captured names are checked for being there at each use, locals are not.
    const i32 = arena32;
    const stamp = at | 0;
    const tag = ~lo;
    const set1 = lo & mask1;
    const first1 = (tags1 + (set1 << WAYS)) | 0;
    const held = amongEight(first1, tag);
    if (held >= 0) {
      const way = (held - tags1) | 0;
      i32[(marks1 + 2 * way + 1) | 0] = stamp;
      if (write) l1d.markDirty(way);
      i32[result] = way;
      return 1;
    }

    let level = 2;
    const set2 = lo & mask2;
    const first2 = (tags2 + (set2 << WAYS)) | 0;
    const state2 = (states2 + (set2 << 1)) | 0;
    const order2 = (state2 + 1) | 0;
    const at2 = amongEight(first2, tag);
    let in2 = (at2 - first2) | 0;
    if (at2 < 0) {
      // What L3 holds moves up.
      level = 4;
      let dirty = 0;
      const set3 = lo & mask3;
      const first3 = (tags3 + (set3 << L3_WAYS)) | 0;
      let at3 = amongEight(first3, tag);
      if (at3 < 0) at3 = amongEight((first3 + 8) | 0, tag);
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
        in2 = i32[(halves2 + (bits & 1)) | 0];
        while (in2 >= 0) in2 = i32[(halves2 + ((2 * in2) | ((bits >>> in2) & 1))) | 0];
        in2 = ~in2;
        // What leaves L2 leaves L1 and goes to L3.
        const tagLeft = i32[(first2 + in2) | 0];
        const left = ~tagLeft;
        let leftDirty = (word >>> (16 + in2)) & 1;
        if (amongEight((tags1 + ((left & mask1) << WAYS)) | 0, tagLeft) >= 0) {
          l1d.remove(left, 0);
          if (l1d.evictedDirty) leftDirty = 1;
        }
        const stateI = i32[(statesI + ((left & maskI) << 1)) | 0];
        if ((stateI & ALL_VACANT) !== ALL_VACANT) l1i.remove(left, 0);
        const setLeft = left & mask3;
        const state3 = (states3 + (setLeft << 1)) | 0;
        const order3 = (state3 + 1) | 0;
        const word3 = i32[state3];
        const free = word3 & 0xffff;
        let in3 = 31 - Math.clz32(free & -free);
        if (in3 < 0) {
          const bits3 = i32[order3];
          in3 = i32[(halves3 + (bits3 & 1)) | 0];
          while (in3 >= 0) in3 = i32[(halves3 + ((2 * in3) | ((bits3 >>> in3) & 1))) | 0];
          in3 = ~in3;
        }
        i32[(tags3 + (setLeft << L3_WAYS) + in3) | 0] = tagLeft;
        i32[state3] = (word3 & ~(0x10001 << in3)) | ((leftDirty << 16) << in3);
        const path3 = (paths3 + 2 * in3) | 0;
        i32[order3] = (i32[order3] & ~i32[path3]) | i32[(path3 + 1) | 0];
      }
      word = i32[state2];
      i32[state2] = (word & ~(0x10001 << in2)) | ((dirty << 16) << in2);
      i32[(first2 + in2) | 0] = tag;
    }
    const path2 = (paths2 + 2 * in2) | 0;
    i32[order2] = (i32[order2] & ~i32[path2]) | i32[(path2 + 1) | 0];

    const state1 = (states1 + (set1 << 1)) | 0;
    const word1 = i32[state1];
    const free = word1 & ALL_VACANT;
    let in1 = 31 - Math.clz32(free & -free);
    let left = 0;
    if (in1 < 0) {
      l1d.settle(set1);
      // The descent of `TreePlru` over eight ways, by the newer stamp of each pair and half.
      const stamps = (marks1 + (set1 << (WAYS + 1)) + 1) | 0;
      const ab = newer(i32[stamps], i32[(stamps + 2) | 0]);
      const cd = newer(i32[(stamps + 4) | 0], i32[(stamps + 6) | 0]);
      const ef = newer(i32[(stamps + 8) | 0], i32[(stamps + 10) | 0]);
      const gh = newer(i32[(stamps + 12) | 0], i32[(stamps + 14) | 0]);
      const upper = ((newer(ef, gh) - newer(ab, cd)) | 0) >> 31; // -1: the lower four are newer
      const quarter = ((((cd ^ ((cd ^ gh) & upper)) - (ab ^ ((ab ^ ef) & upper))) | 0) >> 31) & 2;
      const pair = (upper & 4) | quarter;
      const first = (stamps + 2 * pair) | 0;
      in1 = pair | ((((i32[(first + 2) | 0] - i32[first]) | 0) >> 31) & 1);
      const leaving = ((set1 << WAYS) + in1) | 0;
      if (watchers1[leaving] !== 0) l1d.giveUp(leaving);
      if (((word1 >>> (16 + in1)) & 1) !== 0) {
        left = LEFT_DIRTY;
        i32[(result + 1) | 0] = ~i32[(first1 + in1) | 0];
      }
    }
    const made = write ? DIRTY : 0;
    i32[state1] = (word1 & ~(0x10001 << in1)) | ((made << 16) << in1);
    i32[(first1 + in1) | 0] = tag;
    const way = ((set1 << WAYS) + in1) | 0;
    const mark = (marks1 + 2 * way) | 0;
    i32[mark] = ((i32[mark] + STEP) & ~DIRTY) | VALID | made;
    i32[(mark + 1) | 0] = stamp;
    i32[result] = way;
    return level | left;
  };
}
