import { readFile } from "node:fs/promises";
import { basename, dirname, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ProcessorProfile } from "@hyperwalk/cpu";
import * as sdk from "@hyperwalk/guest-sdk";
import { sha256Hex } from "@hyperwalk/xen";
import { isProfilePath, machineById } from "../cli/machine.js";
import { UsageError } from "../cli/usage-error.js";
import { elfGuest, GUEST_OPERATIONS, type Guest } from "../guest.js";
import { BUILT_IN_GUESTS, operationLoopGuest, programGuest } from "../guest-catalogue.js";
import { type ParsedScenario, parseScenario } from "../scenario/parse-scenario.js";
import type { Scenario, ScenarioGuest } from "../scenario/scenario.js";
import type { ScenarioParts } from "../scenario/scenario-request.js";
import { DEFAULT_WARM_UP } from "../scenario/scenario-schema.js";
import { TOOL } from "../tool.js";

/** Reads and checks a scenario file. @throws UsageError when it cannot be read @throws ScenarioError when it is none */
export async function readScenario(path: string): Promise<{ parsed: ParsedScenario; text: string }> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(
      "argument <scenario>",
      `"${path}" cannot be read (${errorCode(error)})`,
      "the path of a scenario file; `hyperwalk init` writes one",
    );
  }
  return { parsed: parseScenario(text, path), text };
}

/** What scenario files name, from paths relative to a scenario's own; each is loaded once. */
export class ScenarioFiles implements ScenarioParts {
  private readonly folder: string;
  private readonly guests = new Map<string, Promise<Guest>>();

  /** @param file path of the scenario */
  constructor(file: string) {
    this.folder = dirname(resolve(file));
  }

  profile(idOrPath: string): Promise<ProcessorProfile> {
    const path = this.pathOf(idOrPath);
    return machineById("machine.profile", path ?? idOrPath);
  }

  guest(guest: ScenarioGuest): Promise<Guest> {
    const { name, elf, module, "operation-loop": loop, "warm-up": warmUp } = guest;
    const key = JSON.stringify([name, elf, module, loop, warmUp]);
    let found = this.guests.get(key);
    if (found === undefined) {
      found = this.load(guest);
      this.guests.set(key, found);
    }
    return found;
  }

  private async load({ name, elf, module, ...loop }: ScenarioGuest): Promise<Guest> {
    if (elf !== undefined) return elfGuest(basename(elf), await this.read(elf));
    if (module !== undefined) return guestOfModule(resolve(this.folder, module));
    if (name === undefined)
      return operationLoopGuest(loop["operation-loop"] ?? "", loop["warm-up"] ?? DEFAULT_WARM_UP);
    const builtIn = BUILT_IN_GUESTS.find((each) => each.name === name);
    if (builtIn === undefined)
      throw new Error(`no guest is called "${name}": ${BUILT_IN_GUESTS.map((each) => each.name).join(", ")}`);
    return builtIn;
  }

  /** SHA-256 of everything that decides the results of a scenario: the tool, the scenario, and the files that it names. */
  async identity(scenario: Scenario): Promise<string> {
    const { description: _text, ...decides } = scenario;
    const axes = scenario.sweep?.axes ?? {};
    const named = (key: string, own: string | undefined) =>
      [own, ...(axes[key] ?? [])].filter((each) => typeof each === "string");
    const { profile } = scenario.machine;
    const profiles = named("machine.profile", profile).flatMap((each) => this.pathOf(each) ?? []);
    const { elf, module } = scenario.guest;
    const guests = [...named("guest.elf", elf), ...named("guest.module", module)];
    const files = [...profiles, ...guests.map((each) => resolve(this.folder, each))];
    const digests = await Promise.all(files.map(async (file) => sha256Hex(await this.read(file))));
    return sha256Hex(new TextEncoder().encode(JSON.stringify([TOOL, decides, digests])));
  }

  private async read(path: string): Promise<Uint8Array> {
    try {
      return await readFile(resolve(this.folder, path));
    } catch (error) {
      throw new Error(`"${path}" cannot be read (${errorCode(error)})`);
    }
  }

  /** Names with a folder or an ending are files. */
  private pathOf(profile: string): string | undefined {
    return isProfilePath(profile) ? resolve(this.folder, profile) : undefined;
  }
}

/** The guest that a module exports as its default, or that such a function makes of the guest SDK. */
async function guestOfModule(path: string): Promise<Guest> {
  const what = "its default export is no guest of the SDK, and no function that returns one";
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
    if (typeof exported === "function") exported = await exported(sdk);
  } catch (error) {
    const [line] = String((error as Error).message ?? error).split("\n");
    throw new Error(`"${basename(path)}" (${extname(path)}) cannot be used: ${line}`);
  }
  if (!isProgram(exported)) throw new Error(`"${basename(path)}": ${what}`);
  return programGuest(exported, GUEST_OPERATIONS);
}

function isProgram(value: unknown): value is sdk.Guest {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as sdk.Guest).build === "function" &&
    typeof (value as sdk.Guest).name === "string"
  );
}

function errorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
