import type { Arena } from "./arena.js";

// Words of a row. Hot code uses the numbers: V8 does not fold the fields of an imported object.
//   0  line, bits 31:6 of the linear address    4  index of the L1 way's generation word; its stamp follows it
//   1  bits 63:32 of the linear address         5  that generation
//   2  epoch, 0 in an empty row                 6  index of the TLB entry's generation word; its stamp follows it
//   3  arena offset of the line; bit 0: WRITE_OK  7  that generation
const ROW_WORDS = 8;
const OFFSET = 3;
/** Rows of one filter: about as many lines as an L1 holds. The hash in `Mmu.read` knows this number. */
export const FILTER_ROWS = 512;
/** Row flag: writes may go through (permitted, dirty flags set, line dirty, no decoded code in the frame). */
export const WRITE_OK = 1;

/** Index of a line's row, counted in words from the start of its filter. */
export function filterRow(lo: number): number {
  return (((lo >>> 6) ^ (lo >>> 15)) & (FILTER_ROWS - 1)) << 3;
}

/**
 * Direct-mapped memory of recent first-level hits: linear line to arena offset. A row is believed only while the L1 way
 * and the TLB entry that it names still have the generations it noted, so it never has to be found and dropped; hits
 * stamp both, so replacement sees them.
 */
export class LineFilter {
  /** Index of row 0 in the arena's 32-bit view. */
  readonly at: number;
  private readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
    this.at = arena.reserve(FILTER_ROWS * ROW_WORDS * 4) >>> 2;
  }

  clear(): void {
    this.arena.i32.fill(0, this.at, this.at + FILTER_ROWS * ROW_WORDS);
  }

  /** From now on writes to this frame miss the filter. */
  protectFrame(frameOffset: number): void {
    const i32 = this.arena.i32;
    const end = this.at + FILTER_ROWS * ROW_WORDS;
    for (let at = this.at + OFFSET; at < end; at += ROW_WORDS)
      if ((i32[at] & -4096) === frameOffset) i32[at] &= ~WRITE_OK;
  }
}
