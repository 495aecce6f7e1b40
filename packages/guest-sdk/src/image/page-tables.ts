/** Page size of a leaf entry. */
export type LeafSize = "4k" | "2m" | "1g";

/** A run of linear addresses mapped to consecutive guest-physical ones. */
export interface Mapping {
  /** Canonical linear byte address, as an unsigned 64-bit number, aligned to the leaf. */
  readonly linear: bigint;
  /** Guest-physical byte address, aligned to the leaf. */
  readonly physical: number;
  /** Length in bytes, a multiple of the leaf. */
  readonly bytes: number;
  readonly leaf: LeafSize;
  /** Default true. */
  readonly writable?: boolean;
  /** Default false: supervisor only. */
  readonly user?: boolean;
  /** Default true; false sets NX, which needs EFER.NXE. */
  readonly executable?: boolean;
  /** Sets the C-bit: the memory is encrypted (SEV). Default false. */
  readonly encrypted?: boolean;
}

/** A mapping that page tables cannot express. */
export class MappingError extends Error {
  readonly code: "ALIGNMENT" | "CONFLICT";
  constructor(code: MappingError["code"], message: string) {
    super(message);
    this.name = "MappingError";
    this.code = code;
  }
}

/** Level of the table that holds the leaf: 1 is a page table. */
const LEAF_LEVEL: Readonly<Record<LeafSize, number>> = { "4k": 1, "2m": 2, "1g": 3 };
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const LARGE = 0x80n;
const NO_EXECUTE = 1n << 63n;
/** The C-bit of Zen 3 and Zen 4 (CPUID 8000001F EBX). */
const ENCRYPTED = 1n << 51n;
const ADDRESS = 0x0007fffffffff000n;
const TABLE_BYTES = 4096;

/** Bytes that a leaf maps. */
export function leafBytes(leaf: LeafSize): number {
  return 2 ** (12 + 9 * (LEAF_LEVEL[leaf] - 1));
}

/**
 * Four-level x86-64 page tables as data. Tables are taken one after the other from `base`; the first one is the root.
 * Accessed and dirty bits are left to the processor.
 */
export class PageTables {
  /** Guest-physical address of the root table: the value for CR3. */
  readonly root: number;
  private readonly tables: BigUint64Array[] = [new BigUint64Array(512)];
  private readonly tableBits: bigint;

  /** @param base guest-physical address of the first table, page-aligned @param encrypted sets the C-bit of tables */
  constructor(base: number, encrypted = false) {
    this.tableBits = PRESENT | WRITABLE | USER | (encrypted ? ENCRYPTED : 0n);
    if (base % TABLE_BYTES !== 0)
      throw new MappingError("ALIGNMENT", `tables at 0x${base.toString(16)} are not page-aligned`);
    this.root = base;
  }

  /** @throws MappingError for an address that is not aligned to the leaf, or that is mapped already */
  map(mapping: Mapping): void {
    const step = leafBytes(mapping.leaf);
    if (mapping.linear % BigInt(step) !== 0n || mapping.physical % step !== 0 || mapping.bytes % step !== 0)
      throw new MappingError(
        "ALIGNMENT",
        `mapping of 0x${mapping.linear.toString(16)} is not aligned to ${mapping.leaf}`,
      );
    for (let done = 0; done < mapping.bytes; done += step)
      this.mapLeaf(mapping, mapping.linear + BigInt(done), mapping.physical + done);
  }

  /** Number of tables in use. */
  get count(): number {
    return this.tables.length;
  }

  /** All tables, to be placed at {@link root}. */
  bytes(): Uint8Array {
    const out = new Uint8Array(this.tables.length * TABLE_BYTES);
    const view = new DataView(out.buffer);
    this.tables.forEach((table, i) => {
      table.forEach((entry, slot) => {
        view.setBigUint64(i * TABLE_BYTES + slot * 8, entry, true);
      });
    });
    return out;
  }

  private mapLeaf(mapping: Mapping, linear: bigint, physical: number): void {
    const leafLevel = LEAF_LEVEL[mapping.leaf];
    let table = this.tables[0];
    for (let level = 4; level > leafLevel; level--) table = this.next(table, slotOf(linear, level), linear);
    const slot = slotOf(linear, leafLevel);
    if (table[slot] !== 0n) throw new MappingError("CONFLICT", `0x${linear.toString(16)} is mapped already`);
    table[slot] =
      BigInt(physical) |
      PRESENT |
      (mapping.writable === false ? 0n : WRITABLE) |
      (mapping.user ? USER : 0n) |
      (leafLevel > 1 ? LARGE : 0n) |
      (mapping.encrypted ? ENCRYPTED : 0n) |
      (mapping.executable === false ? NO_EXECUTE : 0n);
  }

  /** The table that an entry points to, made when it is not there. Rights are left to the leaves. */
  private next(table: BigUint64Array, slot: number, linear: bigint): BigUint64Array {
    const entry = table[slot];
    if (entry & LARGE)
      throw new MappingError("CONFLICT", `0x${linear.toString(16)} is mapped already by a larger leaf`);
    if (entry !== 0n) return this.tables[(Number(entry & ADDRESS) - this.root) / TABLE_BYTES];
    const made = new BigUint64Array(512);
    table[slot] = BigInt(this.root + this.tables.length * TABLE_BYTES) | this.tableBits;
    this.tables.push(made);
    return made;
  }
}

function slotOf(linear: bigint, level: number): number {
  return Number((linear >> BigInt(12 + 9 * (level - 1))) & 511n);
}
