import type { RecencyClock } from "../recency-clock.js";
import { LeastRecentlyUsed } from "../replacement/lru.js";
import type { RecencyRing } from "../replacement/recency-ring.js";
import { GUEST_PAGE_SHIFT, Rights } from "./rights.js";
import { Entry, hash, insideMask, insideMaskHigh, Kind, type TlbArray } from "./tlb-array.js";
import type { TlbHierarchy } from "./tlb-hierarchy.js";

/** Bit of a {@link RefillPath}'s answer: the entry was copied from the second level just now. */
export const REFILLED: number = 1 << 30;

/**
 * Looks a page up in both levels, and copies what only the second holds to the first.
 * @returns the first-level entry, perhaps with {@link REFILLED}; -1, with nothing done, when neither level holds it
 */
export type RefillPath = (pageLo: number, pageHi: number, space: number, tag: number) => number;

// Words of a step of the second level's look-up: one kind in one array.
const STEP_WORDS = 5;
const KIND = 0;
const LIVE = 1; // where the number of valid entries of that kind is
const HEADS = 2;
const SHIFT = 3;
const FRAMES = 4; // what a quarter of an entry's index is added to for the index of its frame
/** V8 knows where an array's elements are only if they are more than 64 bytes. */
const LEAST_PLAN = 32;

/** Whether {@link refillPath} knows TLBs like these. */
export function hasRefillPath(side: TlbHierarchy): boolean {
  const { arrays } = side.first;
  return arrays.length === 1 && firstRing(arrays[0]) !== undefined && arrays[0].kinds.length === 3;
}

function firstRing({ policy, entries, ways }: TlbArray): RecencyRing | undefined {
  return policy instanceof LeastRecentlyUsed && entries === ways ? policy.ring(ways) : undefined;
}

/**
 * The look-up in TLBs whose first level is one fully associative array of all page sizes, as AMD's Zen parts have, as one
 * function over the arena. It does what `TlbHierarchy` does by asking its levels, which stays the rule that this must
 * agree with. Written out is the plain refill, of a full first level by a page that is neither global nor there in pieces, in
 * place of one that nobody watches; for any other it asks the rule's functions. In a closure, because V8 takes what the
 * first one of a process captures for constants.
 * @param arena32,arena64 the arena's views
 */
