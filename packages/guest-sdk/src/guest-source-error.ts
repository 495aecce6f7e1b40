/** A guest program that cannot be emitted; the message names the operation, value or limit concerned. */
export class GuestSourceError extends Error {
  readonly code:
    | "UNSUPPORTED_BY_ABI"
    | "REGISTERS_EXHAUSTED"
    | "RESULT_OVERWRITTEN"
    | "UNKNOWN_INPUT"
    | "UNKNOWN_OUTPUT"
    | "RELEASED"
    | "VALUE";
  /** What is wrong, in words. */
  readonly problem: string;
  /** What would have been accepted, where that can be listed. */
  readonly allowed: string | undefined;

  constructor(code: GuestSourceError["code"], problem: string, allowed?: string) {
    super(allowed === undefined ? problem : `${problem}; allowed: ${allowed}`);
    this.name = "GuestSourceError";
    this.code = code;
    this.problem = problem;
    this.allowed = allowed;
  }
}
