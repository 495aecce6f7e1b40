/** Who owns the pages of a domain, where that is not Xen in any case: an SNP guest owns its private ones. */
export interface PageOwnership {
  /** Whether a guest owns a frame. Costs nothing. */
  isPrivate(mfn: number): boolean;
  /** What hardware finds out before Xen's write reaches a frame, and what that costs. @returns false where it faults */
  mayWrite(mfn: number): boolean;
  /** A frame loses its place in the p2m: it is Xen's from now on. */
  leave(mfn: number): void;
}
