/** The command line was wrong: names the argument and what is allowed. Ends the program with exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly argument: string;
  readonly allowed: string;

  /** @param found what is wrong with the argument's value */
  constructor(argument: string, found: string, allowed: string) {
    super(`${argument}: ${found}; allowed: ${allowed}`);
    this.argument = argument;
    this.allowed = allowed;
  }
}
