import { AccessMode } from "./access-modes.js";
import type { Arena } from "./arena.js";
import { filterRow, type LineFilter, WRITE_OK } from "./line-filter.js";
import type { PhysicalMemory } from "./physical-memory.js";

// Words of a page row. Numbers, as in `LineFilter`.
//   0  page number, bits 31:0        3  generation of all rows when it was noted
//   1  page number, bits 51:32       4  arena offset of the frame; low bits: 1 << AccessMode, those permitted
//   2  epoch, 0 in an empty row
const ROW_WORDS = 8;
const ROWS = 4096;
/** Generation at which all rows are emptied and counting starts over. */
const GENERATION_LIMIT = 2 ** 30;
const LINES = 64;
/** Regions of 2 MiB by a hash of their address, a bit each. */
const REGIONS = 4096;

/**
 * How an `Mmu` reaches memory while timing is off. A page is translated by walking the tables, and remembered with the
 * accesses that it permits until something that invalidates translations happens; caches and TLBs are not looked at.
 *
 * Rows of the line filters stay the way in, so that an engine's own loop works as it is. They name one mark in place of an
 * L1 way and a TLB entry: its generation, renewed by {@link forget}, is what makes them all unbelievable.
 */
export class UntimedAccess {
  private readonly memory: PhysicalMemory;
  private readonly dataFilter: LineFilter;
  private readonly fetchFilter: LineFilter;
  /** Index of the generation that every row has to have; the stamp of the engine's loop follows it. */
  private readonly mark: number;
  private readonly pages: number;
  private readonly walk: (lo: number, hi: number, mode: number) => number;
  /** Regions that have pages of a 2 MiB or 4 MiB page. */
  private readonly largeRegions = new Int32Array(REGIONS / 32);
  /** Some region has. */
  private hasLarge = false;
  /** There are pages of a 1 GiB page. */
  private hasHuge = false;
  private i32!: Int32Array;

  /**
   * @param walk translates by the tables alone, setting accessed and dirty flags and logging modifications; gives the
   * arena offset of the page with the size of the guest's page in its low bits (0: 4 KiB, 1: 2 MiB, 2: 1 GiB, 3: 4 MiB),
   * or -1 with the fault filled in
   */
  constructor(
    arena: Arena,
    memory: PhysicalMemory,
    dataFilter: LineFilter,
    fetchFilter: LineFilter,
    walk: (lo: number, hi: number, mode: number) => number,
  ) {
    this.memory = memory;
    this.dataFilter = dataFilter;
    this.fetchFilter = fetchFilter;
    this.walk = walk;
    this.mark = arena.reserve(64) >>> 2;
    this.pages = arena.reserve(ROWS * ROW_WORDS * 4) >>> 2;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
    this.i32[this.mark] = 1;
  }

  /**
   * A data access within one page. @param mode an `AccessMode` but fetches @param remember line by line for the engine
   * @returns arena byte offset, or -1
   */
  data(lo: number, hi: number, mode: number, epoch: number, remember: boolean): number {
    const where = this.page(lo, hi, mode, epoch);
    if (where < 0) return -1;
    const page = where & -4096;
    const { codeSlots } = this.memory;
    if ((mode & 1) !== 0 && codeSlots[page >>> 12] !== 0) this.memory.onCodeWrite?.(page);
    if (remember && mode < 2) {
      const writable = (where & (1 << AccessMode.Write)) !== 0 && codeSlots[page >>> 12] === 0;
      this.note(this.dataFilter.at + filterRow(lo), lo, hi, epoch, page, writable ? WRITE_OK : 0);
    }
    return page | (lo & 4095);
  }

  /** An instruction fetch. @returns arena byte offset, or -1 */
  instruction(lo: number, hi: number, epoch: number, remember: boolean): number {
    const where = this.page(lo, hi, AccessMode.Fetch, epoch);
    if (where < 0) return -1;
    const page = where & -4096;
    if (remember) this.note(this.fetchFilter.at + filterRow(lo), lo, hi, epoch, page, 0);
    return page | (lo & 4095);
  }

