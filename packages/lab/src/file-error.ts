/** A file that says what cannot be used, with where the trouble is. */
export class FileError extends Error {
  readonly file: string;
  /** Line in the file, from 1; 0 when the trouble is the file as a whole. */
  readonly line: number;
  /** Dotted path of the offending key, e.g. `domain.p2m-page`; empty when there is none. */
  readonly key: string;
  readonly problem: string;
  /** All of these in words: the message without what is allowed. */
  readonly found: string;
  /** What would have been accepted. */
  readonly allowed: string;

  constructor(file: string, line: number, key: string, problem: string, allowed: string) {
    const found = `${file}:${line === 0 ? "" : `${line}:`} ${key === "" ? "" : `${key}: `}${problem}`;
    super(`${found}; allowed: ${allowed}`);
    this.found = found;
    this.file = file;
    this.line = line;
    this.key = key;
    this.problem = problem;
    this.allowed = allowed;
  }
}
