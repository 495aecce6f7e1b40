import { HvmCopy } from "./hvm-copy.js";

/**
 * `hvm_copy_{to,from}_guest_phys`: the address is guest-physical. No walk, no page permissions, no accessed or dirty
 * flags in the guest's tables.
 */
export class PhysicalAccess extends HvmCopy {
  readonly id = "physical";

  protected guestFrame(lo: number, hi: number, _write: boolean): number {
    return (lo >>> 12) + (hi >>> 0) * 0x100000;
  }
}
