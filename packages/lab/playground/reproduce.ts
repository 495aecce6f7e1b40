import { stringify } from "yaml";
import { eptOption, machineOf, specCtrlOption } from "./comparison.js";
import {
  DEFAULT_STATE,
  hostsOf,
  interfacesRun,
  numbersReplaced,
  operationRun,
  type PlaygroundState,
} from "./state.js";

/** What the scenario's file is called in command lines. */
const SCENARIO_FILE = "playground.yml";

/** The command line that gives the same comparison; replaced numbers go through the scenario's file, with a remark. */
export function commandLine(state: PlaygroundState): string {
  if (Object.keys(numbersReplaced(state)).length > 0)
    return `hyperwalk run ${SCENARIO_FILE}  # what stands below, as that file`;
  const machine = machineOf(state);
  const flags: (readonly [string, string, string])[] = [
    ["--machine", state.machine, DEFAULT_STATE.machine],
    ["--abi", interfacesRun(state).join(","), DEFAULT_STATE.interfaces.join(",")],
    ["--host", state.host, DEFAULT_STATE.host],
    ["--op", operationRun(state), DEFAULT_STATE.operation],
    ["--iterations", String(state.iterations), String(DEFAULT_STATE.iterations)],
    ["--guest-page", state.guestPage, DEFAULT_STATE.guestPage],
    ["--p2m-page", state.p2mPage, DEFAULT_STATE.p2mPage],
    ["--mmio-handlers", String(state.mmioHandlers), String(DEFAULT_STATE.mmioHandlers)],
    ["--ibpb", state.ibpb, DEFAULT_STATE.ibpb],
    ["--spec-ctrl", specCtrlOption(state, machine), ""],
    ["--ept", eptOption(state, machine), ""],
  ];
  const given = flags
    .filter(([, value, fallback]) => value !== fallback)
    .map(([flag, value]) => `${flag} ${value}`);
  return ["hyperwalk compare", state.guest, ...given].join(" ");
}

/** A scenario file that runs the same. */
export function scenarioYaml(state: PlaygroundState): string {
  const machine = machineOf(state);
  const set = numbersReplaced(state);
  const specCtrl = specCtrlOption(state, machine);
  const ept = eptOption(state, machine);
  return stringify({
    machine: { profile: state.machine, ...(Object.keys(set).length === 0 ? {} : { set }) },
    host: {
      kind: [...hostsOf(state)],
      ...(specCtrl === "" ? {} : { "spec-ctrl": specCtrl }),
      ...(ept === "" ? {} : { ept }),
      ...(state.ibpb === "default" ? {} : { ibpb: state.ibpb }),
    },
    domain: { "p2m-page": state.p2mPage, "mmio-handlers": state.mmioHandlers },
    guest: {
      name: state.guest,
      operation: operationRun(state),
      page: state.guestPage,
      iterations: state.iterations,
    },
    interfaces: [...interfacesRun(state)],
  });
}
