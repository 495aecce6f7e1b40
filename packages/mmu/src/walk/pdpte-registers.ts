import type { TranslationContext } from "../translation-context.js";
import type { PageWalker } from "./page-walker.js";

/** Reserved in a present PDPTE, low word: bits 2:1 and 8:5 (SDM vol. 3, table 4-8). */
const RESERVED_LO = 0x1e6;

/** What loading the four PDPTE registers came to. */
export const PdpteLoad = { Loaded: 0, Reserved: 1, Fault: -1 } as const;

/** Loads the four PDPTE registers of PAE paging from memory (SDM vol. 3, 4.4.1). */
export class PdpteLoader {
  private readonly walker: PageWalker;
  private readonly loaded = new Float64Array(4);

  constructor(walker: PageWalker) {
    this.walker = walker;
  }

  /** @param i32 the arena's words @param cr3 its bits 31:5 locate the table @returns a {@link PdpteLoad} number */
  load(c: TranslationContext, i32: Int32Array, cr3: number): number {
    const reservedHi = 2 ** (c.physicalAddressBits - 32);
    let reserved = false;
    for (let i = 0; i < 4; i++) {
      const at = this.walker.readTable(cr3 >>> 12, (cr3 & 0xfe0) + i * 8);
      if (at < 0) return PdpteLoad.Fault;
      const lo = i32[at];
      const hi = i32[at + 1] >>> 0;
      const present = lo & 1;
      if (present !== 0 && ((lo & RESERVED_LO) !== 0 || hi >= reservedHi)) reserved = true;
      this.loaded[i] = (lo >>> 0) + present * hi * 0x100000000;
    }
    if (reserved) return PdpteLoad.Reserved;
    c.pdpte.set(this.loaded);
    return PdpteLoad.Loaded;
  }
}
