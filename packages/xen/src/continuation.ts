/** Arguments that a hypercall can have. */
export const HYPERCALL_ARGUMENTS = 6;

/**
 * A hypercall that goes on when the guest makes it again (`hypercall_create_continuation`): all progress is in the number
 * and arguments with which it does. One object per vCPU, reused.
 */
export class Continuation {
  /** The present call, or the present one of a multicall, is to go on so. */
  pending = false;
  number = 0;
  /** Arguments given; the others stay as they are. */
  count = 0;
  readonly lo: Int32Array = new Int32Array(HYPERCALL_ARGUMENTS);
  readonly hi: Int32Array = new Int32Array(HYPERCALL_ARGUMENTS);

  /** Begins a continuation with no arguments yet. */
  create(number: number): void {
    this.pending = true;
    this.number = number;
    this.count = 0;
  }

  /** Adds the next argument. */
  add(lo: number, hi: number): void {
    this.lo[this.count] = lo;
    this.hi[this.count++] = hi;
  }
}
