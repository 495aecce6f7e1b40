/**
 * Who makes room in a set of an outer cache level. Hits of these levels all go through the cache, so an implementation may
 * keep any state; first levels and TLBs, whose hits are stamped on the fast path, have a `ReplacementPolicy`.
 *
 * Life cycle: one object a cache; `victim` is asked only when every way of the set is valid, and its answer is then
 * refilled and told to `touch`.
 */
export interface SetOrder {
  /** A way was filled or hit. @param stamp from the recency clock, newer than all others */
  touch(set: number, way: number, stamp: number): void;
  /** @returns way number, 0 to `ways - 1` */
  victim(set: number): number;
  /** State as plain data. */
  snapshot(): SetOrderSnapshot;
  restore(snapshot: SetOrderSnapshot): void;
}

/** Plain-data state of a {@link SetOrder}. */
export interface SetOrderSnapshot {
  readonly words: Int32Array;
  readonly policy: readonly number[];
}
