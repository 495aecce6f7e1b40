import type { GuestAccess } from "./guest-access.js";

/** Guest memory by linear address as an instruction emulator reaches it: with the rights of the instruction that it does. */
export interface EmulatorAccess extends GuestAccess {
  /** After a copy that failed: the error code of the page fault that the instruction would have had. */
  readonly errorCode: number;
  /** Later copies have these rights. @param user of guest code at CPL 3; else those of its kernel, as at first */
  asUser(user: boolean): void;
}
