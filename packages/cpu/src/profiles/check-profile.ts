import type { ProcessorProfile } from "../profile.js";
import { profileQuantities } from "../resolve-profile.js";
import { ProfileError } from "./profile-error.js";
import { allowedIn, outOfDomain } from "./quantity.js";

const LINE_BYTES = 64;

/**
 * Checks what every profile must satisfy: numbers in their domain, sources named, estimates with a range around the
 * value, ways that divide entries into a power of two of sets, latencies that grow with distance, CPUID rows of six
 * words whose vendor is the profile's.
 * @returns the problems found; empty when there are none
 */
export function checkProfile(profile: ProcessorProfile): ProfileError[] {
  return [...checkNumbers(profile), ...checkGeometry(profile), ...checkCpuid(profile)];
}

function problem(key: string, what: string, allowed: string): ProfileError {
  return new ProfileError("INCONSISTENT_PROFILE", key, what, allowed);
}

function checkNumbers(profile: ProcessorProfile): ProfileError[] {
  const found: ProfileError[] = [];
  for (const [key, { value, unit, basis, source, range }] of profileQuantities(profile)) {
    if (outOfDomain(value, unit))
      found.push(new ProfileError("OUT_OF_DOMAIN", key, `${value} ${unit}`, allowedIn(unit)));
    for (const end of range ?? [])
      if (outOfDomain(end, unit))
        found.push(new ProfileError("OUT_OF_DOMAIN", key, `range to ${end} ${unit}`, allowedIn(unit)));
    if (source.trim() === "") found.push(problem(key, "no source", "a manual, paper, dump or reasoning"));
    if (basis === "estimate" && range === undefined)
      found.push(problem(key, "an estimate without range", "a range"));
    if (range !== undefined && !(range[0] <= value && value <= range[1]))
      found.push(
        problem(key, `${value} outside its range ${range[0]}-${range[1]}`, "a range around the value"),
      );
  }
  return found;
}

function checkGeometry(profile: ProcessorProfile): ProfileError[] {
  const { memory } = profile;
  const found: ProfileError[] = [];
  const sets = (key: string, entries: number, ways: number): void => {
    const count = entries / ways;
    if (!Number.isInteger(count) || (count & (count - 1)) !== 0)
      found.push(problem(key, `${entries} entries in ${ways} ways`, "a power of two of whole sets"));
  };
  for (const name of ["l1i", "l1d", "l2", "l3"] as const)
    sets(`memory.${name}`, memory[name].bytes.value / LINE_BYTES, memory[name].ways.value);
  for (const name of [
    "l1Dtlb",
    "l1Itlb",
    "l2Dtlb",
    "l2Itlb",
    "pagingStructureCaches",
    "nestedPagingStructureCaches",
  ] as const)
    memory[name].forEach(({ entries, ways }, i) => {
      sets(`memory.${name}.${i}`, entries.value, ways.value);
    });
  sets("memory.nestedTlb", memory.nestedTlb.entries.value, memory.nestedTlb.ways.value);
  const latencies = [memory.l1d.latency, memory.l2.latency, memory.l3.latency, memory.dramLatency].map(
    (q) => q.value,
  );
  if (latencies.some((cycles, i) => i > 0 && cycles <= latencies[i - 1]))
    found.push(
      problem("memory", `latencies ${latencies.join(", ")}`, "each level slower than the one before"),
    );
  return found;
}

const VENDOR_WORDS = {
  amd: [0x6874_7541, 0x444d_4163, 0x6974_6e65],
  intel: [0x756e_6547, 0x6c65_746e, 0x4965_6e69],
} as const;

function checkCpuid(profile: ProcessorProfile): ProfileError[] {
  const found: ProfileError[] = [];
  const seen = new Set<string>();
  for (const row of profile.cpuid) {
    const key = `cpuid.${row[0].toString(16)}.${row[1]}`;
    if (seen.has(key)) found.push(problem(key, "given twice", "one row a leaf and subleaf"));
    seen.add(key);
    if (row.length !== 6 || row.some((word) => !Number.isInteger(word) || word < 0 || word > 0xffff_ffff))
      found.push(problem(key, row.join(", "), "six unsigned 32-bit words"));
  }
  const leaf0 = profile.cpuid.find((row) => row[0] === 0);
  const words = VENDOR_WORDS[profile.vendor];
  if (leaf0 === undefined || words.some((word, i) => leaf0[3 + i] !== word))
    found.push(problem("cpuid.0.0", "no or another vendor's string", profile.vendor));
  return found;
}
