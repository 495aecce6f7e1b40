import type { PageSizeName } from "../memory-profile.js";
import { attributesOf, entryHi, entryLo, frameOf } from "./pte.js";
import { TableMemory, type TableMemoryOptions } from "./table-memory.js";

/** Table level at which a page of each size is a leaf. */
const LEAF_LEVEL: Readonly<Record<PageSizeName, number>> = { "4k": 1, "2m": 2, "1g": 3 };
const SIZE_OF_LEVEL: readonly PageSizeName[] = ["4k", "4k", "2m", "1g"];
const PAGE_SIZE_BIT = 0x80;

/** A misuse of a table editor: the message says which address and what would be allowed. */
export class TableEditError extends Error {
  readonly code = "TABLE_EDIT";
  constructor(message: string) {
    super(message);
    this.name = "TableEditError";
  }
}

/** One mapping, as {@link RadixTables.entry} reports it. */
export interface TableEntry {
  readonly size: PageSizeName;
  /** First frame of the page. */
  readonly frame: number;
  /** See `attributesOf`: bits 11:0 in place, bits 63:52 in bits 31:20. Without the page-size bit. */
  readonly attributes: number;
}

/**
 * Editor for tables of 8-byte entries, 512 to a table: the common part of the long-mode, PAE, NPT and EPT formats.
 * Pages are named by page number (52 bits; linear page numbers are those of the zero-extended 64-bit address).
 * Mapping a page inside a larger one splits the larger one; mapping a larger page replaces tables below it.
 */
export abstract class RadixTables {
  /** Frame of the root table, in the numbering of the allocator. */
  readonly rootFrame: number;
  readonly levels: number;
  /** After {@link find}: level of the last entry read, its table and byte offset in it. */
  readonly pathFrame: Float64Array = new Float64Array(6);
  readonly pathOffset: Int32Array = new Int32Array(6);
  /** After {@link find} returned a level: frame of the very page asked for. */
  foundFrame = 0;
  /** After {@link find} returned a level: attributes of the leaf. */
  foundAttributes = 0;
  protected readonly tables: TableMemory;

  constructor(options: TableMemoryOptions, levels: number) {
    this.tables = new TableMemory(options);
    this.levels = levels;
    this.rootFrame = options.rootFrame ?? this.tables.allocate();
  }

  /**
   * Maps one page.
   * @param page number of its first 4 KiB page, aligned to `size`
   * @param frame first frame, aligned likewise
   * @throws TableEditError when either is not aligned or the page lies outside the format's address space
   */
  map(page: number, frame: number, size: PageSizeName, attributes: number): void {
    const level = LEAF_LEVEL[size];
    const span = 512 ** (level - 1);
    if (page % span !== 0 || frame % span !== 0)
      throw new TableEditError(
        `page 0x${page.toString(16)} and frame 0x${frame.toString(16)} are not aligned to ${size}`,
      );
    const table = this.descend(page, level);
    const offset = this.offsetOf(page, level);
    this.releaseBelow(table, offset, level);
    this.writeEntry(table, offset, frame, this.leafAttributes(attributes, level));
  }

  /** Maps `count` pages of one size from `page` to consecutive frames. */
  mapRange(page: number, frame: number, count: number, size: PageSizeName, attributes: number): void {
    const span = 512 ** (LEAF_LEVEL[size] - 1);
    for (let i = 0; i < count; i++) this.map(page + i * span, frame + i * span, size, attributes);
  }

  /** Removes the mapping of one page of `size` (splitting a larger one); a hole stays a hole. */
  unmap(page: number, size: PageSizeName = "4k"): void {
    const level = LEAF_LEVEL[size];
    if (this.find(page) === 0) return;
    const table = this.descend(page, level);
    const offset = this.offsetOf(page, level);
    this.releaseBelow(table, offset, level);
    this.clearEntry(table, offset);
  }

  /**
   * Replaces the superpage that holds a page by a table of the next smaller size with the same attributes.
   * @throws TableEditError when the page is not in a superpage
   */
  split(page: number): void {
    const level = this.find(page);
    if (level < 2) throw new TableEditError(`page 0x${page.toString(16)} is not in a superpage`);
    this.splitEntry(this.pathFrame[level], this.pathOffset[level], level);
  }

  /** Changes the attributes of the leaf that maps a page, whatever its size. @throws TableEditError on a hole */
  setAttributes(page: number, attributes: number): void {
    const level = this.find(page);
    if (level === 0) throw new TableEditError(`page 0x${page.toString(16)} is not mapped`);
    const frame = this.foundFrame - (this.foundFrame % 512 ** (level - 1));
    this.writeEntry(
      this.pathFrame[level],
      this.pathOffset[level],
      frame,
      this.leafAttributes(attributes, level),
    );
  }

