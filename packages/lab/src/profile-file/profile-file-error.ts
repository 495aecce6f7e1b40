/** A profile file that gives no machine, with where the trouble is. Nothing else is thrown for what such a file says. */
export class ProfileFileError extends Error {
  override readonly name = "ProfileFileError";
  readonly code = "PROFILE_FILE";
  readonly file: string;
  /** Line in the file, from 1; 0 when the trouble is the file as a whole. */
  readonly line: number;
  /** Dotted path of the offending key, e.g. `set.timing.ibpb.range`; empty when there is none. */
  readonly key: string;
  readonly problem: string;
  /** What would have been accepted. */
  readonly allowed: string;

  constructor(file: string, line: number, key: string, problem: string, allowed: string) {
    super(
      `${file}:${line === 0 ? "" : `${line}:`} ${key === "" ? "" : `${key}: `}${problem}; allowed: ${allowed}`,
    );
    this.file = file;
    this.line = line;
    this.key = key;
    this.problem = problem;
    this.allowed = allowed;
  }
}
