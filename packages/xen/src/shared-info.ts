/** Where a domain's `struct shared_info` is. */
export class SharedInfo {
  /** Machine frame, of Xen's heap. */
  readonly frame: number;
  /** Guest frame at which the guest mapped it, or -1. */
  gfn = -1;

  constructor(frame: number) {
    this.frame = frame;
  }
}
