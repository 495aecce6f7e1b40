import { Errno } from "./errno.js";
import { P2mType } from "./p2m-type.js";

/** What of a domain's p2m is used by those who keep pages of the guest's mapped. */
export interface GuestPages {
  /** Machine frame of a guest frame that may be written to, with a reference on it, or -1. */
  lookupForWriting(gfn: number): number;
  /** After a look-up: a value of {@link P2mType}. */
  readonly type: number;
  /** Drops the reference. */
  putPage(mfn: number): void;
}

/** Takes a reference on a page of RAM (`map_guest_page`). @returns its machine frame, or -EINVAL */
export function mapGuestPage(gfn: number, guest: GuestPages): number {
  const frame = guest.lookupForWriting(gfn);
  if (frame < 0) return -Errno.EINVAL;
  if (guest.type !== P2mType.MmioDm && guest.type !== P2mType.MmioDirect) return frame;
  guest.putPage(frame);
  return -Errno.EINVAL;
}
