import { FileError } from "../file-error.js";

/** A profile file that gives no machine. Nothing else is thrown for what such a file says. */
export class ProfileFileError extends FileError {
  override readonly name = "ProfileFileError";
  readonly code = "PROFILE_FILE";
}
