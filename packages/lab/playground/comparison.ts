import { checkProfile, findProfile, type ProcessorProfile } from "@hyperwalk/cpu";
import {
  applyPrices,
  isStagePrice,
  parseEpt,
  parseSpecCtrl,
  type StagePriceRecord,
  type XenConfig,
} from "@hyperwalk/xen";
import { ABIS, type CompareRequest, KVM_ABIS } from "hyperwalk";
import { specCtrlFor } from "./mitigations.js";
import {
  DEFAULT_STATE,
  guestOf,
  hostsOf,
  interfacesRun,
  numbersReplaced,
  operationRun,
  type PlaygroundState,
  possibleInterfaces,
} from "./state.js";
import { type DecodedState, SET_KEY, type StateProblem } from "./state-url.js";

/** The processor with its replaced numbers. @throws RangeError when there is no such profile */
export function machineOf(state: PlaygroundState): ProcessorProfile {
  const profile = findProfile(state.machine);
  if (profile === undefined) throw new RangeError(`machine.profile: there is no "${state.machine}"`);
  return applyPrices(profile, numbersReplaced(state)).profile;
}

/** Prices of the hypervisor's code that were replaced. */
function pricesOf(state: PlaygroundState): StagePriceRecord {
  return Object.fromEntries(Object.entries(numbersReplaced(state)).filter(([key]) => isStagePrice(key)));
}

/** Why a state cannot be run; empty when it can. */
export function obstacles(state: PlaygroundState): StateProblem[] {
  const run = interfacesRun(state);
  const found: StateProblem[] = [];
  if (run.length === 0)
    found.push({
      key: "interfaces",
      problem: `none that ${state.guest} can take under this hypervisor is chosen`,
      allowed: possibleInterfaces(state, ABIS).join(", "),
    });
  else if (hostsOf(state).includes("kvm") && !run.some((abi) => KVM_ABIS.includes(abi)))
    found.push({ key: "interfaces", problem: "KVM has none of those chosen", allowed: KVM_ABIS.join(", ") });
  for (const { key, problem, allowed } of checkProfile(machineOf(state)))
    found.push({ key: SET_KEY + key, problem: `${key}: ${problem}`, allowed });
  return found;
}

/** What a URL said, made such that it can be run: what cannot be goes back to its default, and the reason is kept. */
export function runnable({ state, problems }: DecodedState): DecodedState {
  const found = obstacles(state);
  if (found.length === 0) return { state, problems };
  const isRefused = (path: string): boolean =>
    found.some(({ key }) => key === SET_KEY + path || `${SET_KEY}${path}`.startsWith(`${key}.`));
  const set = Object.fromEntries(Object.entries(state.set).filter(([path]) => !isRefused(path)));
  const keepsInterfaces = !found.some(({ key }) => key === "interfaces");
  const repaired = {
    ...state,
    set,
    ...(keepsInterfaces ? {} : { interfaces: DEFAULT_STATE.interfaces }),
  };
  return { state: repaired, problems: [...problems, ...found] };
}

/** What a state asks `compare`. @param iterations fewer than the state's, for a first look */
export function requestOf(state: PlaygroundState, iterations: number = state.iterations): CompareRequest {
  const machine = machineOf(state);
  const { ibpb } = state;
  return {
    guest: guestOf(state),
    machine,
    abis: interfacesRun(state),
    hosts: hostsOf(state),
    kvm: ibpb === "default" ? {} : { vmscape: ibpb === "on" },
    iterations,
    operation: operationRun(state),
    guestPage: state.guestPage,
    p2mPage: state.p2mPage,
    mmioHandlers: state.mmioHandlers,
    ...(Object.keys(pricesOf(state)).length === 0 ? {} : { prices: pricesOf(state) }),
    mitigations: {
      ...xenWords(state, machine),
      ...(ibpb === "default" ? {} : { ibpbEntry: ibpb === "on" }),
    },
  };
}

/** As the command line parses `--spec-ctrl` and `--ept`. */
function xenWords(state: PlaygroundState, machine: ProcessorProfile): XenConfig {
  const specCtrl = specCtrlOption(state, machine);
  const ept = eptOption(state, machine);
  return {
    ...(specCtrl === "" ? {} : parseSpecCtrl(specCtrl, machine)),
    ...(ept === "" ? {} : parseEpt(ept, machine)),
  };
}

/** The text of `--spec-ctrl`; empty when Xen decides, or is not there. */
export function specCtrlOption(state: PlaygroundState, machine: ProcessorProfile): string {
  return state.host === "kvm" ? "" : specCtrlFor(machine, state.mitigations);
}

/** The text of `--ept`, likewise. */
export function eptOption({ host, execSp }: PlaygroundState, { vendor }: ProcessorProfile): string {
  if (host === "kvm" || vendor === "amd" || execSp === "default") return "";
  return execSp === "on" ? "exec-sp" : "no-exec-sp";
}
