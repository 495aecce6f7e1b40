/**
 * Chooses which way of a full set makes room. Arrays stamp a way with the {@link RecencyClock} whenever it is filled
 * or hit, whatever the policy, so that one store on the fast path is exact for every policy.
 *
 * Life cycle: one object an array; `victim` is asked only when every way of the set is valid, and its answer is then
 * refilled and stamped.
 */
export interface ReplacementPolicy {
  readonly name: string;
  /**
   * @param marks array that holds the stamps
   * @param first index of the stamp of way 0; way `w` has `marks[first + w * stride]`, 0 = never used
   * @returns way number, 0 to `ways - 1`
   */
  victim(marks: Int32Array, first: number, ways: number, stride: number): number;
  /** All stamps were replaced by smaller ones in the same order: forget any that were noted. */
  renormalised(): void;
  /** State beyond the stamps as plain data; empty for policies that have none. */
  snapshot(): readonly number[];
  restore(state: readonly number[]): void;
}
