import { Errno } from "../errno.js";
import type { PathCost } from "../path-cost/path-cost.js";
import { REGISTERED_ENTRY, REGISTERED_LOOKUP } from "../path-cost/stages/flavour.js";
import type { GuestAccess } from "./guest-access.js";
import { PiecewiseAccess } from "./piecewise.js";

/** Buffers that a vCPU can have registered. */
export const MAX_REGISTERED = 16;
const PAGE = 4096;
const WORD_SPAN = 2 ** 32;
/** Largest physical address and largest size: 2^52. */
const MAX_PHYSICAL = 2 ** 52;

/** Registered buffers of a vCPU as plain data: for each of the places, linear address by halves, physical address, size. */
export type RegisteredBuffersSnapshot = { readonly entries: Float64Array };

const VALUES = 4;

/** What a vCPU has registered: linear address, physical address and size of buffers, in the order of registration. */
export class RegisteredBuffers {
  count = 0;
  private readonly entries = new Float64Array(VALUES * MAX_REGISTERED);
  /** After a {@link find} that succeeded: the physical address. */
  physical = 0;

  /** @returns 0; -EINVAL for what is no buffer, -EEXIST where it overlaps one, -ENOSPC when there are too many */
  register(lo: number, hi: number, physical: number, size: number): number {
    const linear = (hi >>> 0) * WORD_SPAN + (lo >>> 0);
    const upper = hi >> 15;
    if (size < 1 || size > MAX_PHYSICAL || physical + size > MAX_PHYSICAL) return -Errno.EINVAL;
    if ((upper !== 0 && upper !== -1) || (lo >>> 0) % PAGE !== physical % PAGE) return -Errno.EINVAL;
    // Beyond either half of canonical addresses there is nothing; sums of this size are rounded, and then too large.
    if (linear + size > (upper === 0 ? 2 ** 47 : 2 ** 64)) return -Errno.EINVAL;
    for (let i = 0; i < this.count; i++) {
      const distance = this.distance(i, lo, hi);
      if (distance < this.entries[VALUES * i + 3] && -distance < size) return -Errno.EEXIST;
    }
    if (this.count === MAX_REGISTERED) return -Errno.ENOSPC;
    this.entries.set([lo >>> 0, hi >>> 0, physical, size], VALUES * this.count++);
    return 0;
  }

  /** @returns 0, or -ENOENT where no buffer begins */
  unregister(lo: number, hi: number): number {
    for (let i = 0; i < this.count; i++) {
      if (this.distance(i, lo, hi) !== 0) continue;
      this.entries.copyWithin(VALUES * i, VALUES * (i + 1));
      this.entries.fill(0, VALUES * --this.count);
      return 0;
    }
    return -Errno.ENOENT;
  }

  clear(): void {
    this.count = 0;
    this.entries.fill(0);
  }

  /** Number of the buffer in which an address lies, or -1. */
  find(lo: number, hi: number): number {
    for (let i = 0; i < this.count; i++) {
      const distance = this.distance(i, lo, hi);
      if (distance < 0 || distance >= this.entries[VALUES * i + 3]) continue;
      this.physical = this.entries[VALUES * i + 2] + distance;
      return i;
    }
    return -1;
  }

  snapshot(): RegisteredBuffersSnapshot {
    return { entries: this.entries.slice() };
  }

  /** @throws RangeError for entries that nobody can have registered */
  restore({ entries }: RegisteredBuffersSnapshot): void {
    this.clear();
    for (let i = 0; i < MAX_REGISTERED && entries[VALUES * i + 3] !== 0; i++) {
      const [lo, hi, physical, size] = entries.subarray(VALUES * i, VALUES * (i + 1));
      const whole = [lo, hi, physical, size].every((value) => Number.isSafeInteger(value) && value >= 0);
      if (!whole || lo >= WORD_SPAN || hi >= WORD_SPAN || this.register(lo | 0, hi | 0, physical, size) !== 0)
        throw new RangeError(`registered buffer ${i} is none`);
    }
  }

  /** Bytes from the start of a buffer to an address; inexact only where it is far outside. */
  private distance(entry: number, lo: number, hi: number): number {
    const { entries } = this;
    return ((hi >>> 0) - entries[VALUES * entry + 1]) * WORD_SPAN + ((lo >>> 0) - entries[VALUES * entry]);
  }
}

/** Linear addresses, of which those in registered buffers need no walk. */
export class RegisteredAccess extends PiecewiseAccess {
  readonly id = "linear";
  private readonly buffers: RegisteredBuffers;
  private readonly linear: GuestAccess;
  private readonly physical: GuestAccess;
  private readonly cost: PathCost;
  private readonly stage: number;
  private readonly entryStage: number;

  constructor(buffers: RegisteredBuffers, linear: GuestAccess, physical: GuestAccess, cost: PathCost) {
    super();
    this.buffers = buffers;
    this.linear = linear;
    this.physical = physical;
    this.cost = cost;
    this.stage = cost.compile(REGISTERED_LOOKUP);
    this.entryStage = cost.compile(REGISTERED_ENTRY);
  }

  /** Page by page, as a walk goes: what follows a buffer in its last page is in the same frame. */
  protected copy(startLo: number, startHi: number, bytes: number, toGuest: boolean): number {
    const { buffers, cost } = this;
    let lo = startLo;
    let hi = startHi;
    for (let done = 0; done < bytes; ) {
      const count = Math.min(PAGE - (lo & (PAGE - 1)), bytes - done);
      const found = buffers.find(lo, hi);
      cost.run(this.stage);
      for (let i = found < 0 ? buffers.count : found + 1; i > 0; i--) cost.run(this.entryStage);
      const { physical } = buffers;
      const error =
        found < 0
          ? this.copyPiece(this.linear, lo, hi, count, done, toGuest)
          : this.copyPiece(
              this.physical,
              (physical % WORD_SPAN) | 0,
              Math.floor(physical / WORD_SPAN) | 0,
              count,
              done,
              toGuest,
            );
      if (error !== 0) return error;
      done += count;
      const next = (lo + count) | 0;
      if (next >>> 0 < lo >>> 0) hi = (hi + 1) | 0;
      lo = next;
    }
    return 0;
  }
}
