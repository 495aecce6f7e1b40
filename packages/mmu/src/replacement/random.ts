import type { ReplacementPolicy } from "./replacement-policy.js";

/** Uniform choice from a seeded xorshift32 generator (Marsaglia 2003, shifts 13, 17, 5). */
export class RandomReplacement implements ReplacementPolicy {
  readonly name = "random";
  private readonly state = new Int32Array(1);

  /** @param seed any integer; 0 is replaced, because xorshift cannot leave it */
  constructor(seed: number) {
    this.state[0] = Math.imul(seed | 0, 0x9e3779b1) | 0 || 0x6d2b79f5;
  }

  victim(_marks: Int32Array, _first: number, ways: number, _stride: number): number {
    let x = this.state[0];
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state[0] = x;
    // The low bits of xorshift32 are its weakest.
    return (x >>> 8) % ways;
  }

  renormalised(): void {}

  snapshot(): readonly number[] {
    return [this.state[0]];
  }

  restore(state: readonly number[]): void {
    this.state[0] = state[0];
  }
}
