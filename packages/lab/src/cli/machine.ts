import { findProfile, PROFILES, type ProcessorProfile } from "@hyperwalk/cpu";
import { UsageError } from "./usage-error.js";

/** The profile with this id. @throws UsageError that lists the ids there are */
export function machineById(argument: string, id: string): ProcessorProfile {
  const machine = findProfile(id);
  if (!machine)
    throw new UsageError(argument, `there is no machine "${id}"`, PROFILES.map((each) => each.id).join(", "));
  return machine;
}
