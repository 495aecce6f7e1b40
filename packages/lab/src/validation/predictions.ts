import type { XenConfig } from "@hyperwalk/xen";
import type { AbiName, GuestPage } from "../result.js";
import type { Experiments, LoopChoice } from "./experiments.js";
import type { LoopBodyName } from "./loop-bodies.js";

/** Hypervisor instructions of a call that nobody has counted on a real Xen, or not so. */
export interface PredictedCall {
  readonly call: string;
  /** Where the count of the operation's own part is from. */
  readonly ownPart: string;
  readonly svmLinear: number;
  readonly svmLinear2m: number;
  readonly svmPhysical: number;
  readonly vmxLinear: number;
  readonly vmxPhysical: number;
}

/** A copy whose address leads nowhere, against a call that copies nothing. */
export interface PredictedFault {
  readonly where: string;
  readonly lookups: number;
  readonly instructions: number;
}

export interface Predictions {
  readonly calls: readonly PredictedCall[];
  readonly faults: readonly PredictedFault[];
  /** Exits without a hypercall. */
  readonly exits: readonly { readonly exit: string; readonly svm: number; readonly vmx: number }[];
}

/** The domain of the first count. */
const HANDLERS = 5;
/** As Xen chooses on an updated EPYC 9124; SVM's VMCB and VMX's MSR lists do the rest. */
const XEN: XenConfig = { ibpbEntry: true, specCtrlWrite: false, l1dFlush: false };

const CALLS: readonly (readonly [body: LoopBodyName, call: string, ownPart: string])[] = [
  ["xen_version(get_features)", "xen_version(get_features): two copies", "estimate"],
  ["hvm_op(get_param)", "hvm_op(get_param): two copies", "estimate"],
  ["evtchn_op(status)", "evtchn_op(status): two copies", "estimate"],
  ["get_runstate_info", "get_runstate_info", "counted"],
  ["get_runstate_info across pages", "the same, struct across two pages", "counted"],
  ["evtchn_send", "evtchn_send, already pending", "counted"],
  ["evtchn_send across pages", "the same, struct across two pages", "counted"],
  ["multicall of get_time", "multicall of one get_time: three copies", "estimate, and counted"],
  ["multicall of two", "multicall of xen_version and is_up: four copies", "estimate, and counted"],
  ["XENMEM_memory_map", "XENMEM_memory_map, one entry: three copies", "estimate"],
];

const FAULTS: readonly (readonly [body: LoopBodyName, abi: AbiName, where: string])[] = [
  ["evtchn_send, nothing at entry 1", "linear", "linear: nothing at the first entry"],
  ["evtchn_send, nothing at entry 2", "linear", "linear: nothing at the second entry"],
  ["evtchn_send, nothing at entry 3", "linear", "linear: nothing at the third entry"],
  ["evtchn_send, nothing at entry 4", "linear", "linear: nothing at the fourth entry"],
  ["evtchn_send, beyond memory", "physaddr", "physical: beyond the domain's memory"],
];

const EXITS: readonly (readonly [body: LoopBodyName, exit: string])[] = [
  ["IN 0xe9", "a port that Xen answers"],
  ["CPUID(0)", "CPUID(0), counted"],
];

function choice(machine: string, body: LoopBodyName, abi: AbiName, guestPage: GuestPage = "4k"): LoopChoice {
  return { machine, body, abi, guestPage, mmioHandlers: HANDLERS, xen: XEN };
}

/** What the stages say of calls before anybody counts them. */
export function predictions(experiments: Experiments): Predictions {
  const [svm, vmx] = ["epyc-9124", "skylake-sp"];
  const instructions = (...args: Parameters<typeof choice>): number =>
    experiments.loop(choice(...args)).hypervisorInstructions;
  const unknown = experiments.loop(choice(svm, "unknown hypercall", "linear"));
  return {
    calls: CALLS.map(([body, call, ownPart]) => ({
      call,
      ownPart,
      svmLinear: instructions(svm, body, "linear"),
      svmLinear2m: instructions(svm, body, "linear", "2m"),
      svmPhysical: instructions(svm, body, "physaddr"),
      vmxLinear: instructions(vmx, body, "linear"),
      vmxPhysical: instructions(vmx, body, "physaddr"),
    })),
    faults: FAULTS.map(([body, abi, where]) => {
      const found = experiments.loop(choice(svm, body, abi));
      return {
        where,
        lookups: found.p2mLookups,
        instructions: found.hypervisorInstructions - unknown.hypervisorInstructions,
      };
    }),
    exits: EXITS.map(([body, exit]) => ({
      exit,
      svm: instructions(svm, body, "linear"),
      vmx: instructions(vmx, body, "linear"),
    })),
  };
}
