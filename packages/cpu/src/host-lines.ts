import {
  FRAME_BYTES,
  lineHigh,
  lineLow,
  type Mmu,
  PagingMode,
  type TranslationContext,
} from "@hyperwalk/mmu";
import { VirtualizationError } from "./virtualized-processor.js";

/** High word of the linear address at which Xen maps all of physical memory. */
export const DIRECTMAP_HI: number = 0xffff8300 | 0;

/** High word of the linear address at which a host reaches a frame; the low word is `frame << 12`. */
export function hostAddressHi(frame: number, host: TranslationContext): number {
  const base = host.paging === PagingMode.None ? 0 : DIRECTMAP_HI;
  return (base + Math.floor(frame / 0x100000)) | 0;
}

const LINES = FRAME_BYTES / 64;
const DIRTY = 1; // bit 0 of a way's generation

/** Lines that the processor touches together; see {@link HostLines.group}. */
export interface LineGroup {
  readonly offsets: readonly number[];
  readonly write: boolean;
  /** Sequence of the `Mmu`. */
  readonly sequence: number;
}

/**
 * The cache lines of a control structure (VMCB, VMCS region) as the processor touches them at VM entry and exit. They
 * are reached through the host's direct map while the host context is active, or by physical address where the host
 * runs without paging. A line in L1 costs nothing beyond the entry's or exit's own price.
 *
 * The way that held a line last time is remembered: while its generation is the same the line is still in L1, and the
 * touch is one comparison (which does not renew the line's recency). While timing is off nothing is touched.
 */
export class HostLines {
  private readonly mmu: Mmu;
  private readonly frame: number;
  private readonly lo: number;
  private readonly hi: number;
  private readonly marksAt: number;
  /** By line: index of the L1 way's generation, and that generation; 0 and -1 at first. */
  private readonly marks: Int32Array = new Int32Array(LINES);
  private readonly generations: Int32Array = new Int32Array(LINES).fill(-1);
  private i32!: Int32Array;

  constructor(mmu: Mmu, frame: number, host: TranslationContext) {
    this.mmu = mmu;
    this.frame = frame;
    this.lo = (frame << 12) | 0;
    this.hi = hostAddressHi(frame, host);
    this.marksAt = mmu.caches.l1d.marksAt;
    const { arena } = mmu.memory;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /** The processor reads the line at byte `offset` of the structure. */
  read(offset: number): void {
    const line = offset >>> 6;
    if (this.i32[this.marks[line]] !== this.generations[line]) this.touch(offset, false);
  }

  /** The processor writes the line at byte `offset`. */
  write(offset: number): void {
    const line = offset >>> 6;
    const generation = this.generations[line];
    if (this.i32[this.marks[line]] !== generation || (generation & DIRTY) === 0) this.touch(offset, true);
  }

  /** Prepares lines at these byte offsets for {@link touchGroup}. */
  group(offsets: readonly number[], write: boolean): LineGroup {
    const lines = offsets.map((offset) => ({ lo: this.lo | offset, hi: this.hi, write }));
    return { offsets, write, sequence: this.mmu.defineLines(lines) };
  }

  /** {@link read} or {@link write} of every line of a group; one comparison while all of them stay in L1. */
  touchGroup(group: LineGroup): void {
    if (!this.mmu.holdsLines(group.sequence)) this.touchEach(group);
  }

  private touchEach({ offsets, write, sequence }: LineGroup): void {
    for (const offset of offsets) {
      if (write) this.write(offset);
      else this.read(offset);
    }
    this.mmu.noteLines(sequence);
  }

  /** What is remembered, as plain data. */
  snapshot(): readonly number[] {
    return [...this.marks, ...this.generations];
  }

  restore(snapshot: readonly number[]): void {
    this.marks.set(snapshot.slice(0, LINES));
    this.generations.set(snapshot.slice(LINES));
  }

  private touch(offset: number, write: boolean): void {
    const { mmu, frame } = this;
    if (!mmu.timed) return;
    const at = write ? mmu.write(this.lo | offset, this.hi, 8) : mmu.read(this.lo | offset, this.hi, 8);
    if (at < 0)
      throw new VirtualizationError(
        "HOST_UNMAPPED",
        frame * FRAME_BYTES + offset,
        "the host context does not map the control structure through its direct map",
      );
    const line = offset >>> 6;
    const way = mmu.caches.l1d.find(lineLow(frame, line), lineHigh(frame));
    if (way < 0) {
      this.generations[line] = -1;
      return;
    }
    this.marks[line] = this.marksAt + 2 * way;
    this.generations[line] = mmu.caches.l1d.generationOf(way);
  }
}
