import type { ProcessorProfile } from "@hyperwalk/cpu";
import { sha256Hex } from "@hyperwalk/xen";

/** SHA-256 of a profile's data as JSON: profiles with the same one give the same results. */
export function profileHash(profile: ProcessorProfile): string {
  return sha256Hex(new TextEncoder().encode(JSON.stringify(profile)));
}
