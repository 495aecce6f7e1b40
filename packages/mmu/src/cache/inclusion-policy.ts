/**
 * How the last-level cache relates to the second level. One implementation a file: `victim`, `non-inclusive`,
 * `inclusive`. An implementation owns the decisions about L3 contents; the {@link CacheHierarchy} drives it.
 */
export interface InclusionPolicy {
  /** True when a line in L1 is always in L2 as well, so that leaving L2 means leaving L1. */
  readonly l2HoldsL1: boolean;
  /**
   * L2 missed: looks in L3, and fills or empties it as the rule says.
   * @returns level that serves the line: 3, or 4 for DRAM
   */
  fetch(lo: number, hi: number, stamp: number): number;
  /** After {@link fetch} returned 3: the line comes to L2 dirty. */
  readonly fetchedDirty: boolean;
  /** L2 has dropped this line to make room. */
  leftL2(lo: number, hi: number, dirty: boolean, stamp: number): void;
}

/** Asked by an inclusive L3 to drop a line from the levels above it; returns whether a dirty copy was there. */
export type BackInvalidate = (lo: number, hi: number) => boolean;
