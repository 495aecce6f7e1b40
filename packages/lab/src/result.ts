import {
  type BhbSequence,
  type ConfidentialKind,
  HYPERCALL_ABIS,
  type HypercallAbiName,
  type ResolvedKvmConfig,
} from "@hyperwalk/xen";
import type { FastForwardResult } from "./fast-forward.js";

/** Hypercall interfaces that guests can be run through. */
export const ABIS: typeof HYPERCALL_ABIS = HYPERCALL_ABIS;
export type AbiName = HypercallAbiName;
/** Those that a comparison runs when it is not told which. */
export const COMPARED_ABIS: readonly AbiName[] = ["linear", "physaddr", "fastabi"];

/** Hypervisors that guests can be run under. */
export const HOSTS = ["xen", "kvm"] as const;
export type HostName = (typeof HOSTS)[number];
/** Interfaces that KVM's Xen emulation has. */
export const KVM_ABIS: readonly AbiName[] = ["linear"];

/** Leaf size of the guest's own page tables. */
export const GUEST_PAGES = ["4k", "2m"] as const;
export type GuestPage = (typeof GUEST_PAGES)[number];

/** Leaf size of the second stage (p2m). */
export const P2M_PAGES = ["4k", "2m", "1g"] as const;
export type P2mPage = (typeof P2M_PAGES)[number];

/** Speculation controls on Xen's paths, in the words of its `spec-ctrl=` option. */
export interface Mitigations {
  readonly ibpbEntry: boolean;
  readonly rsbOverwrite: boolean;
  readonly specCtrlWrite: boolean;
  readonly verw: boolean;
  readonly bhbClear: boolean;
  /** The sequence, where there is one. */
  readonly bhbSeq?: BhbSequence;
  readonly l1dFlush: boolean;
  /** LFENCE after lock operations (`CONFIG_SPECULATIVE_HARDEN_LOCK`). */
  readonly lockHarden: boolean;
}

/** How a guest's run ended. */
export interface RunExit {
  /** The guest asked to be powered off, rebooted or suspended. Anything else is a bad end. */
  readonly ok: boolean;
  readonly reason: string;
  /** What the guest asked for, when `reason` is `shutdown`. */
  readonly shutdown?: string;
  /** Which budget ran out, when `reason` is `budget`. */
  readonly budget?: string;
  readonly rip: string;
  /** Disassembly at RIP, or what else is known. */
  readonly detail?: string;
}

/** Cycles of one cause in one phase, per hypercall. */
export interface LedgerCell {
  readonly phase: string;
  readonly cause: string;
  readonly cyclesPerCall: number;
}

/** Events per hypercall in the measured window. */
export interface CountersPerCall {
  readonly hypervisorInstructionsPerCall: number;
  readonly p2mLookupsPerCall: number;
  readonly p2mTableReadsPerCall: number;
  readonly guestPteReadsPerCall: number;
  readonly guestInstructionsPerCall: number;
  readonly bytesCopiedPerCall: number;
}

/** How often the compared operation returned something in the whole run. */
export interface CallResult {
  /** A number, or a negative errno by its name: `-EFAULT`. */
  readonly result: string;
  readonly calls: number;
}

/** One guest run through one hypercall interface. */
export interface RunResult {
  /** The hypervisor; only in comparisons that asked for others than Xen. */
  readonly host?: HostName;
  readonly abi: AbiName;
  /** Iterations that the guest was asked for. */
  readonly iterations: number;
  /** `rdtsc`: between the two consecutive timestamp reads of the guest that held most hypercalls; `whole-run`: there were none. */
  readonly window: "rdtsc" | "whole-run";
  readonly windowCycles: number;
  readonly windowHypercalls: number;
  /** `windowCycles / windowHypercalls`; `null` when the guest made no hypercall. */
  readonly cyclesPerCall: number | null;
  readonly nsPerCall: number | null;
  /** The guest's own figure: what it printed, else the difference of the timestamps it read. `null` in a whole run. */
  readonly guestMeasuredCyclesPerCall: number | null;
  readonly guestMeasuredBy: "console" | "tsc" | null;
  readonly counters: CountersPerCall | null;
  /** Sums to `cyclesPerCall` (to `windowCycles` when there was no hypercall). */
  readonly ledger: readonly LedgerCell[];
  readonly console: string;
  readonly exit: RunExit;
  /** What the compared operation returned, most frequent first; only where whole interfaces or operations fail: of encrypted domains, and of a monitor that serves only some. */
  readonly results?: readonly CallResult[];
  /** What ran before the timed part, to which all figures above belong; only where one was asked for. */
  readonly fastForward?: FastForwardResult;
}

/** An estimated number that at least one run rests on. */
export interface EstimateUsed {
  readonly key: string;
  readonly value: number;
  readonly unit: string;
  readonly range: readonly [number, number] | null;
  readonly source: string;
}

/** The machine of a result. */
export interface MachineSettings {
  readonly id: string;
  readonly name: string;
  readonly vendor: string;
  readonly ghz: number;
  /** Of its profile, as JSON; only of one that is not as it comes with the package. */
  readonly sha256?: string;
  /**
   * Numbers that differ from the package's profile with this id, and prices of the hypervisor's code that are not the
   * package's, as `machine.set` of a scenario takes them; only where there are any.
   */
  readonly set?: Readonly<Record<string, number>>;
}

/** Everything that one comparison found: plain data, the same bytes for the same inputs. */
export interface CompareDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly machine: MachineSettings;
  readonly host: {
    /** Both, if guests ran under both. */
    readonly kind: "xen" | "kvm" | "xen,kvm";
    /** Xen's; all off where no guest ran under Xen. */
    readonly mitigations: Mitigations;
    /** Linux's switches and the monitor's; only where guests ran under KVM. */
    readonly kvm?: ResolvedKvmConfig;
    /** Superpages of the p2m may be executed from; only where there are such pages and they may not. */
    readonly execSp?: false;
    readonly p2mPage: P2mPage;
    readonly guestPage: GuestPage;
    readonly memoryMiB: number;
    /** How the domain is encrypted; only where it is. */
    readonly confidential?: ConfidentialKind;
    /** Device models in Xen that it asks on each copy to or from the guest. */
    readonly mmioHandlers: number;
    /** Where guests were run to with timing off, if they were: `marker`, instructions, or an address with 0x. */
    readonly fastForward?: string;
  };
  readonly guest: { readonly name: string; readonly operation: string; readonly cmdline: string };
  readonly runs: readonly RunResult[];
  readonly estimates: readonly EstimateUsed[];
}
