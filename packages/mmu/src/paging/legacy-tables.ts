import { Pte } from "./pte.js";
import { TableEditError } from "./radix-tables.js";
import { TableMemory, type TableMemoryOptions } from "./table-memory.js";

/** 32-bit tables: 1024 entries of 4 bytes, two levels, 4 KiB pages and with PSE 4 MiB ones. */
export class LegacyTables {
  readonly rootFrame: number;
  private readonly tables: TableMemory;

  constructor(options: TableMemoryOptions) {
    this.tables = new TableMemory(options);
    this.rootFrame = options.rootFrame ?? this.tables.allocate();
  }

  /**
   * @param page linear page number, 0 to 2^20 - 1
   * @param frame 0 to 2^20 - 1; for 4m aligned to 1024 and up to 2^28 - 1 (PSE-36)
   * @param attributes {@link Pte} bits 11:0
   * @throws TableEditError when misaligned or out of range
   */
  map(page: number, frame: number, size: "4k" | "4m", attributes: number): void {
    const pde = this.directoryOffset(page);
    if (size === "4m") {
      if (page % 1024 !== 0 || frame % 1024 !== 0 || frame >= 2 ** 28)
        throw new TableEditError(
          `page 0x${page.toString(16)} and frame 0x${frame.toString(16)} do not fit a 4 MiB page`,
        );
      const high = Math.floor(frame / 0x100000);
      this.tables.write(
        this.rootFrame,
        pde,
        ((frame % 0x100000) << 12) | (high << 13) | (attributes & 0xfff) | Pte.PageSize,
      );
      return;
    }
    if (frame >= 0x100000)
      throw new TableEditError(`frame 0x${frame.toString(16)} does not fit a 32-bit entry`);
    let entry = this.tables.read(this.rootFrame, pde);
    if ((entry & Pte.Present) === 0) {
      entry = (this.tables.allocate() << 12) | Pte.Present | Pte.Write | Pte.User | Pte.Accessed;
      this.tables.write(this.rootFrame, pde, entry);
    } else if ((entry & Pte.PageSize) !== 0)
      throw new TableEditError(`page 0x${page.toString(16)} lies in a 4 MiB page: unmap it first`);
    this.tables.write(entry >>> 12, (page & 1023) * 4, (frame << 12) | (attributes & 0xfff));
  }

  /** Clears the 4 KiB entry or the 4 MiB page that maps a page; a hole stays a hole. */
  unmap(page: number): void {
    const pde = this.directoryOffset(page);
    const entry = this.tables.read(this.rootFrame, pde);
    if ((entry & Pte.Present) === 0) return;
    if ((entry & Pte.PageSize) !== 0) this.tables.write(this.rootFrame, pde, 0);
    else this.tables.write(entry >>> 12, (page & 1023) * 4, 0);
  }

  private directoryOffset(page: number): number {
    if (!Number.isInteger(page) || page < 0 || page >= 0x100000)
      throw new TableEditError(`page 0x${page.toString(16)} is outside a 32-bit address space`);
    return (page >>> 10) * 4;
  }
}
