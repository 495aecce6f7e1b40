import {
  armProfileQuantities,
  checkProfile,
  findArmProfile,
  findProfile,
  PROFILES,
  type ProcessorProfile,
  profileQuantities,
  type Quantity,
} from "@hyperwalk/cpu";
import {
  diffProfiles,
  type NamedNumbers,
  type ProfileCheck,
  profileSummary,
  shownProfile,
} from "../profile-file/profile-documents.js";
import { isProfilePath } from "../profile-file/profile-path.js";
import { profileDiffTable, profileList, profileProblems, quantityTable } from "../report/profile.js";
import { readText } from "./files.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";

/** What all `profiles` commands can be asked. */
export interface ProfilesOptions {
  readonly json?: boolean;
}

/** `hyperwalk profiles list`: the machines there are. @returns the exit code */
export function profilesCommand({ json }: ProfilesOptions, output: Output): number {
  output.out(json ? document(PROFILES.map(profileSummary)) : `${profileList(PROFILES, output.paint)}\n`);
  return 0;
}

/**
 * `hyperwalk profiles show <id>`: every number of a machine, x86, Arm or of a file, with its provenance.
 * @returns the exit code
 */
export async function profilesShowCommand(
  id: string,
  { json }: ProfilesOptions,
  output: Output,
): Promise<number> {
  const { paint } = output;
  const found = await numbersOf("argument <id>", id);
  if (json) {
    output.out(document(shownProfile(found)));
    return 0;
  }
  output.out(`${paint.strong(found.name)} (${found.id})\n\n${quantityTable(found.numbers, paint)}\n`);
  if (found.defaults !== undefined) output.out(`\nMitigations that Xen turns on: ${found.defaults.note}\n`);
  return 0;
}

/** `hyperwalk profiles check <id>`: whether a machine holds together. @returns the exit code: 1 when it does not */
export async function profilesCheckCommand(
  id: string,
  { json }: ProfilesOptions,
  output: Output,
): Promise<number> {
  const checked = await check(id);
  if (json) output.out(document(checked));
  else output.out(`${profileProblems(checked, output.paint)}\n`);
  if (checked.problems.length === 0) return 0;
  return checked.isProfile ? 1 : 2;
}

/** `hyperwalk profiles diff <a> <b>`: numbers that differ, with both provenances. @returns the exit code */
export async function profilesDiffCommand(
  a: string,
  b: string,
  { json }: ProfilesOptions,
  output: Output,
): Promise<number> {
  const diff = diffProfiles(await numbersOf("argument <a>", a), await numbersOf("argument <b>", b));
  output.out(json ? document(diff) : `${profileDiffTable(diff, output.paint)}\n`);
  return 0;
}

async function check(idOrPath: string): Promise<ProfileCheck> {
  if (findProfile(idOrPath) === undefined && isProfilePath(idOrPath)) {
    const text = readText("argument <id>", idOrPath);
    const { readProfile } = await import("../profile-file/read-profile.js");
    const { extendedFile } = await import("../profile-file/extended-file.js");
    const { profile, problems } = readProfile(text, idOrPath, extendedFile);
    return {
      // What is wrong with a file that it extends is told of that one.
      file: problems[0]?.file ?? idOrPath,
      id: profile?.id ?? null,
      isProfile: profile !== undefined,
      problems: problems.map(({ line, key, problem, allowed }) => ({ line, key, problem, allowed })),
    };
  }
  const machine = await machineById("argument <id>", idOrPath);
  const problems = checkProfile(machine).map(({ key, problem, allowed }) => ({ key, problem, allowed }));
  return { id: machine.id, isProfile: true, problems };
}

async function numbersOf(argument: string, idOrPath: string): Promise<NamedNumbers> {
  const arm = findArmProfile(idOrPath);
  if (arm) return { id: arm.id, name: arm.name, numbers: armProfileQuantities(arm) };
  const machine: ProcessorProfile = await machineById(argument, idOrPath);
  const numbers: readonly (readonly [string, Quantity])[] = profileQuantities(machine);
  const { id, name, vendor, defaults } = machine;
  return { id, name, vendor, defaults, numbers };
}

function document(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
