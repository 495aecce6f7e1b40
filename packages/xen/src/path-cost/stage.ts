import type { Basis } from "@hyperwalk/cpu";
import type { DomainLockName } from "../host/domain-locks.js";

/** A value that differs between vendors' code paths; a plain number serves both. */
export type PerVendor = number | { readonly amd: number; readonly intel: number };

/** Hypervisor objects that stages touch; each has a host-physical home in simulated memory. */
export type HostObject =
  | "stack" // per-CPU stack, offsets count down from the top: 0 is the cpu_info at its top
  | "vcpu" // struct vcpu
  | "domain" // struct domain
  | "percpu" // per-CPU data area
  | "vmcb" // VMCB or VMCS
  | "shared_info"
  | "runstate"
  | "vlapic"
  | "run" // KVM alone: the vCPU's `struct kvm_run`, which its monitor shares
  | "user" // KVM alone: what the monitor uses of its own memory
  | "data"; // read-mostly Xen data: tables, static keys, dispatch table

/** Distinct cache lines of an object that a stage touches, as byte offsets; later touches of a line are part of issue. */
export interface Touch {
  readonly object: HostObject;
  readonly offsets: readonly number[];
  readonly write?: boolean;
}

/**
 * One step of Xen's code and what it is made of. Instruction counts come from `facts` with their provenance; the
 * processor's timing model turns a stage into cycles. A stage is data beside the code it prices.
 */
export interface Stage {
  /** Xen's own name of the function or code sequence. */
  readonly name: string;
  /** Ledger phase that the stage is charged to. */
  readonly phase: string;
  /** Instructions retired, including the serialising ones listed below. */
  readonly instructions: PerVendor;
  /** Instructions that its code has, which decide the lines of text it fetches; default `instructions`, as without loops. */
  readonly codeInstructions?: number;
  /** Where the count is from and how far to trust it. */
  readonly basis: Basis;
  readonly source: string;
  /** For estimates: the interval for `instructions`. */
  readonly range?: readonly [number, number];
  /**
   * Distinct branch sites that a cold predictor gets wrong once, for code whose branches are known: loops, straight lines,
   * code that another stage has run. Default by the density that all stages rest on, one for 12 instructions (estimate).
   */
  readonly coldBranches?: PerVendor;
  /** Branches mispredicted on every execution even when warm. */
  readonly mispredicts?: number;
  readonly lfences?: PerVendor;
  /** Those of `lfences` that `spec-ctrl=no-lock-harden` removes (block_lock_speculation after a lock operation). */
  readonly lockLfences?: PerVendor;
  readonly atomics?: PerVendor;
  readonly vmreads?: PerVendor;
  readonly vmwrites?: PerVendor;
  readonly wrmsrSpecCtrl?: number;
  readonly ibpb?: number;
  readonly verw?: number;
  /** Other MSRs written and read. */
  readonly wrmsrs?: PerVendor;
  readonly rdmsrs?: PerVendor;
  /** Instructions priced as `timing.serialise`: XSETBV, VMLOAD, VMSAVE, XSAVES, SYSCALL and the like. */
  readonly serialising?: PerVendor;
  readonly movCr3s?: number;
  readonly cliSti?: number;
  readonly clgiStgi?: number;
  /** String instructions started (`rep movs` of a memcpy). */
  readonly strings?: number;
  readonly touches?: readonly Touch[];
  /** For an operation: the domain's lock that its code and its handler hold. */
  readonly lock?: DomainLockName;
  /** What a composed stage was summed from, see `composeStage`. */
  readonly parts?: readonly Stage[];
}

/** A vendor's share of a {@link PerVendor} value; nothing counts as zero. */
export function amountFor(value: PerVendor | undefined, vendor: "amd" | "intel"): number {
  if (value === undefined) return 0;
  return typeof value === "number" ? value : value[vendor];
}
