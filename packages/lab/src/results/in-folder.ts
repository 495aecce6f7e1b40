import { fileSystemReason } from "../file-system-reason.js";
import { ResultsError } from "./results-error.js";

/** Does something in a folder of results. @throws ResultsError for what the file system refuses */
export function inFolder<T>(directory: string, does: () => T): T {
  try {
    return does();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new ResultsError(
      directory,
      0,
      "",
      `it cannot be read or written (${fileSystemReason(error)})`,
      "a folder that can be",
    );
  }
}
