import type { Random } from "./random.js";

/** One kind of hostile input. */
export interface FuzzKind {
  readonly name: string;
  /** Errors that are answers. Any other one is a failure. */
  readonly typed: readonly (new (
    ...args: never[]
  ) => Error)[];
  /** One case: the same for the same numbers. @throws whatever shows that something is wrong */
  run(random: Random): void;
}

/** What a case found to be wrong that no error told of. */
export class FuzzFailure extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FuzzFailure";
  }
}

/** @throws FuzzFailure unless the condition holds */
export function check(condition: boolean, message: () => string): void {
  if (!condition) throw new FuzzFailure(message());
}
