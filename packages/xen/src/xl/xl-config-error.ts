export type XlConfigErrorCode =
  | "syntax"
  | "unknown-key"
  | "duplicate-key"
  | "wrong-type"
  | "bad-value"
  | "missing-key";

/** A domain configuration file that cannot be used: where, which key, and what would have been accepted. */
export class XlConfigError extends Error {
  readonly code: XlConfigErrorCode;
  readonly file: string;
  /** From 1; the last line for a key that is missing. */
  readonly line: number;
  /** Empty where there is none yet. */
  readonly key: string;
  readonly allowed: string;

  constructor(code: XlConfigErrorCode, file: string, line: number, key: string, allowed: string) {
    super(`${file}:${line}: ${code}${key === "" ? "" : ` at ${key}`}; allowed: ${allowed}`);
    this.name = "XlConfigError";
    this.code = code;
    this.file = file;
    this.line = line;
    this.key = key;
    this.allowed = allowed;
  }
}
