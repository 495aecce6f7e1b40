import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { GrantRecordsOptions } from "./grant-entries.js";
import type { PathCost } from "./path-cost/path-cost.js";

const FRAME_BYTES = 4096;
// struct grant_mapping
const REF = 0; // u32; of a free one: the next free one
const FLAGS = 4; // u16: GNTMAP_*, 0: not in use; then u16: whose grant
const RECORD_BYTES = 16;
const PER_FRAME: number = FRAME_BYTES / RECORD_BYTES;
/** DEFAULT_MAX_MAPTRACK_FRAMES */
const MAX_FRAMES = 1024;
/** No handle is free. */
export const NO_HANDLE = -1;

/** What the records do not say, as plain data. */
export interface MaptrackSnapshot {
  readonly frames: readonly number[];
  /** First and last free handle, or -1. */
  readonly head: number;
  readonly tail: number;
}

/** One grant of another domain's that is mapped. */
export interface GrantMapping {
  readonly domid: number;
  readonly ref: number;
  /** GNTMAP_*. */
  readonly flags: number;
}

/**
 * What a domain has mapped of other domains' grants, by handle, in frames of Xen's heap. Free handles are given out in the
 * order in which they became free, but for the last one, which Xen keeps to append to. Xen has such a list for each vCPU,
 * between which handles are stolen at random when frames run out; here it is one for the domain.
 */
export class Maptrack {
  private readonly memory: PhysicalMemory;
  private readonly allocateFrame: () => number;
  private readonly maxFrames: number;
  private frames: number[] = [];
  private head = NO_HANDLE;
  private tail = NO_HANDLE;

  /** @param maxFrames `max_maptrack_frames`; default 1024 */
  constructor(options: GrantRecordsOptions, maxFrames: number = MAX_FRAMES) {
    this.memory = options.memory;
    this.allocateFrame = options.allocateFrame;
    this.maxFrames = maxFrames;
  }

  /** Takes a free handle. @returns `NO_HANDLE` when there are as many mappings as there may be */
  take(cost: PathCost | undefined): number {
    const { head } = this;
    if (head !== NO_HANDLE) {
      const next = this.word(this.at(head, cost) + REF);
      if (next !== NO_HANDLE) {
        this.head = next;
        return head;
      }
    }
    return this.grow();
  }

  /** Gives a handle back. */
  put(handle: number, cost: PathCost | undefined): void {
    const at = this.at(handle, cost);
    this.setWord(at + REF, NO_HANDLE);
    this.setWord(at + FLAGS, 0);
    this.setWord(this.at(this.tail, cost) + REF, handle);
    this.tail = handle;
  }

  /** Notes what a handle stands for. */
  set(handle: number, { domid, ref, flags }: GrantMapping, cost: PathCost | undefined): void {
    const at = this.at(handle, cost);
    this.setWord(at + REF, ref);
    this.setWord(at + FLAGS, flags | (domid << 16));
  }

  /** What a handle stands for; undefined for one that is not in use. */
  get(handle: number, cost: PathCost | undefined): GrantMapping | undefined {
    if (handle < 0 || handle >= this.frames.length * PER_FRAME) return undefined;
    const at = this.at(handle, cost);
    const word = this.word(at + FLAGS);
    const flags = word & 0xffff;
    return flags === 0 ? undefined : { domid: word >>> 16, ref: this.word(at + REF) >>> 0, flags };
  }

  /** Handles in use. */
  get used(): number {
    let count = 0;
    for (let handle = 0; handle < this.frames.length * PER_FRAME; handle++)
      if (this.get(handle, undefined) !== undefined) count++;
    return count;
  }

  snapshot(): MaptrackSnapshot {
    return { frames: [...this.frames], head: this.head, tail: this.tail };
  }

  /** @throws RangeError for frames that are no RAM, or handles that do not exist */
  restore({ frames, head, tail }: MaptrackSnapshot): void {
    const exists = (handle: number) =>
      handle === NO_HANDLE || (handle >= 0 && handle < frames.length * PER_FRAME);
    if (frames.length > this.maxFrames || !frames.every((frame) => this.memory.isRam(frame)))
      throw new RangeError(`${frames.length} frames of grant mappings`);
    if (!exists(head) || !exists(tail)) throw new RangeError(`free grant handles ${head} to ${tail}`);
    this.frames = [...frames];
    this.head = head;
    this.tail = tail;
  }

  /** A frame more of handles, of which the first is taken. */
  private grow(): number {
    if (this.frames.length >= this.maxFrames) return NO_HANDLE;
    const first = this.frames.length * PER_FRAME;
    this.frames.push(this.allocateFrame());
    const last = first + PER_FRAME - 1;
    for (let handle = first; handle < last; handle++)
      this.setWord(this.at(handle, undefined) + REF, handle + 1);
    this.setWord(this.at(last, undefined) + REF, this.head);
    if (this.tail === NO_HANDLE) this.tail = last;
    this.head = first + 1;
    return first;
  }

  private at(handle: number, cost: PathCost | undefined): number {
    const frame = this.frames[Math.floor(handle / PER_FRAME)];
    const offset = (handle % PER_FRAME) * RECORD_BYTES;
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, RECORD_BYTES, true);
  }

  // Views are fetched at every use: touching a frame may grow the arena, which detaches older ones.
  private word(at: number): number {
    return this.memory.arena.i32[at >> 2];
  }

  private setWord(at: number, value: number): void {
    this.memory.arena.i32[at >> 2] = value;
  }
}
