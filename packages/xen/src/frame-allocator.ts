/** A range of machine frames is used up. */
export class OutOfFramesError extends Error {
  readonly code = "OUT_OF_FRAMES";
  readonly pool: string;

  constructor(pool: string, frames: number) {
    super(`${pool}: all ${frames} frames are in use`);
    this.name = "OutOfFramesError";
    this.pool = pool;
  }
}

/** What an allocator has given out, as plain data. */
export interface FrameAllocatorSnapshot {
  readonly next: number;
  /** Frames that came back, in the order in which they did. */
  readonly released: readonly number[];
}

/** Hands out machine frames of one range in ascending order, and takes single ones back. */
export class FrameAllocator {
  readonly name: string;
  readonly first: number;
  readonly end: number;
  private next: number;
  private readonly released: number[] = [];

  constructor(name: string, first: number, count: number) {
    this.name = name;
    this.first = first;
    this.next = first;
    this.end = first + count;
  }

  /**
   * First frame of `count` contiguous ones, aligned to `align` frames.
   * @throws OutOfFramesError when the range does not hold them
   */
  allocate(count = 1, align = 1): number {
    if (count === 1 && align === 1 && this.released.length > 0) return this.released.pop()!;
    const frame = Math.ceil(this.next / align) * align;
    if (frame + count > this.end) throw new OutOfFramesError(this.name, this.end - this.first);
    this.next = frame + count;
    return frame;
  }

  /** Gives one frame back. */
  release(frame: number): void {
    this.released.push(frame);
  }

  snapshot(): FrameAllocatorSnapshot {
    return { next: this.next, released: [...this.released] };
  }

  /** @throws RangeError for frames that are not of this range */
  restore({ next, released }: FrameAllocatorSnapshot): void {
    const isOwn = (frame: number) => Number.isInteger(frame) && frame >= this.first && frame < next;
    if (!Number.isInteger(next) || next < this.first || next > this.end || !released.every(isOwn))
      throw new RangeError(`${this.name}: frames outside ${this.first} to ${this.end}`);
    this.next = next;
    this.released.splice(0, this.released.length, ...released);
  }
}