export function refillPath(
  arena32: Int32Array,
  arena64: Float64Array,
  side: TlbHierarchy,
  clock: RecencyClock,
): RefillPath {
  const first = side.first.arrays[0];
  const { first: base, entries, ways, headsAt, hashShift, liveOfKindAt, framesAt, watchers } = first;
  const ring = firstRing(first) as RecencyRing;
  const { at: ringAt, noted } = ring;
  const steps = side.second.arrays.flatMap((array) =>
    Array.from(array.kinds, (kind) => [
      kind,
      array.liveOfKindAt + kind,
      array.headsAt,
      array.hashShift,
      array.framesAt - (array.first >> 2),
    ]),
  );
  const planEnd = steps.length * STEP_WORDS;
  const plan = new Int32Array(Math.max(LEAST_PLAN, planEnd));
  plan.set(steps.flat());

  /** Entry of one array with that key, or -1. */
  const search = (
    heads: number,
    shift: number,
    keyLo: number,
    keyHi: number,
    space: number,
    tag: number,
  ): number => {
    const i32 = arena32;
    let entry = i32[(heads + (hash(keyLo, keyHi, space) >>> shift)) | 0];
    while (entry !== 0) {
      if (i32[(entry + 2) | 0] === keyLo && i32[(entry + 3) | 0] === keyHi && i32[(entry + 5) | 0] === tag) {
        const difference = i32[(entry + 4) | 0] ^ space;
        if (difference === 0 || (difference >>> 12 === 0 && (i32[(entry + 6) | 0] & Rights.Global) !== 0))
          return entry;
      }
      entry = i32[(entry + 7) | 0];
    }
    return -1;
  };

  /** The way of a full first level that makes room. */
  const oldest = (): number => {
    const i32 = arena32;
    first.settle();
    const { head } = ring;
    const end = head === 0 ? ways - 1 : head - 1;
    const candidate = ringAt[head];
    if (ring.first < 0 || i32[candidate] !== noted[head])
      return first.policy.victim(i32, base + Entry.Stamp, ways, 8);
    if (ring.endIsStale) noted[end] = i32[ringAt[end]];
    ring.head = head + 1 === ways ? 0 : head + 1;
    ring.endIsStale = true;
    return (candidate - base - Entry.Stamp) >> 3;
  };

  return (pageLo, pageHi, space, tag) => {
    // Captured names are checked for being there at each use, locals are not.
    const i32 = arena32;
    for (let kind = 0; kind <= Kind.Page1G; kind++) {
      if (i32[(liveOfKindAt + kind) | 0] === 0) continue;
      const keyLo = pageLo & ~insideMask(kind);
      const keyHi = (pageHi & ~insideMaskHigh(kind)) | (kind << 20);
      const entry = search(headsAt, hashShift, keyLo, keyHi, space, tag);
      if (entry >= 0) return entry;
    }

    let found = -1;
    let step = 0;
    let kind = 0;
    let keyLo = 0;
    let keyHi = 0;
    for (; step < planEnd; step = (step + STEP_WORDS) | 0) {
      kind = plan[step + KIND];
      if (i32[plan[step + LIVE]] === 0) continue;
      keyLo = pageLo & ~insideMask(kind);
      keyHi = (pageHi & ~insideMaskHigh(kind)) | (kind << 20);
      found = search(plan[step + HEADS], plan[step + SHIFT], keyLo, keyHi, space, tag);
      if (found >= 0) break;
    }
    if (found < 0) return -1;

    const used = clock.next();
    i32[(found + 1) | 0] = used;
    const own = i32[(found + 4) | 0];
    const rights = i32[(found + 6) | 0];
    const frame = arena64[(plan[step + FRAMES] + (found >> 2)) | 0];
    const pieces = ((rights >>> GUEST_PAGE_SHIFT) & 3) > kind;
    if (pieces || (rights & Rights.Global) !== 0 || first.occupancy < entries) {
      const page = frame + (pageLo & insideMask(kind));
      return side.fillFirst(kind, pageLo, pageHi, own, tag, rights, page) | REFILLED;
    }

    const stamp = clock.next();
    const way = oldest();
    const entry = (base + 8 * way) | 0;
    const oldHi = i32[(entry + 3) | 0];
    const oldKind = oldHi >>> 20;
    if (watchers[way] !== 0 || ((i32[(entry + 6) | 0] >>> GUEST_PAGE_SHIFT) & 3) > oldKind) {
      first.place(entry, kind, pageLo, pageHi, own, tag, rights, frame, 0, stamp);
      return entry | REFILLED;
    }
    let link = (headsAt + (hash(i32[(entry + 2) | 0], oldHi, i32[(entry + 4) | 0]) >>> hashShift)) | 0;
    while (i32[link] !== entry) link = (i32[link] + 7) | 0;
    i32[link] = i32[(entry + 7) | 0];
    if (oldKind !== kind) {
      i32[(liveOfKindAt + oldKind) | 0]--;
      i32[(liveOfKindAt + kind) | 0]++;
    }
    i32[entry] = (i32[entry] + 1) | 0;
    i32[(entry + 1) | 0] = stamp;
    i32[(entry + 2) | 0] = keyLo;
    i32[(entry + 3) | 0] = keyHi;
    i32[(entry + 4) | 0] = own;
    i32[(entry + 5) | 0] = tag;
    i32[(entry + 6) | 0] = rights;
    const bucket = (headsAt + (hash(keyLo, keyHi, own) >>> hashShift)) | 0;
    i32[(entry + 7) | 0] = i32[bucket];
    i32[bucket] = entry;
    arena64[(framesAt + 2 * way) | 0] = frame;
    return entry | REFILLED;
  };
}
