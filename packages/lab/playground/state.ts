import { findProfile, profileQuantities } from "@hyperwalk/cpu";
import { isStagePrice } from "@hyperwalk/xen";
import {
  type AbiName,
  BUILT_IN_GUESTS,
  COMPARED_ABIS,
  DEFAULT_ITERATIONS,
  DEFAULT_MMIO_HANDLERS,
  type Guest,
  type GuestOperation,
  type GuestPage,
  type HostName,
  KVM_ABIS,
  type P2mPage,
} from "hyperwalk";
import type { MitigationChoices } from "./mitigations.js";

/** Hypervisors that a guest is run under, in a scenario's words. */
export const HOST_KINDS = ["xen", "kvm", "xen,kvm"] as const;
export type HostKind = (typeof HOST_KINDS)[number];

/** A switch that the hypervisor sets as it finds right on the machine, unless it is told. */
export const SWITCHES = ["default", "on", "off"] as const;
export type Switch = (typeof SWITCHES)[number];

/** By what the bars of the chart are divided. */
export const CHART_PARTS = ["phase", "cause"] as const;
export type ChartParts = (typeof CHART_PARTS)[number];

/** Hypercalls in the measured loop that can be chosen: powers of two, so that figures per call are exact. */
export const ITERATIONS = [256, 1024, 4096, 16384, 65536, 262144] as const;

/** What a reader has chosen. Keys of the URL, which are those of a scenario, stand beside each. */
export interface PlaygroundState {
  /** `machine.profile` */
  readonly machine: string;
  /** `machine.set.…`: numbers of the profile that were replaced, by dotted path. */
  readonly set: Readonly<Record<string, number>>;
  /** `host.kind` */
  readonly host: HostKind;
  /** `host.ibpb`: IBPB on each exit, under KVM on each to user space. */
  readonly ibpb: Switch;
  /** `host.spec-ctrl` */
  readonly mitigations: MitigationChoices;
  /** `host.ept`: executable superpages of the second stage. */
  readonly execSp: Switch;
  /** `domain.p2m-page` */
  readonly p2mPage: P2mPage;
  /** `domain.mmio-handlers` */
  readonly mmioHandlers: number;
  /** `guest.name` */
  readonly guest: string;
  /** `guest.operation` */
  readonly operation: GuestOperation;
  /** `guest.page` */
  readonly guestPage: GuestPage;
  /** `guest.iterations` */
  readonly iterations: number;
  /** `interfaces` */
  readonly interfaces: readonly AbiName[];
  /** `chart` */
  readonly chart: ChartParts;
}

/** The state of a URL that says nothing: what `hyperwalk compare hypercall-bench` runs. */
export const DEFAULT_STATE: PlaygroundState = {
  machine: "epyc-9124",
  set: {},
  host: "xen",
  ibpb: "default",
  mitigations: {},
  execSp: "default",
  p2mPage: "4k",
  mmioHandlers: DEFAULT_MMIO_HANDLERS,
  guest: "hypercall-bench",
  operation: "get_runstate_info",
  guestPage: "4k",
  iterations: DEFAULT_ITERATIONS,
  interfaces: COMPARED_ABIS,
  chart: "phase",
};

/** The guest that is run. @throws RangeError when there is none of that name */
export function guestOf(state: PlaygroundState): Guest {
  const guest = BUILT_IN_GUESTS.find((each) => each.name === state.guest);
  if (guest === undefined) throw new RangeError(`guest.name: there is no guest "${state.guest}"`);
  return guest;
}

export function hostsOf({ host }: PlaygroundState): readonly HostName[] {
  return host === "xen,kvm" ? ["xen", "kvm"] : [host];
}

/** Interfaces that this guest can take under this hypervisor. */
export function possibleInterfaces(state: PlaygroundState, all: readonly AbiName[]): readonly AbiName[] {
  const { abis } = guestOf(state);
  return all.filter(
    (abi) => abis?.includes(abi) !== false && (state.host !== "kvm" || KVM_ABIS.includes(abi)),
  );
}

/** Interfaces that are run: those chosen that are possible. */
export function interfacesRun(state: PlaygroundState): readonly AbiName[] {
  return possibleInterfaces(state, state.interfaces);
}

/** The operation that is called: the one chosen, else what the guest calls. */
export function operationRun(state: PlaygroundState): GuestOperation {
  const { operations } = guestOf(state);
  return operations.includes(state.operation) ? state.operation : operations[0];
}

/** Replaced numbers that this machine's profile has, and those of the hypervisor's code. */
export function numbersReplaced(state: PlaygroundState): Readonly<Record<string, number>> {
  const profile = findProfile(state.machine);
  if (profile === undefined) return {};
  const known = new Set(profileQuantities(profile).map(([key]) => key));
  return Object.fromEntries(Object.entries(state.set).filter(([key]) => known.has(key) || isStagePrice(key)));
}
