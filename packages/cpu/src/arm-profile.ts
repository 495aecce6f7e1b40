import type { MemoryProfile } from "@hyperwalk/mmu";
import type { Quantified, Quantity } from "./profile.js";
import { ProfileError } from "./profiles/profile-error.js";
import { allowedIn, outOfDomain } from "./profiles/quantity.js";
import type { ProfileEstimate } from "./resolve-profile.js";
import { collectQuantities, plainNumbers, replaceQuantities } from "./resolve-profile.js";

/** Prices of Arm instructions and events, in cycles; see `docs/model.md` for how they combine. */
export interface ArmTiming {
  /** Cycles an ordinary instruction takes when nothing stalls (1 / sustained IPC). */
  readonly issue: number;
  readonly branchMispredict: number;
  /** LDXR and STXR of one line that L1D holds, together: an atomic of Xen's, which uses no LSE instructions. */
  readonly exclusive: number;
  /** DMB ISH with nothing outstanding. */
  readonly dmb: number;
  /** DSB with nothing outstanding but stores of the last instructions. */
  readonly dsb: number;
  readonly isb: number;
  /** MRS of a system register such as PAR_EL1. */
  readonly sysregRead: number;
  /** MSR of a system register, without the ISB that makes it count. */
  readonly sysregWrite: number;
  /** AT over the TLB look-up and the walk that it starts, which are charged as they happen. */
  readonly at: number;
  /** TLBI on one processing element. */
  readonly tlbi: number;
  /** DSB ISH after a broadcast TLBI: until every processing element has answered. */
  readonly dsbAfterBroadcast: number;
  /** HVC from EL1 to EL2: pipeline drain, vector fetch. */
  readonly exceptionEntry: number;
  /** ERET to EL1. */
  readonly exceptionReturn: number;
}

/** One real Arm processor. Nested objects hold {@link Quantity} leaves. */
export interface ArmProfile {
  readonly id: string;
  readonly name: string;
  readonly frequency: Quantity;
  readonly timing: { readonly [K in keyof ArmTiming]: Quantity };
  /**
   * Memory side: the same shape as an x86 profile's. Paging-structure caches keep stage 1 (and, nested, stage 2) table
   * descriptors; their levels count from the page: 2 leads to a level 3 table, 4 to a level 1 table.
   */
  readonly memory: Quantified<MemoryProfile>;
  /** Smallest stage 2 page that is kept by intermediate physical address. */
  readonly ipaCacheSmallest: "4k" | "2m" | "1g";
}

/** An Arm profile as the models use it: plain numbers only. */
export interface ResolvedArmProfile {
  readonly id: string;
  readonly ghz: number;
  readonly timing: ArmTiming;
  readonly memory: MemoryProfile;
  readonly ipaCacheSmallest: "4k" | "2m" | "1g";
}

/** The plain numbers that the Arm model runs on. */
export function resolveArmProfile(profile: ArmProfile): ResolvedArmProfile {
  return {
    id: profile.id,
    ghz: profile.frequency.value,
    timing: plainNumbers(profile.timing) as ArmTiming,
    memory: plainNumbers(profile.memory) as MemoryProfile,
    ipaCacheSmallest: profile.ipaCacheSmallest,
  };
}

/** Every quantity of an Arm profile with its dotted path, in the profile's order. */
export function armProfileQuantities(profile: ArmProfile): readonly (readonly [string, Quantity])[] {
  const { frequency, timing, memory } = profile;
  return collectQuantities({ frequency, timing, memory });
}

/** The estimates among an Arm profile's numbers. */
export function armProfileEstimates(profile: ArmProfile): ProfileEstimate[] {
  return armProfileQuantities(profile)
    .filter(([, { basis }]) => basis === "estimate")
    .map(([key, { value, unit, range, source }]) => ({
      key,
      value,
      unit,
      range: range ?? [value, value],
      source,
    }));
}

/**
 * A copy with some numbers replaced, each an estimate from source "override".
 * @param overrides values by dotted path, e.g. `{ "timing.at": 40 }`
 * @throws {ProfileError} on a path that names no quantity, or a number outside its unit's domain
 */
export function withArmOverrides(
  profile: ArmProfile,
  overrides: Readonly<Record<string, number>>,
): ArmProfile {
  const known = new Map(armProfileQuantities(profile));
  for (const [key, value] of Object.entries(overrides)) {
    const quantity = known.get(key);
    if (quantity === undefined)
      throw new ProfileError(
        "UNKNOWN_KEY",
        key,
        "no such number in the profile",
        [...known.keys()].join(", "),
      );
    if (outOfDomain(value, quantity.unit))
      throw new ProfileError("OUT_OF_DOMAIN", key, `${value} ${quantity.unit}`, allowedIn(quantity.unit));
  }
  const { frequency, timing, memory } = profile;
  const replaced = replaceQuantities({ frequency, timing, memory }, overrides) as Pick<
    ArmProfile,
    "frequency" | "timing" | "memory"
  >;
  return { ...profile, ...replaced };
}
