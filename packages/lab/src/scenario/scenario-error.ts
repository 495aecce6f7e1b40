import { FileError } from "../file-error.js";

/** A scenario that cannot be run. What is wrong with a profile file that it names is a `ProfileFileError`. */
export class ScenarioError extends FileError {
  override readonly name = "ScenarioError";
  readonly code = "SCENARIO";
}
