import type { Arena } from "./arena.js";

// Words of a row. Numbers, not an exported object: V8 does not fold the fields of an imported object.
//   0  page number, bits 31:0        4  entry's generation
//   1  page number, bits 51:32       5  number of the frame's first cache line, bits 31:0
//   2  epoch, 0 in an empty row      6  arena offset of the frame; low bits: modes permitted (1 read or fetch, 2 write)
//   3  TLB entry                     7  number of the frame's first cache line, bits 45:32
const ROW_WORDS = 8;
const ROWS = 128;

/** Index of a page's row, counted in words from the start of its filter. */
export function pageRow(pageLo: number): number {
  return ((pageLo ^ (pageLo >>> 7)) & (ROWS - 1)) << 3;
}

/**
 * Direct-mapped memory of recent first-level TLB hits, asked when the line filter has no answer: it saves the TLB
 * lookup, the rights test and the search for the frame. As in `LineFilter`, a row is believed only while its TLB entry
 * has the generation it noted.
 */
export class PageFilter {
  /** Index of row 0 in the arena's 32-bit view. */
  readonly at: number;
  private readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
    this.at = arena.reserve(ROWS * ROW_WORDS * 4) >>> 2;
  }

  clear(): void {
    this.arena.i32.fill(0, this.at, this.at + ROWS * ROW_WORDS);
  }

  /** Notes a hit that was permitted. @param modes 1 for a read or fetch, 3 for a write */
  remember(
    pageLo: number,
    pageHi: number,
    epoch: number,
    entry: number,
    firstLo: number,
    firstHi: number,
    offset: number,
    modes: number,
  ): void {
    const i32 = this.arena.i32;
    const row = this.at + pageRow(pageLo);
    i32[row] = pageLo;
    i32[row + 1] = pageHi;
    i32[row + 2] = epoch;
    i32[row + 3] = entry;
    i32[row + 4] = i32[entry];
    i32[row + 5] = firstLo;
    i32[row + 6] = offset | modes;
    i32[row + 7] = firstHi;
  }
}
