import type { ReplacementName } from "../memory-profile.js";
import { LeastRecentlyUsed } from "./lru.js";
import { RandomReplacement } from "./random.js";
import type { ReplacementPolicy } from "./replacement-policy.js";
import { TreePlru } from "./tree-plru.js";

/** Every replacement policy a profile may name, by that name; `seed` matters to random ones only. */
export const REPLACEMENT_POLICIES: Readonly<Record<ReplacementName, (seed: number) => ReplacementPolicy>> = {
  lru: () => new LeastRecentlyUsed(),
  "tree-plru": () => new TreePlru(),
  random: (seed) => new RandomReplacement(seed),
};
