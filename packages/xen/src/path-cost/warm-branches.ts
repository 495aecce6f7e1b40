/** State in which no part's branches are known to the predictor. */
export const ALL_COLD = 0;

/**
 * Which parts of stages ran since the predictor was emptied, as numbered sets: the same calls after the same barrier
 * lead through the same numbers, so that what a stage pays in each is worked out once.
 */
export class WarmBranches {
  private readonly sets: (readonly number[])[] = [[]];
  private readonly numbers = new Map<string, number>([["", ALL_COLD]]);

  /** Sets known so far, `ALL_COLD` among them. */
  get size(): number {
    return this.sets.length;
  }

  /** Parts in a set, in ascending order. */
  partsOf(set: number): readonly number[] {
    return this.sets[set];
  }

  /** Parts among `parts` that are still cold. */
  coldIn(set: number, parts: readonly number[]): readonly number[] {
    return parts.filter((part) => !this.sets[set].includes(part));
  }

  /** Number of the set with more parts in it. */
  with(set: number, parts: readonly number[]): number {
    const members = [...new Set([...this.sets[set], ...parts])].sort((a, b) => a - b);
    const key = members.join();
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    this.numbers.set(key, this.sets.length);
    return this.sets.push(members) - 1;
  }

  /** Forgets all sets but one, and returns its new number. */
  keepOnly(set: number): number {
    const members = this.sets[set];
    this.sets.length = 1;
    this.numbers.clear();
    this.numbers.set("", ALL_COLD);
    return this.with(ALL_COLD, members);
  }
}
