import type { Arena, CycleLedger, Mmu, PhysicalMemory, TranslationContext } from "@hyperwalk/mmu";
import type { CpuState } from "./cpu-state.js";
import type { EventInDelivery } from "./event-in-delivery.js";
import type { ExecutionEngine } from "./execution-engine.js";
import type { GuestMode } from "./guest-mode.js";
import type { ResolvedProfile } from "./profile.js";

/** Kinds of events that a hypervisor can inject; the numbers are those of EVENTINJ and of VM-entry interruption info. */
export const EventKind = {
  ExternalInterrupt: 0,
  Nmi: 2,
  HardwareException: 3,
  SoftwareInterrupt: 4,
  PrivilegedSoftwareException: 5,
  SoftwareException: 6,
} as const;

/** What VMX and SVM need of a logical processor; `Processor` provides it. */
export interface VirtualizedProcessor {
  readonly arena: Arena;
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly mmu: Mmu;
  readonly state: CpuState;
  readonly profile: ResolvedProfile;
  readonly engine: ExecutionEngine;
  /** Set while a guest runs; the engine asks it before it acts. */
  guestMode: GuestMode | null;
  /** The context that follows the control registers while a guest runs. */
  guestContext: TranslationContext | null;
  /**
   * Of the instruction that is being offered to {@link guestMode}: linear address of INVLPG, INS and OUTS and of LMSW
   * from memory, displacement of those that {@link interceptOperands} describes.
   */
  readonly interceptAddressLo: number;
  readonly interceptAddressHi: number;
  /** Its operands, laid out like VMX's VM-exit instruction information. */
  readonly interceptOperands: number;
  /** Filled in while an event is on its way through the IDT. */
  readonly eventInDelivery: EventInDelivery;
  /** Recomputes the active context from CR0, CR3, CR4, EFER, CPL and AC. */
  syncTranslation(): void;
  /**
   * Delivers an event through the IDT of the running guest, as hardware does between two instructions.
   * @param kind an {@link EventKind} number
   * @param length instruction length for software events, else 0: what is pushed is RIP plus this
   * @returns false when delivery left the guest (a VM exit was recorded)
   */
  deliverEvent(
    kind: number,
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    length: number,
  ): boolean;
}

/** A control structure or host set-up that no hardware could work with. */
export class VirtualizationError extends Error {
  readonly code: "NO_RAM" | "HOST_UNMAPPED" | "MISALIGNED";
  /** Machine address in question. */
  readonly address: number;

  constructor(code: VirtualizationError["code"], address: number, message: string) {
    super(`${message} (0x${address.toString(16)})`);
    this.name = "VirtualizationError";
    this.code = code;
    this.address = address;
  }
}
