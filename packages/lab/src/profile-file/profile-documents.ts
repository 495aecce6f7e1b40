import { type ProcessorProfile, profileQuantities, type Quantity } from "@hyperwalk/cpu";

/** The numbers of a machine, x86 or Arm. */
export interface NamedNumbers {
  readonly id: string;
  readonly name: string;
  readonly vendor?: string;
  readonly defaults?: ProcessorProfile["defaults"];
  readonly numbers: readonly (readonly [string, Quantity])[];
}

/** A number with its key. */
export type KeyedQuantity = Quantity & { readonly key: string };

/** One machine in a list. */
export interface ProfileSummary {
  readonly id: string;
  readonly name: string;
  readonly vendor: string;
  readonly ghz: number;
  readonly numbers: number;
  readonly estimates: number;
}

/** Every number of a machine with its provenance. */
export interface ShownProfile extends Omit<NamedNumbers, "numbers"> {
  readonly numbers: readonly KeyedQuantity[];
}

/** What is wrong with a machine or the file that describes it. */
export interface ProfileCheck {
  /** Of a profile file. */
  readonly file?: string;
  readonly id: string | null;
  /** False for a file that is none: it lacks a key, or has one that there is not. */
  readonly isProfile: boolean;
  readonly problems: readonly {
    readonly line?: number;
    readonly key: string;
    readonly problem: string;
    readonly allowed: string;
  }[];
}

/** One number that two machines do not have in common; `null` on the side that has none. */
export interface ProfileDifference {
  readonly key: string;
  readonly a: Quantity | null;
  readonly b: Quantity | null;
}

/** What two machines differ in. */
export interface ProfileDiff {
  readonly a: { readonly id: string; readonly name: string };
  readonly b: { readonly id: string; readonly name: string };
  /** Numbers with another value, basis, range or source. */
  readonly numbers: readonly ProfileDifference[];
  /** Mitigations that are on for one of them. */
  readonly defaults: readonly { readonly key: string; readonly a: boolean; readonly b: boolean }[];
}

/** A machine in a few words. */
export function profileSummary(profile: ProcessorProfile): ProfileSummary {
  const numbers = profileQuantities(profile);
  const { id, name, vendor, frequency } = profile;
  const estimates = numbers.filter(([, { basis }]) => basis === "estimate").length;
  return { id, name, vendor, ghz: frequency.value, numbers: numbers.length, estimates };
}

/** A machine as a document. */
export function shownProfile({ numbers, ...machine }: NamedNumbers): ShownProfile {
  return { ...machine, numbers: numbers.map(([key, quantity]) => ({ key, ...quantity })) };
}

/** What two machines differ in, in the order of the first one's numbers, then what the second has alone. */
export function diffProfiles(a: NamedNumbers, b: NamedNumbers): ProfileDiff {
  const [own, other] = [new Map(a.numbers), new Map(b.numbers)];
  const keys = [...new Set([...own.keys(), ...other.keys()])];
  const numbers = keys
    .map((key) => ({ key, a: own.get(key) ?? null, b: other.get(key) ?? null }))
    .filter((each) => !isSame(each.a, each.b));
  return {
    a: { id: a.id, name: a.name },
    b: { id: b.id, name: b.name },
    numbers,
    defaults: differentDefaults(a.defaults, b.defaults),
  };
}

function isSame(a: Quantity | null, b: Quantity | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.value === b.value &&
    a.unit === b.unit &&
    a.basis === b.basis &&
    a.source === b.source &&
    String(a.range) === String(b.range)
  );
}

function differentDefaults(
  a: NamedNumbers["defaults"],
  b: NamedNumbers["defaults"],
): ProfileDiff["defaults"] {
  if (a === undefined || b === undefined) return [];
  const { note: _a, ...own } = a;
  const { note: _b, ...other } = b;
  return (Object.keys(own) as (keyof typeof own)[])
    .filter((key) => own[key] !== other[key])
    .map((key) => ({ key, a: own[key], b: other[key] }));
}
