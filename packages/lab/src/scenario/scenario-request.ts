import { type ProcessorProfile, ProfileError } from "@hyperwalk/cpu";
import { GuestSourceError } from "@hyperwalk/guest-sdk";
import {
  applyPrices,
  type FastForwardTarget,
  type PricedMachine,
  parseEpt,
  parseSpecCtrl,
  type XenConfig,
  XenConfigError,
} from "@hyperwalk/xen";
import { type CompareRequest, comparedPlaces } from "../compare.js";
import { CompareError } from "../compare-error.js";
import type { Guest } from "../guest.js";
import { ABIS } from "../result.js";
import type { ScenarioSource } from "./parse-scenario.js";
import type { Scenario, ScenarioGuest } from "./scenario.js";
import { ScenarioError } from "./scenario-error.js";

/** What a scenario names, from wherever it is kept: files on the command line, what a page has loaded in a browser. */
export interface ScenarioParts {
  /** @throws PartError when there is no such profile @throws FileError for what is wrong with a profile file */
  profile(idOrPath: string): Promise<ProcessorProfile>;
  /** @throws PartError when there is no such guest @throws GuestSourceError when it cannot be made */
  guest(guest: ScenarioGuest): Promise<Guest>;
}

/** Something that a scenario names is not there, or is not what it should be. */
export class PartError extends Error {
  override readonly name = "PartError";
  readonly code = "SCENARIO_PART";
  readonly problem: string;
  /** What would have been accepted. */
  readonly allowed: string;

  constructor(problem: string, allowed: string) {
    super(`${problem}; allowed: ${allowed}`);
    this.problem = problem;
    this.allowed = allowed;
  }
}

/** Scenario keys that parts of a comparison's request come from. */
const KEY_OF_REQUEST: Readonly<Record<CompareError["key"], string>> = {
  operation: "guest.operation",
  abis: "interfaces",
  hosts: "host.kind",
  monitor: "host.monitor",
  confidential: "domain.confidential",
};

/**
 * What a scenario asks to be compared, checked so far as it can be without running.
 * @throws ScenarioError for values that this machine, guest or hypervisor does not take, and for parts that there are not
 * @throws FileError for what is wrong with a profile file
 */
export async function scenarioRequest(
  scenario: Scenario,
  parts: ScenarioParts,
  source: ScenarioSource,
): Promise<CompareRequest> {
  const { host, domain, guest: wanted, measure } = scenario;
  const plain = await named("machine.profile", source, () => parts.profile(scenario.machine.profile));
  const { profile: machine, prices } = priced(plain, scenario, source);
  const guest = await named("guest", source, () => parts.guest(wanted));
  const isOn = host.ibpb === "on";
  const request: CompareRequest = {
    guest,
    machine,
    prices,
    abis: scenario.interfaces === "all" ? (guest.abis ?? ABIS) : scenario.interfaces,
    hosts: host.kind,
    kvm: {
      ...(host.ibpb === "default" ? {} : { vmscape: isOn }),
      ...(host.monitor === "all" ? {} : { monitor: host.monitor }),
    },
    mitigations: {
      ...words("host.spec-ctrl", host["spec-ctrl"], source, (text) => parseSpecCtrl(text, machine)),
      ...words("host.ept", host.ept, source, (text) => parseEpt(text, machine)),
      ...(host.ibpb === "default" ? {} : { ibpbEntry: isOn }),
    },
    iterations: wanted.iterations,
    operation: wanted.operation,
    cmdline: wanted.cmdline,
    guestPage: wanted.page,
    p2mPage: domain["p2m-page"],
    mmioHandlers: domain["mmio-handlers"],
    memoryMiB: domain.memory,
    maxInstructions: measure["max-instructions"],
    fastForward: fastForward(measure["fast-forward"]),
    confidential: domain.confidential === "none" ? undefined : domain.confidential,
    window: measure.window,
    seed: scenario.seed,
  };
  try {
    comparedPlaces(request);
  } catch (error) {
    if (!(error instanceof CompareError)) throw error;
    throw refused(KEY_OF_REQUEST[error.key], source, error.problem, error.allowed);
  }
  return request;
}

function priced(
  profile: ProcessorProfile,
  { machine: { set } }: Scenario,
  source: ScenarioSource,
): PricedMachine {
  try {
    return applyPrices(profile, set);
  } catch (error) {
    if (!(error instanceof ProfileError)) throw error;
    const path = ["machine", "set", error.key];
    throw new ScenarioError(source.file, source.lineOf(path), path.join("."), error.problem, error.allowed);
  }
}

function words(
  key: string,
  text: string,
  source: ScenarioSource,
  parse: (text: string) => XenConfig,
): XenConfig {
  if (text === "") return {};
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof XenConfigError)) throw error;
    throw refused(key, source, `${error.key}: ${JSON.stringify(error.value)}`, error.allowed);
  }
}

function fastForward(text: string): FastForwardTarget | undefined {
  if (text === "no") return undefined;
  if (text === "marker") return { untilMarker: true };
  return text.startsWith("0x") ? { untilAddress: BigInt(text) } : { instructions: Number(text) };
}

async function named<T>(key: string, source: ScenarioSource, find: () => Promise<T>): Promise<T> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof PartError) throw refused(key, source, error.problem, error.allowed);
    if (error instanceof GuestSourceError)
      throw refused(key, source, error.problem, error.allowed ?? "a guest that can be built");
    throw error;
  }
}

function refused(key: string, source: ScenarioSource, problem: string, allowed: string): ScenarioError {
  return new ScenarioError(source.file, source.lineOf(key.split(".")), key, problem, allowed);
}
