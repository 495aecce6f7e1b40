import {
  checkProfile,
  findProfile,
  overridden,
  PROFILES,
  type ProcessorProfile,
  ProfileError,
  type ProfileNumber,
  withNumbers,
} from "@hyperwalk/cpu";
import { problemOf } from "../schema-problem.js";
import { type FileSource, readYaml } from "../yaml-file.js";
import { ProfileFileError } from "./profile-file-error.js";
import { PROFILE_SCHEMA, type ProfileFile, type ProfileFileNumber } from "./profile-schema.js";

/** What a profile file gives: everything that is wrong with it, and a machine where that is not the file itself. */
export interface ProfileReading {
  /** Undefined where the file is not one, or has a key or a number that a profile does not have. */
  readonly profile: ProcessorProfile | undefined;
  /** In the order of the file. */
  readonly problems: readonly ProfileFileError[];
}

/** Finds a profile file that another one extends. @throws Error that says why it cannot */
export type ExtendedFile = (path: string, from: string) => { readonly file: string; readonly text: string };

const MOST_FILES = 16;

/**
 * Reads a profile file, YAML or JSON, and checks the machine that it describes.
 * @param file its name, for messages @param extended finds other files that it extends; without, it may extend none
 */
export function readProfile(text: string, file: string, extended?: ExtendedFile): ProfileReading {
  return read(text, [file], extended);
}

/** @param files the file, and before it those that extend it */
function read(text: string, files: readonly string[], extended?: ExtendedFile): ProfileReading {
  const file = files[files.length - 1];
  try {
    const { value, source } = readYaml(
      text,
      file,
      (line, problem, allowed) => new ProfileFileError(file, line, "", problem, allowed),
    );
    const result = PROFILE_SCHEMA.safeParse(value);
    if (result.success) return described(result.data, source, files, extended);
    const problems = result.error.issues.map((issue) => {
      const { path, problem, allowed } = problemOf(issue, value);
      return refused(source, path, problem, allowed);
    });
    return { profile: undefined, problems: inOrder(problems) };
  } catch (error) {
    if (error instanceof ProfileFileError) return { profile: undefined, problems: [error] };
    throw error;
  }
}

/**
 * The machine that a profile file describes.
 * @param file its name, for messages @param extended finds other files that it extends; without, it may extend none
 * @throws {ProfileFileError} for anything that is not a profile, or a machine that contradicts itself: the first problem
 */
export function parseProfile(text: string, file: string, extended?: ExtendedFile): ProcessorProfile {
  const { profile, problems } = readProfile(text, file, extended);
  if (profile === undefined || problems.length > 0) throw problems[0];
  return profile;
}

function described(
  { extends: base, id, name, set, defaults }: ProfileFile,
  source: FileSource,
  files: readonly string[],
  extended: ExtendedFile | undefined,
): ProfileReading {
  const problems: ProfileFileError[] = [];
  const found = baseOf(base, source, files, extended);
  if (found.problems.length > 0 || found.profile === undefined) return { ...found, profile: undefined };
  const own = found.profile;
  if (findProfile(id) !== undefined)
    problems.push(refused(source, ["id"], `"${id}" comes with the package`, `an id other than ${ids()}`));
  else if (id === own.id)
    problems.push(refused(source, ["id"], `"${id}" is what ${base} is called`, "an id of its own"));
  let profile: ProcessorProfile = {
    ...own,
    id,
    name,
    defaults: { ...own.defaults, ...given(defaults ?? {}) },
  };
  let isWhole = true;
  for (const [key, number] of Object.entries(set)) {
    const replacement = typeof number === "number" ? overridden(number) : provenance(number);
    try {
      profile = withNumbers(profile, { [key]: replacement });
    } catch (error) {
      if (!(error instanceof ProfileError)) throw error;
      isWhole = false;
      problems.push(refused(source, ["set", key], error.problem, error.allowed));
    }
  }
  for (const error of [...checkProfile(profile), ...checkDefaults(profile)]) {
    const path = error.key.startsWith("defaults.")
      ? error.key.split(".")
      : [
          "set",
          ...Object.keys(set)
            .filter((key) => concerns(error.key, key))
            .slice(-1),
        ];
    const key = path.length === 1 ? `${error.key}: ` : "";
    problems.push(refused(source, path, `${key}${error.problem}`, error.allowed));
  }
  return { profile: isWhole ? profile : undefined, problems: inOrder(problems) };
}

/** What a file extends: a profile of the package, or what another file says. */
function baseOf(
  base: string,
  source: FileSource,
  files: readonly string[],
  extended: ExtendedFile | undefined,
): ProfileReading {
  const own = findProfile(base);
  if (own !== undefined) return { profile: own, problems: [] };
  const refuse = (problem: string, allowed: string) => ({
    profile: undefined,
    problems: [refused(source, ["extends"], problem, allowed)],
  });
  if (extended === undefined) return refuse(`"${base}" is a file, and none is read here`, ids());
  let found: ReturnType<ExtendedFile>;
  try {
    found = extended(base, source.file);
  } catch (error) {
    return refuse((error as Error).message, `${ids()}, or the path of a profile file`);
  }
  if (files.includes(found.file)) return refuse(`"${base}" extends this file`, "a file that does not");
  if (files.length > MOST_FILES)
    return refuse(`${files.length} files extend each other`, `at most ${MOST_FILES}`);
  return read(found.text, [...files, found.file], extended);
}

function provenance({ range, ...number }: ProfileFileNumber): ProfileNumber {
  return range === undefined ? number : { ...number, range };
}

/** Whether a number is part of what a problem is about. */
function concerns(problem: string, key: string): boolean {
  return key === problem || key.startsWith(`${problem}.`);
}

/** Switches that this vendor's paths do not have. */
function checkDefaults({ vendor, defaults }: ProcessorProfile): ProfileError[] {
  if (vendor === "intel") return [];
  const wrong = (["bhbClear", "l1dFlush"] as const).filter((key) => defaults[key]);
  const found = wrong.map((key) => [key, true] as const);
  return [...found, ...(defaults.execSp ? [] : [["execSp", false] as const])].map(
    ([key, value]) =>
      new ProfileError(
        "INCONSISTENT_PROFILE",
        `defaults.${key}`,
        `${value} on a machine of AMD's`,
        String(!value),
      ),
  );
}

function given<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function refused(
  source: FileSource,
  path: readonly PropertyKey[],
  problem: string,
  allowed: string,
): ProfileFileError {
  return new ProfileFileError(source.file, source.lineOf(path), path.join("."), problem, allowed);
}

function inOrder(problems: readonly ProfileFileError[]): readonly ProfileFileError[] {
  return [...problems].sort((a, b) => a.line - b.line);
}

function ids(): string {
  return PROFILES.map(({ id }) => id).join(", ");
}