  /** No translation is believed any more. */
  forget(): void {
    const { i32, mark, pages } = this;
    if (this.hasLarge) this.largeRegions.fill(0);
    this.hasLarge = false;
    this.hasHuge = false;
    if (++i32[mark] < GENERATION_LIMIT) return;
    i32[mark] = 1;
    i32.fill(0, pages, pages + ROWS * ROW_WORDS);
    this.dataFilter.clear();
    this.fetchFilter.clear();
  }

  /** INVLPG: no translation of the guest's page, whatever its size, is believed any more. */
  invalidatePage(lo: number, hi: number): void {
    if (this.hasHuge || (this.hasLarge && this.inLarge(lo, hi))) this.forget();
    else this.forgetPage(lo, hi);
  }

  /** No translation of these 4 KiB is believed any more, in any address space. */
  forgetPage(lo: number, hi: number): void {
    const { i32 } = this;
    const pageLo = (lo >>> 12) | (hi << 20);
    const row = this.rowOf(pageLo);
    if (i32[row] === pageLo && i32[row + 1] === hi >>> 12) i32[row + 2] = 0;
    for (let line = 0; line < LINES; line++) {
      const at = (lo & -4096) | (line << 6);
      const data = this.dataFilter.at + filterRow(at);
      if (i32[data] === at && i32[data + 1] === hi) i32[data + 2] = 0;
      const fetch = this.fetchFilter.at + filterRow(at);
      if (i32[fetch] === at && i32[fetch + 1] === hi) i32[fetch + 2] = 0;
    }
  }

  /** Arena offset of the page and the modes that its row permits, or -1. */
  private page(lo: number, hi: number, mode: number, epoch: number): number {
    const { i32 } = this;
    const pageLo = (lo >>> 12) | (hi << 20);
    const pageHi = hi >>> 12;
    const row = this.rowOf(pageLo);
    const known =
      i32[row] === pageLo &&
      i32[row + 2] === epoch &&
      i32[row + 1] === pageHi &&
      i32[row + 3] === i32[this.mark];
    const before = known ? i32[row + 4] : 0;
    if (((before >>> mode) & 1) !== 0) return before;
    const found = this.walk(lo, hi, mode);
    if (found < 0) return -1;
    const page = found & -4096;
    if (page !== found) this.noteSize(found & 3, lo, hi);
    // The tables lead elsewhere now: as when a TLB's entry does not permit an access, the old translation is gone.
    if (known && (before & -4096) !== page) this.forgetPage(lo, hi);
    const modes = known && (before & -4096) === page ? before & 31 : 0;
    i32[row] = pageLo;
    i32[row + 1] = pageHi;
    i32[row + 2] = epoch;
    i32[row + 3] = i32[this.mark];
    i32[row + 4] = page | modes | (1 << mode);
    return i32[row + 4];
  }

  private noteSize(size: number, lo: number, hi: number): void {
    if (size === 2) {
      this.hasHuge = true;
      return;
    }
    this.hasLarge = true;
    this.noteRegion(lo, hi);
    if (size === 3) this.noteRegion(lo ^ 0x200000, hi);
  }

  private noteRegion(lo: number, hi: number): void {
    const region = regionOf(lo, hi);
    this.largeRegions[region >>> 5] |= 1 << (region & 31);
  }

  private inLarge(lo: number, hi: number): boolean {
    const region = regionOf(lo, hi);
    return ((this.largeRegions[region >>> 5] >>> (region & 31)) & 1) !== 0;
  }

  private rowOf(pageLo: number): number {
    return (this.pages + (((pageLo ^ (pageLo >>> 12)) & (ROWS - 1)) << 3)) | 0;
  }

  private note(row: number, lo: number, hi: number, epoch: number, page: number, flags: number): void {
    const { i32, mark } = this;
    i32[row] = lo & -64;
    i32[row + 1] = hi;
    i32[row + 2] = epoch;
    i32[row + 3] = page | (lo & 0xfc0) | flags;
    i32[row + 4] = mark;
    i32[row + 5] = i32[mark];
    i32[row + 6] = mark;
    i32[row + 7] = i32[mark];
  }
}

function regionOf(lo: number, hi: number): number {
  const number = (lo >>> 21) | (hi << 11);
  return (number ^ (number >>> 12)) & (REGIONS - 1);
}
