import type { Basis } from "@hyperwalk/cpu";

/** Hypervisor objects that stages touch; each has a home in simulated memory. */
export type ArmHostObject = "stack" | "vcpu" | "domain" | "percpu" | "data";

/** Distinct cache lines of an object that a stage touches, as byte offsets. */
export interface ArmTouch {
  readonly object: ArmHostObject;
  readonly offsets: readonly number[];
  readonly write?: boolean;
}

/**
 * One step of Xen's code on Arm and what it is made of. Nobody has counted these on a running Xen: instructions are read
 * from the source of Xen c447b7308b and are estimates; barriers, exclusives and system registers are written out there.
 */
export interface ArmStage {
  /** Xen's own name of the function or code sequence. */
  readonly name: string;
  /** Ledger phase that the stage is charged to. */
  readonly phase: string;
  /** Instructions retired, those with a price of their own included. */
  readonly instructions: number;
  readonly range: readonly [number, number];
  readonly basis: Basis;
  readonly source: string;
  /** Which form of the hypercall runs it, for bounds on the difference between the two. */
  readonly form: "va" | "pa" | "both";
  /** LDXR/STXR pairs. */
  readonly exclusives?: number;
  readonly dmb?: number;
  readonly dsb?: number;
  readonly isb?: number;
  readonly sysregReads?: number;
  readonly sysregWrites?: number;
  /** AT instructions, over what their translation costs. */
  readonly at?: number;
  readonly touches?: readonly ArmTouch[];
}

/** Ledger phases of the Arm path, in the order in which a hypercall passes through them. */
export const ArmPhase = {
  ExceptionEntry: "exception entry",
  EntryAssembly: "entry assembly",
  ExitHandler: "exit handler",
  Dispatch: "hypercall dispatch",
  Operation: "operation",
  Copy: "copy",
  /** `p2m_read_lock` and its release, which both forms take. */
  P2mLock: "p2m lock",
  /** AT S12E1R or AT S12E1W, ISB, PAR_EL1. */
  AddressTranslation: "address translation instruction",
  /** `p2m_get_entry`: the software walk of stage 2. */
  P2mLookup: "p2m lookup",
  /** `guest_walk_ld`: the software walk of the guest's tables, the second attempt of the VA form. */
  GuestWalk: "guest walk",
  /** `get_page`, `put_page`. */
  PageReference: "page reference",
  ReturnPath: "return path",
  ExitAssembly: "exit assembly",
  ExceptionReturn: "exception return",
} as const;

/** All of them, in path order. */
export const ARM_PHASES: readonly string[] = Object.values(ArmPhase);
