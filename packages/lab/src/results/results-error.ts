/** Results of a sweep that cannot be read, gone on with or joined. */
export class ResultsError extends Error {
  override readonly name = "ResultsError";
  readonly code = "RESULTS";
  readonly file: string;
  /** From 1; 0 for the file as a whole. */
  readonly line: number;
  readonly allowed: string;

  constructor(file: string, line: number, problem: string, allowed: string) {
    super(`${file}:${line === 0 ? "" : `${line}:`} ${problem}; allowed: ${allowed}`);
    this.file = file;
    this.line = line;
    this.allowed = allowed;
  }
}
