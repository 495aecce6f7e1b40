/** The totals as plain data. */
export type HypervisorCountersSnapshot = Omit<HypervisorCounters, "snapshot" | "restore">;

/** Running totals of the modelled hypervisor, counted where the thing happens. */
export class HypervisorCounters {
  /** VM exits of all kinds. */
  vmExits = 0;
  /** Hypercalls that reached `hvm_hypercall`, whatever came of them. */
  hypercalls = 0;
  /** `p2m_get_page_from_gfn` calls. */
  p2mLookups = 0;
  /** References that those took on pages (`get_page`), each to be dropped by a `put_page`. */
  pageReferences = 0;
  /** Entries of p2m tables read by those. */
  p2mTableReads = 0;
  /** Entries of the guest's own page tables read by the software walk. */
  guestPteReads = 0;
  /** `copy_from_guest` and `copy_to_guest` calls, whatever came of them. */
  copiesFromGuest = 0;
  copiesToGuest = 0;
  /** Bytes that `__hvm_copy` moved between guest memory and Xen, either way. */
  bytesCopied = 0;
  /** Accessed and dirty flags that the software walk set. */
  accessedDirtyUpdates = 0;

  snapshot(): HypervisorCountersSnapshot {
    return { ...this };
  }

  restore(snapshot: HypervisorCountersSnapshot): void {
    Object.assign(this, snapshot);
  }
}
