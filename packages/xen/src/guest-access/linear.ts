import type { EmulatorAccess } from "./emulator-access.js";
import type { GuestWalker } from "./guest-walk.js";
import { HvmCopy, type HvmCopyOptions } from "./hvm-copy.js";

/** `hvm_copy_{to,from}_guest_linear`: addresses go through the guest's own page tables, walked by software. */
export class LinearAccess extends HvmCopy implements EmulatorAccess {
  readonly id = "linear";
  private readonly walker: GuestWalker;

  constructor(options: HvmCopyOptions, walker: GuestWalker) {
    super(options);
    this.walker = walker;
  }

  get errorCode(): number {
    return this.walker.errorCode;
  }

  asUser(user: boolean): void {
    this.walker.user = user;
  }

  protected guestFrame(lo: number, hi: number, write: boolean): number {
    return this.walker.walk(lo, hi, write);
  }
}
