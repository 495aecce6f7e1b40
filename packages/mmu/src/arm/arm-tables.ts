import type { PageSizeName } from "../memory-profile.js";
import { attributesOf, entryHi, entryLo, frameOf } from "../paging/pte.js";
import { TableEditError } from "../paging/radix-tables.js";
import { TableMemory, type TableMemoryOptions } from "../paging/table-memory.js";
import {
  ArmStage1,
  ArmStage2,
  BLOCK,
  concatenatedTables,
  DESCRIPTOR_TYPE,
  levelSpan,
  MAX_CONCATENATED,
  stage1StartLevel,
  stage2StartLevel,
  TABLE_OR_PAGE,
} from "./arm-descriptor.js";

/** Arm level at which a page of each size is a leaf. */
const LEAF_LEVEL: Readonly<Record<PageSizeName, number>> = { "4k": 3, "2m": 2, "1g": 1 };
const SIZE_OF_LEVEL: readonly PageSizeName[] = ["1g", "1g", "2m", "4k"];
const KEPT = ~(TABLE_OR_PAGE as number);

/** One descriptor in memory: where it is and what it says. */
export interface ArmDescriptor {
  /** Frame of its table, in the numbering of the allocator, and byte offset in it. */
  readonly table: number;
  readonly offset: number;
  readonly level: number;
  readonly lo: number;
  readonly hi: number;
}

/** One mapping, as {@link ArmTables.entry} reports it. */
export interface ArmTableEntry {
  readonly size: PageSizeName;
  /** First frame of the page or block. */
  readonly frame: number;
  /** {@link ArmStage1} or {@link ArmStage2} bits without the type. */
  readonly attributes: number;
}

/**
 * Editor of VMSAv8-64 tables with the 4 KiB granule: levels 0 to 3, blocks at levels 1 and 2. Pages are named by page
 * number within the tables' input range. It writes memory and nothing else: no cost, no cache, no TLB maintenance.
 */
export abstract class ArmTables {
  /** Frame of the first root table, in the numbering of the allocator; further ones follow it. */
  readonly rootFrame: number;
  readonly startLevel: number;
  readonly inputBits: number;
  protected readonly tables: TableMemory;

  /**
   * @param rootTables tables side by side at the start; more than one need `options.rootFrame`, aligned to them all
   * @throws TableEditError when the geometry is none that the architecture has
   */
  constructor(options: TableMemoryOptions, inputBits: number, startLevel: number, rootTables: number) {
    if (!Number.isInteger(rootTables) || rootTables > MAX_CONCATENATED)
      throw new TableEditError(
        `${inputBits} bits from level ${startLevel} take ${rootTables} tables side by side; allowed: 1 to ${MAX_CONCATENATED}`,
      );
    if (rootTables > 1 && (options.rootFrame === undefined || options.rootFrame % rootTables !== 0))
      throw new TableEditError(
        `${rootTables} root tables need a rootFrame that is a multiple of ${rootTables}`,
      );
    this.tables = new TableMemory(options);
    this.inputBits = inputBits;
    this.startLevel = startLevel;
    this.rootFrame = options.rootFrame ?? this.tables.allocate();
  }

  /**
   * Maps one page or block. Missing tables are made, blocks in the way are split.
   * @param page number of its first 4 KiB page, aligned to `size`
   * @param frame first output frame, aligned likewise
   * @throws TableEditError when either is not aligned or outside the tables' range
   */
  map(page: number, frame: number, size: PageSizeName, attributes: number): void {
    const level = LEAF_LEVEL[size];
    const span = levelSpan(level);
    if (page % span !== 0 || frame % span !== 0)
      throw new TableEditError(
        `page 0x${page.toString(16)} and frame 0x${frame.toString(16)} are not aligned to ${size}`,
      );
    const { table, offset } = this.descend(page, level);
    this.write(table, offset, frame, leaf(attributes, level));
  }

  /** Maps `count` pages of one size from `page` to consecutive frames. */
  mapRange(page: number, frame: number, count: number, size: PageSizeName, attributes: number): void {
    const span = levelSpan(LEAF_LEVEL[size]);
    for (let i = 0; i < count; i++) this.map(page + i * span, frame + i * span, size, attributes);
  }

  /** Clears the descriptor that maps a page, whatever its size; a hole stays a hole. */
  unmap(page: number): void {
    const found = this.find(page);
    if (isLeaf(found)) this.store({ ...found, lo: 0, hi: 0 });
  }

  /** The mapping of a page, or undefined. */
  entry(page: number): ArmTableEntry | undefined {
    const found = this.find(page);
    if (!isLeaf(found)) return undefined;
    const { lo, hi, level } = found;
    return { size: SIZE_OF_LEVEL[level], frame: frameOf(lo, hi), attributes: attributesOf(lo, hi) & KEPT };
  }

  /** The last descriptor on the way to a page: its leaf, or the invalid one that ends the way. */
  find(page: number): ArmDescriptor {
    this.check(page);
    let table = this.rootFrame;
    for (let level = this.startLevel; ; level++) {
      const found = this.at(table, page, level);
      if (level === 3 || (found.lo & DESCRIPTOR_TYPE) !== TABLE_OR_PAGE) return found;
      table = frameOf(found.lo, found.hi);
    }
  }

