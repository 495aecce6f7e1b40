import { Errno } from "../errno.js";
import type { PathCost } from "../path-cost/path-cost.js";
import { SCATTER_GATHER_STEP } from "../path-cost/stages/flavour.js";
import type { GuestAccess } from "./guest-access.js";
import { PiecewiseAccess } from "./piecewise.js";

const PAGE = 4096;
const WORD_SPAN = 2 ** 32;
/** Guest-physical addresses have no more than 52 bits. */
const MAX_ADDRESS_HI = 2 ** 20;
const MAX_FRAME = 2 ** 40;
/** Tuples that one copy looks at: a page of them. */
export const MAX_TUPLES = 256;
const SLOTS = 32;
/** High word of handles of 64-bit callers; bits 31:24 of the only word of others. */
const LONG_HANDLE = 0x7f000000;
const COMPAT_SHIFT = 24;
const COMPAT_OFFSET = (1 << COMPAT_SHIFT) - 1;

/** How a call says where its buffers are. */
export const SCATTER_GATHER_FORMS = ["frames", "tuples", "descriptor"] as const;
export type ScatterGatherForm = (typeof SCATTER_GATHER_FORMS)[number];

/** Kinds of a buffer; those of form `descriptor` are in the low two bits of its address. */
const Kind = { Flat: 0, Frames: 1, Tuples: 2 } as const;

/**
 * Buffers that are described by a list in guest-physical memory. What an operation works with is a *handle*: buffer and
 * offset, so that it can address elements without knowing what a list is. Nothing of a list is kept from one copy to the
 * next; each word of it is read through the p2m like any other guest data.
 */
export class ScatterGatherAccess extends PiecewiseAccess {
  readonly id = "physical";
  /** The caller is not in 64-bit mode: its lists have words of 32 bits. */
  compat = false;
  /** Handles in use. */
  used = 0;
  private readonly form: ScatterGatherForm;
  private readonly physical: GuestAccess;
  private readonly cost: PathCost;
  private readonly stage: number;
  // By slot: the guest's pointer and the offset at which its handle begins.
  private readonly pointers = new Int32Array(2 * SLOTS);
  private readonly starts = new Float64Array(SLOTS);

  constructor(form: ScatterGatherForm, physical: GuestAccess, cost: PathCost) {
    super();
    this.form = form;
    this.physical = physical;
    this.cost = cost;
    this.stage = cost.compile(SCATTER_GATHER_STEP);
  }

  /** Makes a handle of a pointer. @param start offset in its buffer @returns its slot, or -1 for null: that stays null */
  open(lo: number, hi: number, start: number): number {
    if ((lo | hi) === 0 || this.used === SLOTS) return -1;
    const slot = this.used++;
    this.pointers[2 * slot] = lo;
    this.pointers[2 * slot + 1] = hi;
    this.starts[slot] = start;
    return slot;
  }

  handleLo(slot: number): number {
    return this.compat ? (slot + 1) << COMPAT_SHIFT : 0;
  }

  handleHi(slot: number): number {
    return this.compat ? 0 : LONG_HANDLE + slot;
  }

  /** Slot of a handle, or -1 for what is none in use. */
  slotOf(lo: number, hi: number): number {
    const slot = this.compat ? (lo >>> COMPAT_SHIFT) - 1 : hi - LONG_HANDLE;
    return slot >= 0 && slot < this.used ? slot : -1;
  }

  /** Offset in its buffer that a handle has come to. */
  offsetOf(slot: number, lo: number): number {
    return this.starts[slot] + (this.compat ? lo & COMPAT_OFFSET : lo >>> 0);
  }

  pointerLo(slot: number): number {
    return this.pointers[2 * slot];
  }

  pointerHi(slot: number): number {
    return this.pointers[2 * slot + 1];
  }

