/**
 * Small numbers for EPT roots: cached translations are tagged with them, as hardware tags with EP4TA (bits 51:12 of the
 * EPT pointer; SDM vol. 3, 29.4.1). One of these belongs to each logical processor; whoever executes INVEPT needs the
 * same numbers.
 */
export class ExtendedPageTableTags {
  private readonly tags: Map<number, number> = new Map();

  /** @param rootFrame machine frame of the root table @returns its number, from 0 in order of first use */
  tagOf(rootFrame: number): number {
    const known = this.tags.get(rootFrame);
    if (known !== undefined) return known;
    const tag = this.tags.size;
    this.tags.set(rootFrame, tag);
    return tag;
  }

  /** Root frames in the order of their numbers. */
  snapshot(): readonly number[] {
    return [...this.tags.keys()];
  }

  restore(snapshot: readonly number[]): void {
    this.tags.clear();
    for (const frame of snapshot) this.tagOf(frame);
  }
}
