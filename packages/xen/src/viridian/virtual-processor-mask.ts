/** Formats of a processor set (HV_GENERIC_SET_*). */
const SPARSE_4K = 0;
const ALL = 1;
/** vCPUs that any domain may have here: the first bank alone names some. */
const WORDS_PER_BANK = 2;

/** The virtual processors that a call is about: of the 64 banks of 64 that a set can name, the first is all a domain has. */
export class VirtualProcessorMask {
  private lo = 0;
  private hi = 0;
  private firstBank = false;

  /** All. */
  fill(): void {
    this.set(-1, -1);
  }

  /** Processors 0 to 63 by bit. */
  set(lo: number, hi: number): void {
    this.lo = lo;
    this.hi = hi;
  }

  /**
   * A set, whose banks are still to come.
   * @returns how many banks there are to {@link take}; -1 for a format that does not exist
   */
  begin(formatLo: number, formatHi: number, banksLo: number, banksHi: number): number {
    if (formatHi !== 0 || (formatLo !== SPARSE_4K && formatLo !== ALL)) return -1;
    if (formatLo === ALL) {
      this.fill();
      return 0;
    }
    this.set(0, 0);
    this.firstBank = (banksLo & 1) !== 0;
    return bitsOf(banksLo) + bitsOf(banksHi);
  }

  /** The banks, tightly packed: only those that are valid are there. */
  take(banks: DataView): void {
    if (this.firstBank) this.set(banks.getInt32(0, true), banks.getInt32(4, true));
  }

  has(processor: number): boolean {
    if (processor >= 32 * WORDS_PER_BANK) return false;
    return (((processor < 32 ? this.lo : this.hi) >>> (processor & 31)) & 1) !== 0;
  }
}

function bitsOf(word: number): number {
  let bits = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) bits++;
  return bits;
}
