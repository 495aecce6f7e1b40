/** What is wrong with an operation description. */
export type AbiErrorCode =
  | "syntax" // not YAML, or YAML that these files have no use for (aliases, tags, several documents)
  | "too-large"
  | "wrong-type"
  | "bad-number"
  | "bad-name"
  | "unknown-key"
  | "missing-key"
  | "unknown-register"
  | "register-used-twice"
  | "duplicate-index"
  | "unknown-type"
  | "unknown-errno"
  | "missing-struct"
  | "missing-field"
  | "bad-layout";

/** A description that cannot be used, with where the trouble is. Nothing else is ever thrown by the loader. */
export class AbiError extends Error {
  readonly code: AbiErrorCode;
  readonly file: string;
  /** Line in the file, from 1; 0 when the trouble is the file as a whole. */
  readonly line: number;
  /** Path of the offending key, for example `subops.send.input.port`. */
  readonly key: string;
  /** What would have been accepted. */
  readonly allowed: string;

  constructor(code: AbiErrorCode, file: string, line: number, key: string, allowed: string) {
    super(`${file}:${line}: ${code}${key === "" ? "" : ` at ${key}`}; allowed: ${allowed}`);
    this.name = "AbiError";
    this.code = code;
    this.file = file;
    this.line = line;
    this.key = key;
    this.allowed = allowed;
  }
}
