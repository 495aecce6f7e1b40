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
}
