/** A 256-bit register of a local APIC: eight words of 32 vectors, one every 16 bytes of the page. */
export class VectorSet {
  private readonly words: Int32Array;
  private readonly at: number;
  /** Asked at every VM entry, mostly in vain: false while no vector can be set. */
  private mayHave = true;

  /** @param words the page's registers, one word each @param at index of the first of eight */
  constructor(words: Int32Array, at: number) {
    this.words = words;
    this.at = at;
  }

  /** Highest vector that is set, or -1. */
  get highest(): number {
    if (!this.mayHave) return -1;
    const { words, at } = this;
    for (let i = 7; i >= 0; i--) {
      const word = words[at + i];
      if (word !== 0) return 32 * i + 31 - Math.clz32(word);
    }
    this.mayHave = false;
    return -1;
  }

  /** The words were written by somebody else. */
  reread(): void {
    this.mayHave = true;
  }

  has(vector: number): boolean {
    return ((this.words[this.at + (vector >>> 5)] >>> (vector & 31)) & 1) !== 0;
  }

  set(vector: number): void {
    this.mayHave = true;
    this.words[this.at + (vector >>> 5)] |= 1 << (vector & 31);
  }

  clear(vector: number): void {
    this.words[this.at + (vector >>> 5)] &= ~(1 << (vector & 31));
  }
}
