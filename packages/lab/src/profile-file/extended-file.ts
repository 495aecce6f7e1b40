import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileSystemReason } from "../file-system-reason.js";
import type { ExtendedFile } from "./read-profile.js";

/** Finds what profile files extend, from the folder of each. @throws Error that says why a file cannot be read */
export const extendedFile: ExtendedFile = (path, from) => {
  const file = join(dirname(from), path);
  try {
    return { file, text: readFileSync(file, "utf8") };
  } catch (error) {
    throw new Error(`"${path}" cannot be read (${fileSystemReason(error)})`);
  }
};
