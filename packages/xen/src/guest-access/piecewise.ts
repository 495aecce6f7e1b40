import type { GuestAccess } from "./guest-access.js";

const BUFFER_BYTES = 4096;

/** A buffer of the guest that is reached piece by piece, each through another access to guest memory. */
export abstract class PiecewiseAccess implements GuestAccess {
  abstract readonly id: GuestAccess["id"];
  readonly buffer: DataView = new DataView(new ArrayBuffer(BUFFER_BYTES));

  copyFromGuest(lo: number, hi: number, bytes: number): number {
    return this.copy(lo, hi, bytes, false);
  }

  copyToGuest(lo: number, hi: number, bytes: number): number {
    return this.copy(lo, hi, bytes, true);
  }

  /** Copies between {@link buffer} and the guest address (lo, hi). @returns 0 or -EFAULT */
  protected abstract copy(lo: number, hi: number, bytes: number, toGuest: boolean): number;

  /** Copies one piece, which is `at` bytes into {@link buffer}. @returns 0 or -EFAULT */
  protected copyPiece(
    access: GuestAccess,
    lo: number,
    hi: number,
    bytes: number,
    at: number,
    toGuest: boolean,
  ): number {
    const own = new Uint8Array(this.buffer.buffer, at, bytes);
    const other = new Uint8Array(access.buffer.buffer, access.buffer.byteOffset, bytes);
    if (toGuest) {
      other.set(own);
      return access.copyToGuest(lo, hi, bytes);
    }
    const result = access.copyFromGuest(lo, hi, bytes);
    if (result === 0) own.set(other);
    return result;
  }
}
