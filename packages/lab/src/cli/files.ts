import { readFileSync, writeFileSync } from "node:fs";
import { UsageError } from "./usage-error.js";

/** A file's bytes. @param argument that names it @throws UsageError when it cannot be read */
export function readFile(argument: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(argument, `"${path}" cannot be read (${errorCode(error)})`, "the path of a file");
  }
}

/** Writes a file. @param argument that names it @throws UsageError when it cannot be written */
export function writeFile(argument: string, path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes);
  } catch (error) {
    throw unwritable(argument, path, error);
  }
}

/** That a file cannot be written, from what the file system said. */
export function unwritable(argument: string, path: string, error: unknown): UsageError {
  return new UsageError(argument, `"${path}" cannot be written (${errorCode(error)})`, "the path of a file");
}

function errorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
