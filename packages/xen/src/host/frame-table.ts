import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";

/** Bytes of one `struct page_info`. */
export const PAGE_INFO_BYTES = 32;
const PER_FRAME = FRAME_BYTES / PAGE_INFO_BYTES;
// struct page_info: list 0-7, count_info 8-15, type_info 16-23, owner 24-27, TLB flush stamp 28-31.
export const COUNT_INFO = 8;
const TYPE_INFO_HI = 20;
const OWNER = 24;
const PGC_ALLOCATED_HI = 0x80000000;
/** PGT_writable_page (7) and PGT_validated. */
const PGT_WRITABLE_HI = 0x74000000;

/** Machine frames from `first` on, up to the next range, that belong to the domain whose struct lies in frame `owner`. */
export interface OwnedFrames {
  readonly first: number;
  readonly owner: number;
}

/** A domain as the frame table knows it. */
export interface FrameOwner {
  isRam(mfn: number): boolean;
  readonly onFree: ((mfn: number) => void) | undefined;
}

/**
 * Xen's frame table: one `page_info` for every machine frame, in a range of frames of its own. Entries come into being
 * with the frame of them that is touched first: allocated, writable, one reference, owned by their domain.
 */
export class FrameTable {
  /** First frame of the table itself. */
  readonly first: number;
  /** Machine frames described. */
  readonly frames: number;
  private readonly memory: PhysicalMemory;
  private readonly owners: FrameOwner[] = [];

  /**
   * @param owner frame of the struct domain that owns the described frames (a pdx in Xen)
   * @param others frames of other domains, in ascending order
   */
  constructor(
    memory: PhysicalMemory,
    first: number,
    frames: number,
    owner: number,
    others: readonly OwnedFrames[] = [],
  ) {
    this.memory = memory;
    this.first = first;
    this.frames = frames;
    memory.addRam(first, Math.ceil(frames / PER_FRAME), (frame, bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at < FRAME_BYTES; at += PAGE_INFO_BYTES) {
        const mfn = (frame - first) * PER_FRAME + at / PAGE_INFO_BYTES;
        const other = others.filter((range) => mfn >= range.first).at(-1);
        view.setUint32(at + COUNT_INFO, 1, true);
        view.setUint32(at + COUNT_INFO + 4, PGC_ALLOCATED_HI, true);
        view.setUint32(at + TYPE_INFO_HI, PGT_WRITABLE_HI, true);
        view.setUint32(at + OWNER, other?.owner ?? owner, true);
      }
    });
  }

  /** Frame in which the entry of `mfn` lies. */
  frameOf(mfn: number): number {
    return this.first + (mfn >>> 7);
  }

  /** Byte offset of that entry in its frame. */
  offsetOf(mfn: number): number {
    return (mfn & (PER_FRAME - 1)) * PAGE_INFO_BYTES;
  }

  /** References on a frame (PGC_count_mask). Costs nothing: for tests and tools. */
  references(mfn: number): number {
    return this.memory.readU32(this.addressOf(mfn) + COUNT_INFO);
  }

  /** Frame of the struct domain that owns a frame. Costs nothing. */
  ownerOf(mfn: number): number {
    return this.memory.readU32(this.addressOf(mfn) + OWNER);
  }

  /** Takes references on a frame, or with a negative count drops them, for those who pay nothing or have paid. */
  addReferences(mfn: number, count: number): void {
    const at = this.addressOf(mfn) + COUNT_INFO;
    const left = (this.memory.readU32(at) + count) >>> 0;
    this.memory.writeU32(at, left);
    if (left === 0) this.free(mfn);
  }

  /** Has the owner of frames told when they are free. */
  addOwner(owner: FrameOwner): void {
    this.owners.push(owner);
  }

  /** Does a frame count as its domain's (PGC_allocated)? */
  isAllocated(mfn: number): boolean {
    return this.memory.readU32(this.addressOf(mfn) + COUNT_INFO + 4) !== 0;
  }

  /** The owner gives a frame back: it is free as soon as the last reference on it goes. */
  release(mfn: number): void {
    this.memory.writeU32(this.addressOf(mfn) + COUNT_INFO + 4, 0);
    this.addReferences(mfn, -1);
  }

  /** A free frame is its owner's again. */
  allocate(mfn: number): void {
    this.memory.writeU32(this.addressOf(mfn) + COUNT_INFO + 4, PGC_ALLOCATED_HI);
    this.addReferences(mfn, 1);
  }

  /** The last reference on a frame has gone. */
  free(mfn: number): void {
    this.owners.find((owner) => owner.isRam(mfn))?.onFree?.(mfn);
  }

  private addressOf(mfn: number): number {
    return this.frameOf(mfn) * FRAME_BYTES + this.offsetOf(mfn);
  }
}
