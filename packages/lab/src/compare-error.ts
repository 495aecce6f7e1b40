/** A comparison that cannot be made: names the part of the request, what is wrong with it and what is allowed. */
export class CompareError extends RangeError {
  override readonly name = "CompareError";
  /** Key of the request. */
  readonly key: "operation" | "abis" | "hosts" | "monitor" | "confidential";
  readonly problem: string;
  readonly allowed: string;

  constructor(key: CompareError["key"], problem: string, allowed: string) {
    super(`${key}: ${problem}; allowed: ${allowed}`);
    this.key = key;
    this.problem = problem;
    this.allowed = allowed;
  }
}
