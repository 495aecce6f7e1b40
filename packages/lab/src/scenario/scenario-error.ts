/** A scenario that cannot be run, with where the trouble is. Nothing else is thrown for what a scenario file says. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
  readonly code = "SCENARIO";
  readonly file: string;
  /** Line in the file, from 1; 0 when the trouble is the file as a whole. */
  readonly line: number;
  /** Dotted path of the offending key, e.g. `domain.p2m-page`; empty when there is none. */
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
