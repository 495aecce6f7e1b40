import { accessSync, constants, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileSystemReason } from "../file-system-reason.js";
import { UsageError } from "./usage-error.js";

const A_FILE = "the path of a file";

/** A file's bytes. @param argument that names it @throws UsageError when it cannot be read */
export function readFile(argument: string, path: string, allowed: string = A_FILE): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(argument, `"${path}" cannot be read (${fileSystemReason(error)})`, allowed);
  }
}

/** A file's text, which is UTF-8. @param argument that names it @throws UsageError when it cannot be read */
export function readText(argument: string, path: string, allowed: string = A_FILE): string {
  return new TextDecoder().decode(readFile(argument, path, allowed));
}

/** Writes a file. @param argument that names it @throws UsageError when it cannot be written */
export function writeFile(argument: string, path: string, content: Uint8Array | string): void {
  try {
    writeFileSync(path, content);
  } catch (error) {
    throw unwritable(argument, path, error);
  }
}

/** That a file can be written later, before what takes long is begun. @throws UsageError when it cannot */
export function checkWritable(argument: string, path: string): void {
  try {
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory()) throw Object.assign(new Error(path), { code: "EISDIR" });
    accessSync(there === undefined ? dirname(path) : path, constants.W_OK);
  } catch (error) {
    throw unwritable(argument, path, error);
  }
}

/** That a file cannot be written, from what the file system said. */
export function unwritable(
  argument: string,
  path: string,
  error: unknown,
  allowed: string = A_FILE,
): UsageError {
  return new UsageError(argument, `"${path}" cannot be written (${fileSystemReason(error)})`, allowed);
}