  /** Every descriptor on the way to a page, from the start level down to {@link find}'s. */
  path(page: number): readonly ArmDescriptor[] {
    this.check(page);
    const way: ArmDescriptor[] = [];
    let table = this.rootFrame;
    for (let level = this.startLevel; ; level++) {
      const found = this.at(table, page, level);
      way.push(found);
      if (level === 3 || (found.lo & DESCRIPTOR_TYPE) !== TABLE_OR_PAGE) return way;
      table = frameOf(found.lo, found.hi);
    }
  }

  /**
   * Makes the table of the next level's entries that maps what a block maps, without installing it: the block stays.
   * @returns the descriptor that is to replace the block's
   * @throws TableEditError when no block maps the page
   */
  prepareSplit(page: number): ArmDescriptor {
    const block = this.find(page);
    if (block.level === 3 || !isLeaf(block))
      throw new TableEditError(`page 0x${page.toString(16)} is not in a block`);
    const lower = this.splitTable(block);
    const attributes = this.tableAttributes;
    return { ...block, lo: entryLo(lower, attributes), hi: entryHi(lower, attributes) };
  }

  /** Writes one descriptor. */
  store({ table, offset, lo, hi }: ArmDescriptor): void {
    this.tables.write(table, offset, lo);
    this.tables.write(table, offset + 4, hi);
  }

  /** Attributes of a descriptor that leads to a table, its type included. */
  protected abstract readonly tableAttributes: number;

  private at(table: number, page: number, level: number): ArmDescriptor {
    const index = Math.floor(page / levelSpan(level)) % (level === this.startLevel ? 512 * 16 : 512);
    const at = table + Math.floor(index / 512);
    const offset = (index % 512) * 8;
    return {
      table: at,
      offset,
      level,
      lo: this.tables.read(at, offset),
      hi: this.tables.read(at, offset + 4),
    };
  }

  private descend(page: number, target: number): ArmDescriptor {
    this.check(page);
    if (target < this.startLevel)
      throw new TableEditError(
        `tables that start at level ${this.startLevel} hold no page of ${SIZE_OF_LEVEL[target]}`,
      );
    let table = this.rootFrame;
    for (let level = this.startLevel; ; level++) {
      const found = this.at(table, page, level);
      if (level === target) return found;
      const type = found.lo & DESCRIPTOR_TYPE;
      if (type !== TABLE_OR_PAGE) {
        const lower = type === BLOCK ? this.splitTable(found) : this.tables.allocate();
        this.write(found.table, found.offset, lower, this.tableAttributes);
        table = lower;
      } else table = frameOf(found.lo, found.hi);
    }
  }

  private splitTable({ lo, hi, level }: ArmDescriptor): number {
    const lower = this.tables.allocate();
    const span = levelSpan(level + 1);
    const first = frameOf(lo, hi);
    const attributes = leaf(attributesOf(lo, hi) & KEPT, level + 1);
    for (let i = 0; i < 512; i++) this.write(lower, i * 8, first + i * span, attributes);
    return lower;
  }

  private write(table: number, offset: number, frame: number, attributes: number): void {
    this.tables.write(table, offset, entryLo(frame, attributes));
    this.tables.write(table, offset + 4, entryHi(frame, attributes));
  }

  private check(page: number): void {
    if (!Number.isInteger(page) || page < 0 || page >= 2 ** (this.inputBits - 12))
      throw new TableEditError(
        `page 0x${page.toString(16)} is outside the ${this.inputBits}-bit range of these tables`,
      );
  }
}

function isLeaf({ lo, level }: ArmDescriptor): boolean {
  const type = lo & DESCRIPTOR_TYPE;
  return level === 3 ? type === TABLE_OR_PAGE : type === BLOCK && level > 0;
}

function leaf(attributes: number, level: number): number {
  return (attributes & KEPT) | (level === 3 ? TABLE_OR_PAGE : BLOCK);
}

/**
 * Stage 1 tables of one half of the EL1&0 address space, or of EL2's. Pages of the upper half are counted from its
 * beginning (the address without the bits that are all ones).
 */
export class ArmStage1Tables extends ArmTables {
  protected readonly tableAttributes: number = ArmStage1.Valid | ArmStage1.Table;

  /** @param inputBits 64 - TxSZ, 25 to 48 */
  constructor(options: TableMemoryOptions, inputBits: number = 48) {
    if (!Number.isInteger(inputBits) || inputBits < 25 || inputBits > 48)
      throw new TableEditError(`${inputBits} bits of virtual address; allowed: 25 to 48`);
    super(options, inputBits, stage1StartLevel(inputBits), 1);
  }
}

/** Stage 2 tables: intermediate physical addresses, perhaps with several tables side by side at the start. */
export class ArmStage2Tables extends ArmTables {
  readonly rootTables: number;
  protected readonly tableAttributes: number;

  /**
   * @param ipaBits 64 - VTCR_EL2.T0SZ, 32 to 48
   * @param tableAttributes of descriptors that lead to tables: software bits may be there; hardware ignores the rest
   */
  constructor(
    options: TableMemoryOptions,
    ipaBits: number = 48,
    startLevel: number = stage2StartLevel(ipaBits),
    tableAttributes: number = ArmStage2.Valid | ArmStage2.Table,
  ) {
    if (!Number.isInteger(ipaBits) || ipaBits < 32 || ipaBits > 48)
      throw new TableEditError(`${ipaBits} bits of intermediate physical address; allowed: 32 to 48`);
    const rootTables = concatenatedTables(ipaBits, startLevel);
    super(options, ipaBits, startLevel, rootTables);
    this.rootTables = rootTables;
    this.tableAttributes = tableAttributes | TABLE_OR_PAGE;
  }
}
