/**
 * How the hypervisor reaches a buffer that a guest named in a hypercall. Implementations do what Xen does, step by
 * step, price each step through `PathCost`, and touch the real page-table, `page_info` and data lines.
 * Both directions work on `buffer`, the hypervisor's copy of the struct on its stack.
 */
export interface GuestAccess {
  readonly id: "linear" | "physical";
  /** The hypervisor-side copy, at least 1024 bytes; valid between `copyFromGuest` and `copyToGuest`. */
  readonly buffer: DataView;
  /**
   * Copies `bytes` from the guest address (lo, hi) into `buffer`.
   * @returns 0, or -EFAULT; pages already copied stay copied (Xen: `__hvm_copy`)
   */
  copyFromGuest(lo: number, hi: number, bytes: number): number;
  /** Copies `bytes` of `buffer` to the guest address. @returns 0 or -EFAULT */
  copyToGuest(lo: number, hi: number, bytes: number): number;
}
