import type { ProcessorProfile } from "../profile.js";
import { epyc9124 } from "./epyc-9124.js";
import { skylakeSp } from "./skylake-sp.js";

export {
  type ProfileEstimate,
  profileEstimates,
  profileQuantities,
  resolveProfile,
  withOverrides,
} from "../resolve-profile.js";
export { checkProfile } from "./check-profile.js";
export { epyc9124 } from "./epyc-9124.js";
export { Implemented, only } from "./implemented-features.js";
export { ProfileError, type ProfileErrorCode } from "./profile-error.js";
export { allowedIn, derived, estimate, measured, outOfDomain, published, vendor } from "./quantity.js";
export { skylakeSp } from "./skylake-sp.js";

/** All processors that come with the package. */
export const PROFILES: readonly ProcessorProfile[] = [epyc9124, skylakeSp];

/** @returns the profile with that id, or undefined */
export function findProfile(id: string): ProcessorProfile | undefined {
  return PROFILES.find((profile) => profile.id === id);
}
