import { FileError } from "../file-error.js";

/** Results of a sweep that cannot be read, gone on with, joined or written. */
export class ResultsError extends FileError {
  override readonly name = "ResultsError";
  readonly code = "RESULTS";
}
