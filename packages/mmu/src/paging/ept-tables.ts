import { Ept } from "./pte.js";
import { RadixTables } from "./radix-tables.js";
import type { TableMemoryOptions } from "./table-memory.js";

/**
 * Intel extended page tables. Attributes are {@link Ept} bits; a leaf with any permission and memory type 0 (which would
 * be uncacheable) keeps what it is given.
 */
export class EptTables extends RadixTables {
  constructor(options: TableMemoryOptions, levels: 4 | 5 = 4) {
    super(options, levels);
  }

  protected isPresent(lo: number): boolean {
    return (lo & Ept.All) !== 0;
  }

  protected tableAttributes(_level: number): number {
    return Ept.All;
  }
}
