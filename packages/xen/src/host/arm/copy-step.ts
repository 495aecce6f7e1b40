/**
 * A point at which another processing element may come in between: what the copy path is about to do. Paths are
 * generators that name each such step before they take it.
 */
export type CopyStep =
  /** `p2m_read_lock`: goes on only while no writer holds the lock. */
  | { readonly kind: "lock" }
  | { readonly kind: "unlock" }
  /** AT S12E1R or AT S12E1W with its ISB and the read of PAR_EL1. */
  | { readonly kind: "at" }
  /** One descriptor of stage 2 read by software. */
  | { readonly kind: "stage2"; readonly level: number }
  /** One descriptor of the guest's stage 1 read by software. */
  | { readonly kind: "stage1"; readonly level: number };

/** A path that says what it is about to do, and ends with a result. */
export type CopyPath<T> = Generator<CopyStep, T, void>;

/** Takes a path to its end with nobody coming in between. */
export function uninterrupted<T>(path: CopyPath<T>): T {
  for (;;) {
    const { done, value } = path.next();
    if (done === true) return value;
  }
}
