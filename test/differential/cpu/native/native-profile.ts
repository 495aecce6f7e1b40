import type { ProcessorProfile } from "../../../../packages/cpu/src/profile.js";
import {
  epyc7763,
  epyc9124,
  sapphireRapids,
  skylakeSp,
} from "../../../../packages/cpu/src/profiles/index.js";
import { nativeFeatures, nativeVendor } from "./native-harness.js";

/**
 * The profile to compare this machine with: of its vendor, and like it with or without 57-bit addresses, which decide what
 * bases WRFSBASE and WRGSBASE take.
 */
export function nativeProfile(): ProcessorProfile {
  const wide = nativeFeatures().has("la57");
  if (nativeVendor() === "AuthenticAMD") return wide ? epyc9124 : epyc7763;
  return wide ? sapphireRapids : skylakeSp;
}
