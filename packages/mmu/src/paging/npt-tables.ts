import { Pte } from "./pte.js";
import { RadixTables } from "./radix-tables.js";
import type { TableMemoryOptions } from "./table-memory.js";

/**
 * AMD nested page tables: the long-mode format over guest-physical addresses. Leaves get User, without which no guest
 * access is permitted (APM vol. 2, 15.25.5).
 */
export class NptTables extends RadixTables {
  constructor(options: TableMemoryOptions, levels: 4 | 5 = 4) {
    super(options, levels);
  }

  protected isPresent(lo: number): boolean {
    return (lo & Pte.Present) !== 0;
  }

  protected tableAttributes(_level: number): number {
    return Pte.Present | Pte.Write | Pte.User | Pte.Accessed;
  }

  protected override leafAttributes(attributes: number, level: number): number {
    const present = (attributes & Pte.Present) !== 0 ? attributes | Pte.User : attributes;
    return super.leafAttributes(present, level);
  }
}
