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
  constructor(code: GuestSourceError["code"], message: string) {
    super(message);
    this.name = "GuestSourceError";
    this.code = code;
  }
}
