import type { HardwareVirtualization } from "@hyperwalk/cpu";
import type { GuestStart } from "../boot/index.js";
import type { EferSink } from "../msr-policy.js";
import type { GuestRegisters } from "./guest-registers.js";

/**
 * One vCPU's hardware-virtualization side, behind which the vendors differ: `arch/x86/hvm/{svm,vmx}`.
 */
export interface VcpuControl extends EferSink {
  readonly hardware: HardwareVirtualization;
  readonly registers: GuestRegisters;
  /** Machine frame of the VMCB or VMCS. */
  readonly controlFrame: number;
  /** Sets the vCPU to its first instruction: 32-bit flat protected mode, paging off. */
  start(start: GuestStart): void;
  /** What the exit handler does first to the control structure (SVM: all clean bits on). */
  acknowledgeExit(): void;
  /** Drops the vCPU's cached translations: a new ASID in Xen, an invalidation of the one here. */
  flushTlb(): void;
  /** The p2m changed. */
  flushSecondStage(): void;
  /** A control-register access that exited; returns false for #GP(0). */
  controlRegisterAccess(code: number, infoLo: number, infoHi: number): boolean;
}
