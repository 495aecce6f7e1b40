import type { Arena } from "../arena.js";
import type { MemoryProfile } from "../memory-profile.js";
import type { RecencyClock } from "../recency-clock.js";
import { PagingStructureCache } from "../tlb/paging-structure-cache.js";
import { Kind, TlbArray, type TlbArraySnapshot } from "../tlb/tlb-array.js";
import { PendingFills } from "./pending-fills.js";

/** Contents of the walker's own caches as plain data. */
export interface WalkCachesSnapshot {
  readonly structures: readonly TlbArraySnapshot[];
  readonly nestedTlb: TlbArraySnapshot;
  readonly nestedStructures: readonly TlbArraySnapshot[];
}

/**
 * What the page walker keeps for itself: paging-structure caches of the guest's tables, the nested TLB (guest frame to
 * machine frame) and paging-structure caches of the second stage.
 *
 * Guest paging-structure entries are tagged like TLB entries (ASID or VPID, PCID, EP4TA). Second-stage entries are
 * tagged with the EP4TA alone under EPT (guest-physical mappings, SDM vol. 3, 29.4.1) and with the ASID under NPT.
 */
export class WalkCaches {
  readonly structures: PagingStructureCache;
  readonly nestedTlb: TlbArray;
  readonly nestedStructures: PagingStructureCache;
  readonly pending: PendingFills = new PendingFills();
  /** While set, nothing cached is used and nothing is filled: a fault is confirmed by a walk from the root; timing is off. */
  bypass = false;
  /** Set when the current walk used a cached entry. */
  used = false;
  private readonly clock: RecencyClock;

  constructor(arena: Arena, clock: RecencyClock, profile: MemoryProfile, seed: number) {
    this.clock = clock;
    this.structures = new PagingStructureCache(arena, clock, profile.pagingStructureCaches, seed);
    const kinds = [Kind.Page4K, Kind.Page2M, Kind.Page1G];
    this.nestedTlb = new TlbArray(
      arena,
      clock,
      { ...profile.nestedTlb, kinds, replacement: "lru" },
      seed + 8,
    );
    this.nestedStructures = new PagingStructureCache(
      arena,
      clock,
      profile.nestedPagingStructureCaches,
      seed + 16,
    );
  }

  /** Notes that the current walk used this entry. */
  touch(array: TlbArray, entry: number): void {
    this.used = true;
    array.touch(entry, this.clock.next());
  }

  commit(): void {
    if (this.bypass) this.pending.discard();
    else this.pending.commit(this.clock, this.structures, this.nestedTlb, this.nestedStructures);
  }

  dropAll(): void {
    this.structures.dropAll();
    this.nestedTlb.dropAll();
    this.nestedStructures.dropAll();
  }

  snapshot(): WalkCachesSnapshot {
    return {
      structures: this.structures.snapshot(),
      nestedTlb: this.nestedTlb.snapshot(),
      nestedStructures: this.nestedStructures.snapshot(),
    };
  }

  restore(snapshot: WalkCachesSnapshot): void {
    this.structures.restore(snapshot.structures);
    this.nestedTlb.restore(snapshot.nestedTlb);
    this.nestedStructures.restore(snapshot.nestedStructures);
  }
}
