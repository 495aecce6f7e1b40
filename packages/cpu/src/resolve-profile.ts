import type { MemoryProfile } from "@hyperwalk/mmu";
import type { CoreTiming, PredictorProfile, ProcessorProfile, Quantity, ResolvedProfile } from "./profile.js";
import { ProfileError } from "./profiles/profile-error.js";
import { allowedIn, outOfDomain } from "./profiles/quantity.js";

/** One number of a profile that rests on judgement, for the list that every result carries. */
export interface ProfileEstimate {
  /** Dotted path in the profile, e.g. `timing.ibpb`; what {@link withOverrides} takes. */
  readonly key: string;
  readonly value: number;
  readonly unit: Quantity["unit"];
  readonly range: readonly [number, number];
  readonly source: string;
}

/** The plain numbers that the models run on. */
export function resolveProfile(profile: ProcessorProfile): ResolvedProfile {
  return {
    id: profile.id,
    vendor: profile.vendor,
    ghz: profile.frequency.value,
    timing: plain(profile.timing) as CoreTiming,
    predictor: plain(profile.predictor) as PredictorProfile,
    memory: plain(profile.memory) as MemoryProfile,
    cpuid: profile.cpuid,
  };
}

/** Every quantity of a profile with its dotted path, in the profile's order. */
export function profileQuantities(profile: ProcessorProfile): readonly (readonly [string, Quantity])[] {
  const found: [string, Quantity][] = [];
  const { frequency, timing, predictor, memory } = profile;
  collect({ frequency, timing, predictor, memory }, "", found);
  return found;
}

/** The estimates among a profile's numbers, overridden ones included. */
export function profileEstimates(profile: ProcessorProfile): ProfileEstimate[] {
  return profileQuantities(profile)
    .filter(([, quantity]) => quantity.basis === "estimate")
    .map(([key, { value, unit, range, source }]) => ({
      key,
      value,
      unit,
      range: range ?? [value, value],
      source,
    }));
}

/**
 * A copy of the profile with some numbers replaced: each becomes an estimate from source "override" whose range is
 * the one number.
 * @param overrides values by dotted path, e.g. `{ "timing.ibpb": 1200, "memory.l2Dtlb.0.ways": 8 }`
 * @throws {ProfileError} on a path that names no quantity, or a number outside its unit's domain
 */
export function withOverrides(
  profile: ProcessorProfile,
  overrides: Readonly<Record<string, number>>,
): ProcessorProfile {
  return withNumbers(
    profile,
    Object.fromEntries(Object.entries(overrides).map(([key, value]) => [key, overridden(value)])),
  );
}

/** A number of a profile without its unit, which is that of the one in whose place it comes. */
export type ProfileNumber = Omit<Quantity, "unit">;

/** A number that was put in the place of another without saying where it is from. */
export function overridden(value: number): ProfileNumber {
  return { value, basis: "estimate", source: "override", range: [value, value] };
}

/**
 * A copy of the profile with some numbers replaced by others with their provenance.
 * @param numbers by dotted path
 * @throws {ProfileError} on a path that names no quantity, or a number outside its unit's domain
 */
export function withNumbers(
  profile: ProcessorProfile,
  numbers: Readonly<Record<string, ProfileNumber>>,
): ProcessorProfile {
  const known = new Map(profileQuantities(profile));
  for (const [key, { value }] of Object.entries(numbers)) {
    const quantity = known.get(key);
    if (quantity === undefined)
      throw new ProfileError(
        "UNKNOWN_KEY",
        key,
        "no such number in the profile",
        suggestions(key, [...known.keys()]),
      );
    if (outOfDomain(value, quantity.unit))
      throw new ProfileError("OUT_OF_DOMAIN", key, `${value} ${quantity.unit}`, allowedIn(quantity.unit));
  }
  const { frequency, timing, predictor, memory } = profile;
  const replaced = replace({ frequency, timing, predictor, memory }, "", numbers) as Pick<
    ProcessorProfile,
    "frequency" | "timing" | "predictor" | "memory"
  >;
  return { ...profile, ...replaced };
}

/** A tree of quantities as plain numbers. */
export function plainNumbers(tree: object): unknown {
  return plain(tree);
}

/** Every quantity of a tree with its dotted path, in the tree's order. */
export function collectQuantities(tree: object): readonly (readonly [string, Quantity])[] {
  const found: [string, Quantity][] = [];
  collect(tree, "", found);
  return found;
}

/** A tree with some of its numbers replaced by overrides, by dotted path. */
export function replaceQuantities(tree: object, overrides: Readonly<Record<string, number>>): unknown {
  const numbers = Object.entries(overrides).map(([key, value]) => [key, overridden(value)]);
  return replace(tree, "", Object.fromEntries(numbers));
}

function isQuantity(node: unknown): node is Quantity {
  return typeof node === "object" && node !== null && "basis" in node && "unit" in node;
}

function isNode(node: unknown): node is object {
  return typeof node === "object" && node !== null;
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function plain(node: unknown): unknown {
  if (isQuantity(node)) return node.value;
  if (Array.isArray(node)) return node.map(plain);
  if (!isNode(node)) return node;
  return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, plain(child)]));
}

function collect(node: unknown, path: string, into: [string, Quantity][]): void {
  if (isQuantity(node)) into.push([path, node]);
  else if (isNode(node))
    for (const [key, child] of Object.entries(node)) collect(child, join(path, key), into);
}

function replace(node: unknown, path: string, numbers: Readonly<Record<string, ProfileNumber>>): unknown {
  if (isQuantity(node)) {
    if (!Object.hasOwn(numbers, path)) return node;
    const { value, basis, source, range } = numbers[path];
    const { unit } = node;
    return { value, unit, basis, source, ...(range === undefined ? {} : { range }) } satisfies Quantity;
  }
  if (Array.isArray(node)) return node.map((child, i) => replace(child, join(path, String(i)), numbers));
  if (!isNode(node)) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, child]) => [key, replace(child, join(path, key), numbers)]),
  );
}

/** The keys of the same group, or the groups when not even that exists. */
function suggestions(key: string, known: readonly string[]): string {
  const group = key.slice(0, key.lastIndexOf(".") + 1);
  const near = group === "" ? [] : known.filter((name) => name.startsWith(group));
  return near.length > 0 ? near.join(", ") : known.join(", ");
}
