import { FRAME_BYTES, type PhysicalMemory } from "../physical-memory.js";

/** Gives the frame number of a fresh frame for a table; editors clear it themselves. */
export type FrameAllocator = () => number;

/** What every table editor is built on. Cold code: builds and changes tables without cost, caches or flushes. */
export interface TableMemoryOptions {
  readonly memory: PhysicalMemory;
  /** Frames for new tables, in the numbering that entries hold (guest frames for a guest's tables). */
  readonly allocate: FrameAllocator;
  /** Takes back the frame of a table that is no longer used. */
  readonly release?: (frame: number) => void;
  /** Machine frame of a table's frame, where the two differ: guest tables under a second stage. Default: identity. */
  readonly locate?: (frame: number) => number;
  /** An existing root table to edit; a new one is allocated otherwise. */
  readonly rootFrame?: number;
}

/** Reads and writes table entries in physical memory by (table frame, byte offset). */
export class TableMemory {
  private readonly memory: PhysicalMemory;
  private readonly allocateFrame: FrameAllocator;
  private readonly releaseFrame: ((frame: number) => void) | undefined;
  private readonly locate: (frame: number) => number;

  constructor(options: TableMemoryOptions) {
    this.memory = options.memory;
    this.allocateFrame = options.allocate;
    this.releaseFrame = options.release;
    this.locate = options.locate ?? ((frame) => frame);
  }

  /** A zeroed table. */
  allocate(): number {
    const frame = this.allocateFrame();
    this.memory.writeBytes(this.locate(frame) * FRAME_BYTES, new Uint8Array(FRAME_BYTES));
    return frame;
  }

  release(frame: number): void {
    this.releaseFrame?.(frame);
  }

  read(frame: number, offset: number): number {
    return this.memory.readU32(this.locate(frame) * FRAME_BYTES + offset) | 0;
  }

  write(frame: number, offset: number, value: number): void {
    this.memory.writeU32(this.locate(frame) * FRAME_BYTES + offset, value >>> 0);
  }
}
