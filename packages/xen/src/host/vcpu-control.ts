import type { HardwareVirtualization, SvmSnapshot, VmExit, VmxSnapshot } from "@hyperwalk/cpu";
import type { TranslationContext } from "@hyperwalk/mmu";
import type { GuestStart } from "../boot/index.js";
import type { EferSink } from "../msr-policy.js";
import type { ShadowSnapshot } from "../shadow/shadow-paging.js";
import type { GuestRegisters } from "./guest-registers.js";
import type { EncryptedRegisters } from "./svm/encrypted-registers.js";
import type { VcpuContext } from "./vcpu-context.js";
import type { VcpuRegisters } from "./vcpu-registers.js";

/** The processor's and the hypervisor's knowledge of one vCPU's control structure, as plain data. */
export interface VcpuControlSnapshot {
  readonly hardware: SvmSnapshot | VmxSnapshot;
  /** EPT roots by the numbers that tag cached translations. */
  readonly eptRoots: readonly number[];
  /** Undefined without shadow paging. */
  readonly shadow: ShadowSnapshot | undefined;
}

/** What a vCPU has whose registers are encrypted (SEV-ES). */
export interface EncryptedVcpu {
  readonly registers: EncryptedRegisters;
  /** The guest's GHCB MSR. */
  readonly ghcbLo: number;
  readonly ghcbHi: number;
  setGhcb(lo: number, hi: number): void;
  /** Machine frame of the page with its registers. */
  readonly vmsaFrame: number;
}

/** The tables that translate guest frames in the hardware, as a control structure needs to know them. */
export interface SecondStageRoot {
  readonly rootFrame: number;
  /** Machine frame of a guest frame, or -1. */
  translate(gfn: number): number;
}

/**
 * One vCPU's hardware-virtualization side, behind which the vendors differ: `arch/x86/hvm/{svm,vmx}`.
 */
export interface VcpuControl extends EferSink {
  readonly hardware: HardwareVirtualization;
  readonly registers: GuestRegisters;
  /** Absent where the hypervisor sees the guest's registers. */
  readonly encrypted?: EncryptedVcpu | undefined;
  /** The guest's address space, as the latest exit left it. */
  readonly context: TranslationContext;
  /** Machine frame of the VMCB or VMCS. */
  readonly controlFrame: number;
  /** Sets the vCPU to its first instruction: 32-bit flat protected mode, paging off. */
  start(start: GuestStart): void;
  /** Sets a vCPU that is out of its guest to these registers; nothing is left to inject. */
  load(context: VcpuContext): void;
  /** The registers of a vCPU that is out of its guest. */
  saveRegisters(): VcpuRegisters;
  /** Those of a vCPU that ran elsewhere, under either vendor's control structure; nothing is left to inject. */
  loadRegisters(registers: VcpuRegisters): void;
  /** What the exit handler does first to the control structure (SVM: all clean bits on). */
  acknowledgeExit(): void;
  /** Drops the vCPU's cached translations: a new ASID in Xen, an invalidation of the one here. */
  flushTlb(): void;
  /** The p2m changed. */
  flushSecondStage(): void;
  /** The guest leaves for #UD, so that what was undefined can be looked at. */
  interceptUndefined(): void;
  /** A physical interrupt makes the guest leave before its next instruction. @param vector Xen's */
  interruptGuest(vector: number): void;
  /** The guest leaves once it can take an interrupt of this priority class; -1: no more. */
  setInterruptWindow(priority: number): void;
  /** The guest leaves once it can take an NMI, or no more. */
  setNmiWindow(wanted: boolean): void;
  /** Whether an exit is one that {@link setInterruptWindow} or {@link setNmiWindow} asked for. */
  isInterruptWindow(exit: VmExit): boolean;
  /**
   * Such an exit has come; nothing that it needs is left behind.
   * @returns whether the window opens only after the guest's next instruction, the IRET of an NMI handler
   */
  windowOpened(exit: VmExit): boolean;
  /** A task switch has exited: the guest goes on with its new task (`hvm_task_switch`). */
  switchTask(exit: VmExit): void;
  /** CR8 of the guest. */
  setTaskPriority(priority: number): void;
  /** Cycles that the guest's time stamp is ahead of the processor's. */
  setTimestampOffset(cycles: number): void;
  /**
   * The memory operand of the INS or OUTS that exited: its segment in bits 6:4, log2 of its address size in bits 2:0.
   * @param info EXITINFO1 or the exit qualification
   */
  stringOperand(info: number): number;
  /** Vector of the exception that exited. */
  exceptionVector(exit: VmExit): number;
  /** Queues #PF with CR2 for the next entry. */
  injectPageFault(errorCode: number, addressLo: number, addressHi: number): void;
  /** A control-register access that exited; returns false for #GP(0). */
  controlRegisterAccess(code: number, infoLo: number, infoHi: number): boolean;
  /** Page-modification logging on or off (VMX; nothing elsewhere). */
  setModificationLog(on: boolean): void;
  /** Tells the frames in the processor's log, in the order in which they were noted, and empties it. */
  flushModificationLog(each: (gfn: number) => void): void;
  /** While the guest does not run. */
  snapshot(): VcpuControlSnapshot;
  /** Puts it back, after memory and the processor. */
  restore(snapshot: VcpuControlSnapshot): void;
}
