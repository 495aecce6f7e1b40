import { findProfile, PROFILES, type ProcessorProfile } from "@hyperwalk/cpu";
import { FileError } from "../file-error.js";
import { isProfilePath } from "../profile-file/profile-path.js";
import { readText } from "./files.js";
import { UsageError } from "./usage-error.js";

/**
 * The profile with this id, or the one that a file describes.
 * @throws UsageError that lists the ids there are, or says what is wrong with the file
 */
export async function machineById(argument: string, idOrPath: string): Promise<ProcessorProfile> {
  const machine = findProfile(idOrPath);
  if (machine) return machine;
  if (!isProfilePath(idOrPath))
    throw new UsageError(
      argument,
      `there is no machine "${idOrPath}"`,
      `${PROFILES.map(({ id }) => id).join(", ")}, or the path of a profile file`,
    );
  const text = readText(argument, idOrPath);
  const { parseProfile } = await import("../profile-file/read-profile.js");
  const { extendedFile } = await import("../profile-file/extended-file.js");
  try {
    return parseProfile(text, idOrPath, extendedFile);
  } catch (error) {
    if (error instanceof FileError) throw new UsageError(argument, error.found, error.allowed);
    throw error;
  }
}
