/** How the second stage is asked for a guest-physical access; bits may be combined. */
export const StageAccess = {
  Read: 0,
  Write: 0x2,
  Fetch: 0x10,
  /** The access is the processor's own, to a guest page table. */
  Table: 0x200,
  /** The page is reached through a user-mode linear address: every level's User bit is set. */
  UserAddress: 0x400,
  /** Of a guest whose memory is encrypted: through its key. */
  Private: 0x800,
} as const;

/** Second-stage verdict on a page, and whether its dirty flag is settled. */
export const StageRights = {
  Read: 1,
  Write: 2,
  Execute: 4,
  Dirty: 8,
  /** Only in the caches of an EPT with mode-based execute control; the verdict on a page has it folded in Execute. */
  UserExecute: 16,
  /** Only in the nested TLB of a machine with a reverse map: what its entry permits the guest. */
  HypervisorOwned: 32,
  Assigned: 64,
  Validated: 128,
} as const;

/**
 * Guest-physical to machine translation: the inner dimension of a two-dimensional walk. The guest walker calls it for
 * every guest table it reads and once more for the page itself. Implementations: none (identity), nested page tables,
 * extended page tables.
 */
export interface SecondStageWalker {
  /**
   * @param gfn guest frame
   * @param offset byte in that frame, for the fault report
   * @param access {@link StageAccess} bits
   * @returns machine frame, or -1 with the fault filled in
   */
  translate(gfn: number, offset: number, access: number): number;
  /** After {@link translate}: {@link StageRights} bits of the page. */
  readonly rights: number;
  /** After {@link translate}: kind of the page (0 = 4 KiB, 1 = 2 MiB, 2 = 1 GiB). */
  readonly kind: number;
  /** Fills in the fault of setting a flag in a guest table that lies in a page with `rights` but without Write. */
  refuseTableUpdate(gfn: number, offset: number, rights: number): void;
}
