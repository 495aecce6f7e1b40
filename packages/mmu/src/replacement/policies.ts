import type { Replacement, ReplacementName } from "../memory-profile.js";
import { LeastRecentlyUsed } from "./lru.js";
import { CheckedReplacement, ReplacementError } from "./own-replacement.js";
import { RandomReplacement } from "./random.js";
import type { ReplacementPolicy } from "./replacement-policy.js";
import { TreePlru } from "./tree-plru.js";

/** Every replacement policy a profile may name, by that name; `seed` matters to random ones only. */
export const REPLACEMENT_POLICIES: Readonly<Record<ReplacementName, (seed: number) => ReplacementPolicy>> = {
  lru: () => new LeastRecentlyUsed(),
  "tree-plru": () => new TreePlru(),
  random: (seed) => new RandomReplacement(seed),
};

/**
 * A fresh policy for one array.
 * @throws ReplacementError for one of the reader's own under a name that is taken, and a name that there is not
 */
export function makeReplacement(replacement: Replacement, seed: number): ReplacementPolicy {
  if (typeof replacement !== "string") {
    const { name, make } = replacement;
    if (Object.hasOwn(REPLACEMENT_POLICIES, name))
      throw new ReplacementError(name, "the name is taken by a policy of this package");
    return new CheckedReplacement(name, make(seed));
  }
  if (!Object.hasOwn(REPLACEMENT_POLICIES, replacement))
    throw new ReplacementError(
      replacement,
      `there is none; allowed: ${Object.keys(REPLACEMENT_POLICIES).join(", ")}`,
    );
  return REPLACEMENT_POLICIES[replacement](seed);
}
