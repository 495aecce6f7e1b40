import { findProfile, PROFILES, type ProcessorProfile } from "@hyperwalk/cpu";
import { readFile } from "./files.js";
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
  const text = new TextDecoder().decode(readFile(argument, idOrPath));
  const { readProfile } = await import("../profile-file/read-profile.js");
  const { profile, problems } = readProfile(text, idOrPath);
  if (profile !== undefined && problems.length === 0) return profile;
  const [{ message, allowed }] = problems;
  throw new UsageError(argument, message.slice(0, -`; allowed: ${allowed}`.length), allowed);
}

/** Whether an argument is the path of a profile file, and not an id: it has a folder or an ending. */
export function isProfilePath(idOrPath: string): boolean {
  return /[/\\]|\.(ya?ml|json)$/.test(idOrPath);
}
