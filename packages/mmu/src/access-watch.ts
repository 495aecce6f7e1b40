/** Sees the data accesses of an `Mmu` by linear address, before they are translated: for debug registers. */
export interface AccessWatch {
  /** Linear address in two words. @param bytes 1 to 64, all within one page @param write also for read-modify-writes */
  note(lo: number, hi: number, bytes: number, write: boolean): void;
}
