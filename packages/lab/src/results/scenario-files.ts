import { readFile } from "node:fs/promises";
import { basename, dirname, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { findProfile, PROFILES, type ProcessorProfile } from "@hyperwalk/cpu";
import * as sdk from "@hyperwalk/guest-sdk";
import { sha256Hex } from "@hyperwalk/xen";
import { FileError } from "../file-error.js";
import { fileSystemReason } from "../file-system-reason.js";
import { elfGuest, GUEST_OPERATIONS, type Guest, imagesKept } from "../guest.js";
import { BUILT_IN_GUESTS, operationLoopGuest, programGuest } from "../guest-catalogue.js";
import { extendedFile } from "../profile-file/extended-file.js";
import { isProfilePath } from "../profile-file/profile-path.js";
import { parseProfile } from "../profile-file/read-profile.js";
import { profileHash } from "../profile-hash.js";
import type { Scenario, ScenarioGuest } from "../scenario/scenario.js";
import { PartError, type ScenarioParts } from "../scenario/scenario-request.js";
import { DEFAULT_WARM_UP } from "../scenario/scenario-schema.js";
import { TOOL } from "../tool.js";

/** What says which guest is meant. */
export type GuestSource = Pick<ScenarioGuest, "name" | "elf" | "module" | "operation-loop" | "warm-up">;

/** What scenario files name, from paths relative to a scenario's own; each is loaded once. */
export class ScenarioFiles implements ScenarioParts {
  private readonly folder: string;
  private readonly guests = new Map<string, Promise<Guest>>();

  /** @param file path of the scenario */
  constructor(file: string) {
    this.folder = dirname(resolve(file));
  }

  async profile(idOrPath: string): Promise<ProcessorProfile> {
    const machine = findProfile(idOrPath);
    if (machine !== undefined) return machine;
    const path = this.pathOf(idOrPath);
    if (path === undefined)
      throw new PartError(
        `there is no machine "${idOrPath}"`,
        `${PROFILES.map(({ id }) => id).join(", ")}, or the path of a profile file`,
      );
    return parseProfile(new TextDecoder().decode(await this.read(path)), path, extendedFile);
  }

  guest(guest: GuestSource): Promise<Guest> {
    const { name, elf, module, "operation-loop": loop, "warm-up": warmUp } = guest;
    const key = JSON.stringify([name, elf, module, loop, warmUp]);
    let found = this.guests.get(key);
    if (found === undefined) {
      found = this.load(guest).then((loaded) => imagesKept(loaded));
      this.guests.set(key, found);
    }
    return found;
  }

  private async load({ name, elf, module, ...loop }: GuestSource): Promise<Guest> {
    if (elf !== undefined) return elfGuest(basename(elf), await this.read(elf));
    if (module !== undefined) return guestOfModule(resolve(this.folder, module));
    if (name === undefined)
      return operationLoopGuest(loop["operation-loop"] ?? "", loop["warm-up"] ?? DEFAULT_WARM_UP);
    const builtIn = BUILT_IN_GUESTS.find((each) => each.name === name);
    if (builtIn === undefined)
      throw new PartError(
        `no guest is called "${name}"`,
        BUILT_IN_GUESTS.map((each) => each.name).join(", "),
      );
    return builtIn;
  }

  /** SHA-256 of everything that decides the results of a scenario: the tool, the scenario, and the files that it names. */
  async identity(scenario: Scenario): Promise<string> {
    const { description: _text, ...decides } = scenario;
    const axes = scenario.sweep?.axes ?? {};
    const named = (key: string, own: string | undefined) =>
      [own, ...(axes[key] ?? [])].filter((each) => typeof each === "string");
    const { profile } = scenario.machine;
    const profiles = named("machine.profile", profile).filter(isProfilePath);
    const { elf, module } = scenario.guest;
    const guests = [...named("guest.elf", elf), ...named("guest.module", module)];
    const digests = await Promise.all([
      ...profiles.map((each) => orNull(async () => profileHash(await this.profile(each)))),
      ...guests.map((each) => orNull(async () => sha256Hex(await this.read(each)))),
    ]);
    return sha256Hex(new TextEncoder().encode(JSON.stringify([TOOL, decides, digests])));
  }

  private async read(path: string): Promise<Uint8Array> {
    try {
      return await readFile(resolve(this.folder, path));
    } catch (error) {
      throw new PartError(`"${path}" cannot be read (${fileSystemReason(error)})`, "the path of a file");
    }
  }

  /** Names with a folder or an ending are files. */
  private pathOf(profile: string): string | undefined {
    return isProfilePath(profile) ? resolve(this.folder, profile) : undefined;
  }
}

/** A hash; `null` of what cannot be read, which points of a sweep may be left out for. */
async function orNull(hash: () => Promise<string>): Promise<string | null> {
  try {
    return await hash();
  } catch (error) {
    if (error instanceof PartError || error instanceof FileError) return null;
    throw error;
  }
}

const A_MODULE = "a module whose default export is a guest of the SDK, or a function that returns one";

/** The guest that a module exports as its default, or that such a function makes of the guest SDK. */
async function guestOfModule(path: string): Promise<Guest> {
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
    if (typeof exported === "function") exported = await exported(sdk);
  } catch (error) {
    const [line] = String((error as Error).message ?? error).split("\n");
    throw new PartError(`"${basename(path)}" (${extname(path)}) cannot be used: ${line}`, A_MODULE);
  }
  if (!isProgram(exported)) throw new PartError(`"${basename(path)}" exports no guest`, A_MODULE);
  return programGuest(buildable(exported, path), GUEST_OPERATIONS);
}

/** The guest, whose own code may fail when it is built. */
function buildable(guest: sdk.Guest, path: string): sdk.Guest {
  return {
    ...guest,
    build: (options) => {
      try {
        return guest.build(options);
      } catch (error) {
        if (error instanceof sdk.GuestSourceError) throw error;
        throw new PartError(
          `"${basename(path)}" cannot be built: ${error}`,
          "a guest whose code runs through",
        );
      }
    },
  };
}

function isProgram(value: unknown): value is sdk.Guest {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as sdk.Guest).build === "function" &&
    typeof (value as sdk.Guest).name === "string"
  );
}
