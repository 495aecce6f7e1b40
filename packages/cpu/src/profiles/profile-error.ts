/** What is wrong with a profile, an override or its key. */
export type ProfileErrorCode = "UNKNOWN_KEY" | "OUT_OF_DOMAIN" | "INCONSISTENT_PROFILE";

/** A key that no profile has, a number that its unit does not allow, or a profile that contradicts itself. */
export class ProfileError extends Error {
  readonly code: ProfileErrorCode;
  /** Dotted path, e.g. `timing.ibpb` or `memory.l2Dtlb.0.ways`. */
  readonly key: string;
  readonly problem: string;
  /** What would have been accepted. */
  readonly allowed: string;

  constructor(code: ProfileErrorCode, key: string, problem: string, allowed: string) {
    super(`${key}: ${problem}; allowed: ${allowed}`);
    this.name = "ProfileError";
    this.code = code;
    this.key = key;
    this.problem = problem;
    this.allowed = allowed;
  }
}