  /**
   * Looks a page up without allocating: the software walk of the tables. {@link pathFrame} and {@link pathOffset} then
   * tell, for every level from {@link levels} down to the last one read, where the entry lies.
   * @returns level of the leaf (1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB), or 0 when the page is not mapped
   */
  find(page: number): number {
    let table = this.rootFrame;
    for (let level = this.levels; ; level--) {
      const offset = this.offsetOf(page, level);
      this.pathFrame[level] = table;
      this.pathOffset[level] = offset;
      this.lastLevel = level;
      const lo = this.tables.read(table, offset);
      if (!this.isPresent(lo)) return 0;
      const hi = this.tables.read(table, offset + 4);
      table = frameOf(lo, hi);
      if (level > 1 && (lo & PAGE_SIZE_BIT) === 0) continue;
      const span = 512 ** (level - 1);
      this.foundFrame = table - (table % span) + (page % span);
      this.foundAttributes = attributesOf(lo, hi);
      return level;
    }
  }

  /** After {@link find}: the lowest level whose entry was read. */
  lastLevel = 0;

  /** The mapping of a page, or undefined. */
  entry(page: number): TableEntry | undefined {
    const level = this.find(page);
    if (level === 0) return undefined;
    const frame = this.foundFrame - (this.foundFrame % 512 ** (level - 1));
    const attributes = level === 1 ? this.foundAttributes : this.foundAttributes & ~PAGE_SIZE_BIT;
    return { size: SIZE_OF_LEVEL[level], frame, attributes };
  }

  protected abstract isPresent(lo: number): boolean;

  /** Attributes of an entry at `level` that points to a table. */
  protected abstract tableAttributes(level: number): number;

  /** Number of entries in the root table; fewer than 512 in PAE. */
  protected get rootEntries(): number {
    return 512;
  }

  /** Leaf attributes as the format stores them, page-size bit included. */
  protected leafAttributes(attributes: number, level: number): number {
    return level === 1 ? attributes : attributes | PAGE_SIZE_BIT;
  }

  private offsetOf(page: number, level: number): number {
    return (Math.floor(page / 512 ** (level - 1)) % 512) * 8;
  }

  /** Table at `level` on the way to a page; missing tables are made and superpages in the way are split. */
  private descend(page: number, target: number): number {
    const limit = this.rootEntries * 512 ** (this.levels - 1);
    if (!Number.isInteger(page) || page < 0 || (page >= limit && this.levels !== 5 && !this.isHighHalf(page)))
      throw new TableEditError(`page 0x${page.toString(16)} is outside a ${this.levels}-level address space`);
    if (target > this.levels || (target === this.levels && this.rootEntries < 512))
      throw new TableEditError(`a ${this.levels}-level table holds no page of ${SIZE_OF_LEVEL[target]}`);
    let table = this.rootFrame;
    for (let level = this.levels; level > target; level--) {
      const offset = this.offsetOf(page, level);
      let lo = this.tables.read(table, offset);
      if (!this.isPresent(lo)) {
        this.writeEntry(table, offset, this.tables.allocate(), this.tableAttributes(level));
      } else if (level <= 3 && (lo & PAGE_SIZE_BIT) !== 0) this.splitEntry(table, offset, level);
      lo = this.tables.read(table, offset);
      table = frameOf(lo, this.tables.read(table, offset + 4));
    }
    return table;
  }

  /** Page numbers of sign-extended addresses: only linear formats have them. */
  protected isHighHalf(_page: number): boolean {
    return false;
  }

  private splitEntry(table: number, offset: number, level: number): void {
    const lo = this.tables.read(table, offset);
    const hi = this.tables.read(table, offset + 4);
    const span = 512 ** (level - 2);
    const first = frameOf(lo, hi);
    const attributes = attributesOf(lo, hi) & ~PAGE_SIZE_BIT;
    const lower = this.tables.allocate();
    for (let i = 0; i < 512; i++)
      this.writeEntry(lower, i * 8, first + i * span, this.leafAttributes(attributes, level - 1));
    this.writeEntry(table, offset, lower, this.tableAttributes(level));
  }

  /** Gives back the tables under an entry that is about to be replaced. */
  private releaseBelow(table: number, offset: number, level: number): void {
    if (level === 1) return;
    const lo = this.tables.read(table, offset);
    if (!this.isPresent(lo) || (level <= 3 && (lo & PAGE_SIZE_BIT) !== 0)) return;
    const lower = frameOf(lo, this.tables.read(table, offset + 4));
    for (let i = 0; i < 512; i++) this.releaseBelow(lower, i * 8, level - 1);
    this.tables.release(lower);
  }

  private writeEntry(table: number, offset: number, frame: number, attributes: number): void {
    this.tables.write(table, offset + 4, entryHi(frame, attributes));
    this.tables.write(table, offset, entryLo(frame, attributes));
  }

  private clearEntry(table: number, offset: number): void {
    this.tables.write(table, offset, 0);
    this.tables.write(table, offset + 4, 0);
  }
}
