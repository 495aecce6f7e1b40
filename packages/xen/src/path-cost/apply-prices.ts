import { type ProcessorProfile, ProfileError, withOverrides } from "@hyperwalk/cpu";
import { allStages } from "./all-stages.js";
import { leavesOf } from "./compose.js";
import type { Stage } from "./stage.js";
import { BYTES, PER_COLD_BRANCH, STAGE_KEY, type StagePriceRecord } from "./stage-overrides.js";

/** More than any stage has; what its text takes still fits Xen's image. */
const MAX_INSTRUCTIONS = 100_000;
const MAX_PER_COLD_BRANCH = 1000;
/** Longest instruction that there is. */
const MAX_BYTES = 15;

/** Whether a key is the price of a stage, or of all; other keys are a profile's. */
export function isStagePrice(key: string): boolean {
  return key.startsWith(STAGE_KEY) || key.startsWith("stages.");
}

/**
 * Every key that `prices` of a system knows, in alphabetical order: a machine need not run all of these stages.
 * @param further stages of operations that came from outside
 */
export function stagePriceKeys(further: readonly Stage[] = []): readonly string[] {
  const names = [...allStages(), ...further].flatMap(leavesOf).map(({ name }) => STAGE_KEY + name);
  return [...new Set([...names, PER_COLD_BRANCH, BYTES])].sort();
}

/**
 * @param further stages of operations that came from outside
 * @throws {ProfileError} for a key that is no stage's, with those like it, or a number that its unit does not allow
 */
export function checkStagePrices(prices: StagePriceRecord, further: readonly Stage[] = []): void {
  const entries = Object.entries(prices);
  if (entries.length === 0) return;
  const keys = stagePriceKeys(further);
  for (const [key, value] of entries) {
    if (!keys.includes(key))
      throw new ProfileError("UNKNOWN_KEY", key, "no such price of the hypervisor's code", near(key, keys));
    const [isAllowed, allowed] = domainOf(key, value);
    if (!isAllowed) throw new ProfileError("OUT_OF_DOMAIN", key, String(value), allowed);
  }
}

function domainOf(key: string, value: number): readonly [boolean, string] {
  if (key === PER_COLD_BRANCH)
    return [value >= 1 && value <= MAX_PER_COLD_BRANCH, `a number from 1 to ${MAX_PER_COLD_BRANCH}`];
  if (key === BYTES) return [value >= 1 && value <= MAX_BYTES, `a number from 1 to ${MAX_BYTES}`];
  return [
    Number.isInteger(value) && value >= 0 && value <= MAX_INSTRUCTIONS,
    `a whole number of instructions from 0 to ${MAX_INSTRUCTIONS}`,
  ];
}

const MOST_NEAR = 12;

/** Keys that share a word with one that is not there; where none does, how to find them. */
function near(key: string, keys: readonly string[]): string {
  const words = (text: string) => text.toLowerCase().match(/[a-z0-9]{3,}/g) ?? [];
  const asked = words(key.slice(key.indexOf(".") + 1));
  const score = (each: string) => {
    const own = words(each).slice(1);
    return asked.filter((word) => own.some((other) => other.startsWith(word) || word.startsWith(other)))
      .length;
  };
  const found = keys
    .map((each) => ({ each, shared: score(each) }))
    .filter(({ shared }) => shared > 0)
    .sort((a, b) => b.shared - a.shared)
    .slice(0, MOST_NEAR)
    .map(({ each }) => each);
  return found.length > 0
    ? found.join("; ")
    : `${PER_COLD_BRANCH}, ${BYTES}, and stage.<name> as estimates list it`;
}

/** A machine and the prices of its hypervisor's code, for the options of those names. */
export interface PricedMachine {
  readonly profile: ProcessorProfile;
  readonly prices: StagePriceRecord;
}

/**
 * Numbers by the keys that estimates have, on a profile: those of stages apart, the others as `withOverrides` puts them there.
 * @param set e.g. `{ "timing.ibpb": 1200, "stage.hvm_hypercall": 90, "stages.bytesPerInstruction": 4.5 }`
 * @throws {ProfileError} for a key that is neither's, or a number outside its unit's domain
 */
export function applyPrices(profile: ProcessorProfile, set: Readonly<Record<string, number>>): PricedMachine {
  const entries = Object.entries(set);
  const prices = Object.fromEntries(entries.filter(([key]) => isStagePrice(key)));
  checkStagePrices(prices);
  return {
    profile: withOverrides(profile, Object.fromEntries(entries.filter(([key]) => !isStagePrice(key)))),
    prices,
  };
}
