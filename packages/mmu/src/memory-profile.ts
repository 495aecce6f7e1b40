import type { OwnReplacement } from "./replacement/own-replacement.js";

/** Replacement policies that a profile may name. */
export type ReplacementName = "lru" | "tree-plru" | "random";
/** One of those, or one of the reader's own. */
export type Replacement = ReplacementName | OwnReplacement;

/** One cache level. */
export interface CacheGeometry {
  /** Capacity in bytes. */
  readonly bytes: number;
  readonly ways: number;
  /** Load-to-use latency in cycles. */
  readonly latency: number;
  readonly replacement: Replacement;
}

/** Page sizes a TLB array holds. */
export type PageSizeName = "4k" | "2m" | "1g";

/** One TLB array. `ways === entries` is fully associative. */
export interface TlbGeometry {
  readonly entries: number;
  readonly ways: number;
  readonly pages: readonly PageSizeName[];
  readonly replacement: Replacement;
}

/** One paging-structure cache: which table levels it holds (4 = PML4E, 3 = PDPTE, 2 = PDE). */
export interface PagingStructureCacheGeometry {
  readonly levels: readonly number[];
  readonly entries: number;
  readonly ways: number;
}

/**
 * What the memory side of a logical processor is made of, as plain numbers. Provenance lives in the processor profile
 * of `@hyperwalk/cpu`, which resolves to this.
 */
export interface MemoryProfile {
  readonly l1i: CacheGeometry;
  readonly l1d: CacheGeometry;
  readonly l2: CacheGeometry;
  /** `victim`: filled by lines that leave L2 (AMD); `non-inclusive`: filled with L2 and not back-invalidating; `inclusive`. */
  readonly l3: CacheGeometry & { readonly policy: "victim" | "non-inclusive" | "inclusive" };
  /** Cycles from the core to local DRAM and back. */
  readonly dramLatency: number;
  /**
   * Share of a miss's latency beyond L1 that the core hides behind other work, 0 (none) to 1 (all), by access kind.
   * Page-walk references hide nothing: a walk is a chain of dependent loads.
   */
  readonly overlap: { readonly load: number; readonly store: number; readonly fetch: number };
  /** First-level data TLB arrays (Intel has one a page size, AMD one for all). */
  readonly l1Dtlb: readonly TlbGeometry[];
  readonly l1Itlb: readonly TlbGeometry[];
  /** Second-level arrays; those of `shared` serve both sides. */
  readonly l2Dtlb: readonly TlbGeometry[];
  /** Empty when the data side's second level is shared with instructions. */
  readonly l2Itlb: readonly TlbGeometry[];
  /** Cycles that a second-level hit costs over a first-level hit. */
  readonly l2TlbLatency: number;
  readonly pagingStructureCaches: readonly PagingStructureCacheGeometry[];
  /** The same for the second stage (host dimension of a nested walk). */
  readonly nestedPagingStructureCaches: readonly PagingStructureCacheGeometry[];
  /** Guest-frame to host-frame translations kept for the walker itself. */
  readonly nestedTlb: { readonly entries: number; readonly ways: number };
  /** Physical address bits (MAXPHYADDR): higher PTE bits are reserved. */
  readonly physicalAddressBits: number;
}