  protected copy(lo: number, hi: number, bytes: number, toGuest: boolean): number {
    const slot = this.slotOf(lo, hi);
    if (slot < 0) return -Errno.EFAULT;
    const offset = this.offsetOf(slot, lo);
    const high = this.compat ? 0 : this.pointerHi(slot) >>> 0;
    const address = high * WORD_SPAN + (this.pointerLo(slot) >>> 0);
    if (high >= MAX_ADDRESS_HI) return -Errno.EFAULT;
    const { form } = this;
    const kind = form === "descriptor" ? address & 3 : form === "frames" ? Kind.Frames : Kind.Tuples;
    const base = form === "descriptor" ? address - kind : address;
    switch (kind) {
      case Kind.Flat:
        // Flat buffers end with their page: guests promise nothing about the next one.
        if ((base % PAGE) + offset + bytes > PAGE) return -Errno.EFAULT;
        return this.piece(base + offset, bytes, 0, toGuest);
      case Kind.Frames:
        return this.copyFrames(base, offset, bytes, toGuest);
      case Kind.Tuples:
        return this.copyTuples(base, offset, bytes, toGuest);
      default:
        return -Errno.EFAULT;
    }
  }

  /** Offset in the first page, then the frames of all pages. */
  private copyFrames(list: number, offset: number, bytes: number, toGuest: boolean): number {
    const { wordBytes } = this;
    if (!this.readWords(list, 2)) return -Errno.EFAULT;
    const inFirst = this.word(0);
    if (inFirst >= PAGE) return -Errno.EFAULT;
    let at = inFirst + offset;
    let frame = this.word(1);
    for (let done = 0, index = 0; done < bytes; ) {
      const wanted = Math.floor(at / PAGE);
      if (wanted !== index) {
        if (!this.readWords(list + wordBytes * (1 + wanted), 1)) return -Errno.EFAULT;
        frame = this.word(0);
        index = wanted;
      }
      const count = Math.min(PAGE - (at % PAGE), bytes - done);
      if (frame >= MAX_FRAME) return -Errno.EFAULT;
      const error = this.piece(frame * PAGE + (at % PAGE), count, done, toGuest);
      if (error !== 0) return error;
      done += count;
      at += count;
    }
    return 0;
  }

  /** Pairs of address and length, read one at a time: a list does not say where it ends. */
  private copyTuples(list: number, offset: number, bytes: number, toGuest: boolean): number {
    const tupleBytes = 2 * this.wordBytes;
    let skip = offset;
    for (let done = 0, i = 0; done < bytes; i++) {
      if (i === MAX_TUPLES || !this.readWords(list + tupleBytes * i, 2)) return -Errno.EFAULT;
      const address = this.word(0);
      const length = this.word(1);
      if (length === 0) return -Errno.EFAULT;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const count = Math.min(length - skip, bytes - done);
      const error = this.piece(address + skip, count, done, toGuest);
      if (error !== 0) return error;
      done += count;
      skip = 0;
    }
    return 0;
  }

  private get wordBytes(): number {
    return this.compat ? 4 : 8;
  }

  /** Reads words of a list, which has to be aligned to them. */
  private readWords(address: number, count: number): boolean {
    const { wordBytes, physical, cost, stage } = this;
    cost.run(stage);
    if (address % wordBytes !== 0 || address >= MAX_ADDRESS_HI * WORD_SPAN) return false;
    const hi = Math.floor(address / WORD_SPAN);
    return physical.copyFromGuest(address | 0, hi | 0, count * wordBytes) === 0;
  }

  /** One of the words just read, exact up to 2^53 and too large for an address beyond. */
  private word(index: number): number {
    const { buffer } = this.physical;
    if (this.compat) return buffer.getUint32(4 * index, true);
    return buffer.getUint32(8 * index + 4, true) * WORD_SPAN + buffer.getUint32(8 * index, true);
  }

  private piece(address: number, bytes: number, at: number, toGuest: boolean): number {
    if (address >= MAX_ADDRESS_HI * WORD_SPAN) return -Errno.EFAULT;
    const hi = Math.floor(address / WORD_SPAN);
    return this.copyPiece(this.physical, (address % WORD_SPAN) | 0, hi | 0, bytes, at, toGuest);
  }
}
