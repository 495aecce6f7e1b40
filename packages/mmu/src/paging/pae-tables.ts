import { Pte } from "./pte.js";
import { RadixTables } from "./radix-tables.js";
import type { TableMemoryOptions } from "./table-memory.js";

/** PAE tables: four PDPTEs at the start of the root frame, then page directories (4 KiB and 2 MiB pages). */
export class PaeTables extends RadixTables {
  constructor(options: TableMemoryOptions) {
    super(options, 3);
  }

  protected override get rootEntries(): number {
    return 4;
  }

  protected isPresent(lo: number): boolean {
    return (lo & Pte.Present) !== 0;
  }

  /** PDPTEs reserve the Write, User and Accessed bits (SDM vol. 3, table 4-8). */
  protected tableAttributes(level: number): number {
    return level === 3 ? Pte.Present : Pte.Present | Pte.Write | Pte.User | Pte.Accessed;
  }
}
