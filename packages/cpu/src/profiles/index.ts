import type { ProcessorProfile } from "../profile.js";
import { epyc7763 } from "./epyc-7763.js";
import { epyc9124 } from "./epyc-9124.js";
import { sapphireRapids } from "./sapphire-rapids.js";
import { skylakeSp } from "./skylake-sp.js";

export {
  overridden,
  type ProfileEstimate,
  type ProfileNumber,
  profileEstimates,
  profileQuantities,
  resolveProfile,
  withNumbers,
  withOverrides,
} from "../resolve-profile.js";
export { checkProfile } from "./check-profile.js";
export { epyc7763 } from "./epyc-7763.js";
export { epyc9124 } from "./epyc-9124.js";
export { Implemented, only } from "./implemented-features.js";
export { ARM_PROFILES, findArmProfile, neoverseN1 } from "./neoverse-n1.js";
export { ProfileError, type ProfileErrorCode } from "./profile-error.js";
export { allowedIn, derived, estimate, measured, outOfDomain, published, vendor } from "./quantity.js";
export { sapphireRapids } from "./sapphire-rapids.js";
export { skylakeSp } from "./skylake-sp.js";

/** All processors that come with the package. */
export const PROFILES: readonly ProcessorProfile[] = [epyc9124, epyc7763, skylakeSp, sapphireRapids];

/** @returns the profile with that id, or undefined */
export function findProfile(id: string): ProcessorProfile | undefined {
  return PROFILES.find((profile) => profile.id === id);
}
