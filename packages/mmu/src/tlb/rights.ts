/**
 * Bits of the rights word of a TLB or paging-structure entry. The low bits are the guest tables' verdict, accumulated
 * over all levels; bits 15:12 are the second stage's for the same page (all set without one).
 */
export const Rights = {
  Execute: 0x1,
  Write: 0x2,
  User: 0x4,
  /** The guest leaf's dirty flag is known to be set. */
  Dirty: 0x40,
  Global: 0x100,
  StageRead: 0x1000,
  StageWrite: 0x2000,
  StageExecute: 0x4000,
  /** The second-stage leaf's dirty flag is known to be set, or that stage keeps none. */
  StageDirty: 0x8000,
} as const;

/** The guest-table part that is accumulated level by level. */
export const GUEST_RIGHTS = 0x7;
/** Shift of the second-stage part. */
export const STAGE_SHIFT = 12;
/** Second-stage rights (unshifted) that forbid nothing. */
export const ALL_STAGE_RIGHTS = 0xf;
/** Shift of the kind of the guest's own page (a {@link TlbArray} kind, or 3 for a 4 MiB page), 2 bits. */
export const GUEST_PAGE_SHIFT = 16;
/** Shift of the protection key, 4 bits. */
export const KEY_SHIFT = 20;
