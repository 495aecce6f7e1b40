import { Pte } from "./pte.js";
import { RadixTables } from "./radix-tables.js";
import type { TableMemoryOptions } from "./table-memory.js";

/** Page number (52 bits) of a 64-bit linear address, for the table editors. */
export function linearPage(address: bigint): number {
  return Number(BigInt.asUintN(64, address) >> 12n);
}

/**
 * Long-mode tables of 4 or 5 levels. Attributes are {@link Pte} bits; tables above a page get Present, Write, User and
 * Accessed, so that the leaf alone decides.
 */
export class LongModeTables extends RadixTables {
  constructor(options: TableMemoryOptions, levels: 4 | 5 = 4) {
    super(options, levels);
  }

  protected isPresent(lo: number): boolean {
    return (lo & Pte.Present) !== 0;
  }

  protected tableAttributes(_level: number): number {
    return Pte.Present | Pte.Write | Pte.User | Pte.Accessed;
  }

  protected override isHighHalf(page: number): boolean {
    return page >= 2 ** 52 - 256 * 512 ** (this.levels - 1) && page < 2 ** 52;
  }
}
