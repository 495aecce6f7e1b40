/** What a VM exit was for, independent of vendor; the raw code stays visible beside it. */
export const ExitKind = {
  Cpuid: 0,
  Hlt: 1,
  Rdmsr: 2,
  Wrmsr: 3,
  Io: 4,
  Hypercall: 5,
  SecondStageFault: 6,
  Exception: 7,
  Shutdown: 8,
  CrAccess: 9,
  ExternalInterrupt: 10,
  InvalidState: 11,
  Other: 12,
  /** Not a VM exit: the engine stopped by itself, see `VmExit.stop`. */
  EngineStop: 13,
  /** VMGEXIT of a guest whose registers are encrypted: what it asks for is in memory that it shares. */
  GuestRequest: 14,
} as const;

/** One VM exit. The object is reused by the next `enter`: read it, do not keep it. */
export interface VmExit {
  /** An {@link ExitKind} number. */
  kind: number;
  /** VMX basic exit reason or SVM EXITCODE. */
  code: number;
  /** VMX exit qualification or SVM EXITINFO1, low and high word. */
  info1Lo: number;
  info1Hi: number;
  /** VMX guest-physical address, or SVM EXITINFO2. */
  info2Lo: number;
  info2Hi: number;
  /** Length of the instruction that exited, bytes: VM_EXIT_INSTRUCTION_LEN, or NRIP - RIP. */
  instructionLength: number;
  /** Ledger clock when the guest began to run after the latest VM entry, and when it left off, in ticks. */
  enteredAt: number;
  leftAt: number;
  /** For `EngineStop`: a `StopReason` number. */
  stop: number;
}

/** One to be filled in, exit after exit. */
export function emptyVmExit(): VmExit {
  return {
    kind: 0,
    code: 0,
    info1Lo: 0,
    info1Hi: 0,
    info2Lo: 0,
    info2Hi: 0,
    instructionLength: 0,
    enteredAt: 0,
    leftAt: 0,
    stop: 0,
  };
}

/**
 * VM entry and exit of one vendor on one logical processor, over real control structures in simulated memory: a VMCS
 * with its encodings (`vmx/`), a VMCB with its offsets (`svm/`). The hypervisor prepares those fields, as Xen's
 * assembly does, and reads what happened from them.
 */
export interface HardwareVirtualization {
  readonly vendor: "amd" | "intel";
  /** Bytes of this vendor's hypercall instruction: VMMCALL 0f 01 d9, VMCALL 0f 01 c1. */
  readonly hypercallInstruction: readonly number[];
  /**
   * VMRUN or VMRESUME: loads guest state, runs the guest until it exits or the budget is used, saves guest state and
   * loads host state. Charges the hardware's own cost to `entry-hardware` and `exit-hardware`.
   */
  enter(maxInstructions: number, maxTicks: number): VmExit;
}
