/** VTLB_ENTRIES */
const ENTRIES = 13;
const EMPTY = -1;

/**
 * The virtual TLB of a shadow-paged vCPU (SHOPT_VIRTUAL_TLB): the latest translations from linear page to guest frame, with
 * the access that they were found for. Page number modulo 13 decides the place.
 */
export class VirtualTlb {
  private readonly pages = new Float64Array(ENTRIES).fill(EMPTY);
  private readonly frames = new Float64Array(ENTRIES);
  private readonly codes = new Int32Array(ENTRIES);

  /**
   * @param page linear address / 4096, unsigned @param code page-fault code of the access
   * @returns the guest frame, or -1; an entry serves accesses that ask for no more than the one it was made by
   */
  find(page: number, code: number): number {
    const at = page % ENTRIES;
    return this.pages[at] === page && (this.codes[at] & code) === code ? this.frames[at] : -1;
  }

  insert(page: number, frame: number, code: number): void {
    const at = page % ENTRIES;
    this.pages[at] = page;
    this.frames[at] = frame;
    this.codes[at] = code;
  }

  flush(): void {
    this.pages.fill(EMPTY);
  }

  snapshot(): Float64Array {
    return Float64Array.from([...this.pages, ...this.frames, ...this.codes]);
  }

  restore(values: Float64Array): void {
    this.pages.set(values.subarray(0, ENTRIES));
    this.frames.set(values.subarray(ENTRIES, 2 * ENTRIES));
    this.codes.set(values.subarray(2 * ENTRIES, 3 * ENTRIES));
  }
}

/** Number of a linear page, exact. */
export function pageOf(lo: number, hi: number): number {
  return (lo >>> 12) + (hi >>> 0) * 0x100000;
}
