import type { Processor, ProcessorProfile } from "@hyperwalk/cpu";
import type { LedgerRow, LedgerSnapshot } from "@hyperwalk/mmu";
import type {
  ConfidentialKind,
  FastForward,
  FastForwardTarget,
  KvmConfig,
  ResolvedKvmConfig,
  StagePriceRecord,
  XenConfig,
} from "@hyperwalk/xen";
import type { AbiName, EstimateUsed, Mitigations, P2mPage } from "./result.js";

/** Running totals of one system; the difference of two gives a window's. */
export interface SystemCounters {
  readonly hypercalls: number;
  readonly hypervisorInstructions: number;
  readonly guestInstructions: number;
  readonly p2mLookups: number;
  readonly p2mTableReads: number;
  readonly guestPteReads: number;
  readonly bytesCopied: number;
}

/** The interval between two consecutive timestamp reads of the guest that held most hypercalls. */
export interface SystemWindow {
  /** Ledger cycles between the two reads. */
  readonly cycles: number;
  /** What the guest saw: the second timestamp less the first. */
  readonly tscDifference: number;
  readonly hypercalls: number;
  readonly counters: SystemCounters;
  readonly rows: readonly LedgerRow[];
}

/** How a system's run ended. */
export interface SystemOutcome {
  readonly reason: string;
  readonly shutdown?: string | undefined;
  readonly budget?: string | undefined;
  readonly rip: string;
  readonly detail?: string | undefined;
}

/** One hypercall: its number, `group.operation` as far as it is known, and what the guest got. */
export interface HypercallOutcome {
  readonly number: number;
  readonly operation: string | undefined;
  readonly result: number;
}

/** What a run asks of a simulated machine with a hypervisor and one guest on it; `XenSystem` is one. */
export interface SimulatedSystem {
  /** The configuration with every default decided. */
  readonly config: {
    /** Undefined under another hypervisor. */
    readonly xen?:
      | (Mitigations & {
          readonly debugBuild?: boolean;
          readonly execSp?: boolean;
          readonly pml?: boolean;
        })
      | undefined;
    /** Undefined but under KVM. */
    readonly kvm?: ResolvedKvmConfig | undefined;
    readonly domain: { readonly p2mPage: P2mPage; readonly mmioHandlers: number };
  };
  run(budget: { maxInstructions?: number; maxCycles?: number }): SystemOutcome;
  /** Runs with timing off. */
  fastForward(target: FastForwardTarget, budget: { maxInstructions?: number }): FastForward;
  /** Tells about every hypercall; only where results are counted. */
  on?(event: "hypercall", listener: (event: HypercallOutcome) => void): unknown;
  readonly console: string;
  readonly ledger: { rows(since?: LedgerSnapshot): LedgerRow[]; snapshot(): LedgerSnapshot };
  readonly window: SystemWindow | undefined;
  counters(): SystemCounters;
  estimates(): readonly (Omit<EstimateUsed, "range"> & {
    readonly range?: readonly [number, number] | null | undefined;
  })[];
}

/** What {@link SystemFactory} is given. */
export interface SystemOptions {
  readonly profile: ProcessorProfile;
  readonly xen: XenConfig;
  /** Watch the guest's time stamps; default true. */
  readonly measureWindow?: boolean | undefined;
  /** Of the profile, as it comes out of reset. */
  readonly processor: Processor;
  readonly domain: {
    readonly image: Uint8Array;
    readonly memoryBytes: number;
    readonly cmdline: string;
    readonly abi: AbiName;
    readonly p2mPage: P2mPage;
    readonly mmioHandlers: number;
    readonly confidential?: ConfidentialKind | undefined;
  };
  /** Of the hypervisor's code, by the keys of its estimates. */
  readonly prices?: StagePriceRecord | undefined;
}

/** Builds a fresh system; it may use its processor's host memory until the next one is asked for. */
export type SystemFactory = (options: SystemOptions) => SimulatedSystem;

/** The same under KVM. */
export type KvmSystemFactory = (
  options: Omit<SystemOptions, "xen"> & { readonly kvm: KvmConfig | undefined },
) => SimulatedSystem;
