/** A run has no such part to trace: names the part of the request, what is wrong with it and what is allowed. */
export class TraceError extends RangeError {
  override readonly name = "TraceError";
  readonly key: "guest" | "part" | "call";
  readonly problem: string;
  readonly allowed: string;

  constructor(key: TraceError["key"], problem: string, allowed: string) {
    super(`${key}: ${problem}; allowed: ${allowed}`);
    this.key = key;
    this.problem = problem;
    this.allowed = allowed;
  }
}
