import type { ReplacementPolicy } from "./replacement-policy.js";

/** A replacement policy from outside this package, in the place of a name in a profile. */
export interface OwnReplacement {
  /** Not one of the names that there are; part of what a snapshot must match. */
  readonly name: string;
  /** A fresh policy for one array, whose state nothing else shares. @param seed differs from array to array */
  readonly make: (seed: number) => ReplacementPolicy;
}

/** A policy that named a way that the set does not have. */
export class ReplacementError extends Error {
  readonly code = "REPLACEMENT";
  readonly policy: string;

  constructor(policy: string, message: string) {
    super(`replacement policy "${policy}": ${message}`);
    this.name = "ReplacementError";
    this.policy = policy;
  }
}

/** Somebody else's policy, with its answers looked at: a wrong one would be written past its set. */
export class CheckedReplacement implements ReplacementPolicy {
  readonly name: string;
  private readonly policy: ReplacementPolicy;

  constructor(name: string, policy: ReplacementPolicy) {
    this.name = name;
    this.policy = policy;
  }

  /** @throws ReplacementError for an answer that is no way of the set */
  victim(marks: Int32Array, first: number, ways: number, stride: number): number {
    const way = this.policy.victim(marks, first, ways, stride);
    if (!Number.isInteger(way) || way < 0 || way >= ways)
      throw new ReplacementError(this.name, `victim ${way}; allowed: a way from 0 to ${ways - 1}`);
    return way;
  }

  renormalised(): void {
    this.policy.renormalised();
  }

  snapshot(): readonly number[] {
    return this.policy.snapshot();
  }

  restore(state: readonly number[]): void {
    this.policy.restore(state);
  }
}
