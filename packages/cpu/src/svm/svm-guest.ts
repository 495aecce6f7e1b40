import { type SecondStage, ticks } from "@hyperwalk/mmu";
import { State } from "../cpu-state.js";
import { HardwareGuest } from "../hardware-guest.js";
import { HostLines } from "../host-lines.js";
import { EncryptedState } from "../sev/encrypted-state.js";
import type { VirtualizedProcessor } from "../virtualized-processor.js";
import { HostSaveArea } from "./host-save-area.js";
import { SvmIntercepts } from "./intercepts.js";
import { StateTransfer } from "./state-transfer.js";
import type { SvmOptions } from "./svm.js";
import { Vmcb } from "./vmcb.js";

const LEAF_SVM = 0x8000000a;

/** Bits of CPUID 8000000A EDX that VMRUN and #VMEXIT follow. */
export const SvmFeature = { NripSave: 0x8, CleanBits: 0x20, FlushByAsid: 0x40, DecodeAssists: 0x80 } as const;

/** What VMRUN, #VMEXIT and the delivery of events share about one guest: its VMCB and the processor's copies of it. */
export class SvmGuest extends HardwareGuest {
  readonly vmcb: Vmcb;
  readonly lines: HostLines;
  readonly transfer: StateTransfer;
  readonly hostSave: HostSaveArea | undefined;
  readonly intercepts: SvmIntercepts;
  /** Of an SEV-ES guest. */
  readonly encryptedState: EncryptedState | undefined;
  readonly nested: SecondStage;
  readonly entryTicks: number;
  readonly exitTicks: number;
  /** CPUID 8000000A EDX: {@link SvmFeature} bits. */
  readonly features: number;
  readonly asids: number;
  readonly addressBits: number;
  /** Index of the VMCB's first word in the arena's 32-bit view. */
  readonly at: number;
  readonly residence: number;
  u8!: Uint8Array;
  /** Global interrupt flag: 1 after STGI and in the guest, 0 after CLGI and #VMEXIT. */
  gif = 1;
  /** Copy of the VMCB's V_TPR, V_IRQ and their neighbours, and of the virtual vector. */
  vIntr = 0;
  vVector = 0;
  /** Vector of the physical interrupt that is due; -1 when there is none. */
  physicalVector = -1;
  physicalInit = false;
  /** EXITCODE of the #VMEXIT that follows the present instruction, and its EXITINFO1; 0: none. */
  trap = 0;
  trapValue = 0;
  /** Host RFLAGS.IF at VMRUN, which masks physical interrupts under V_INTR_MASKING. */
  hostInterrupts = true;
  /** Host CR8 at VMRUN, of a host that has registers. */
  hostTpr = 0;
  /** A #PF or #NPF on a data access: #VMEXIT stores the instruction's bytes. */
  hasBytes = false;

  constructor(processor: VirtualizedProcessor, options: SvmOptions) {
    super(processor, options.host);
    const { arena, memory, mmu, profile } = processor;
    const svmLeaf = profile.cpuid.find((row) => row[0] === LEAF_SVM);
    this.features = svmLeaf?.[5] ?? 0;
    this.asids = svmLeaf?.[3] ?? 2;
    // The C-bit lies above what some of these processors have otherwise.
    this.addressBits = options.encryption === undefined ? profile.memory.physicalAddressBits : 52;
    this.vmcb = new Vmcb(arena, memory, options.vmcbFrame);
    this.at = this.vmcb.at;
    this.residence = (options.vmcbFrame + 1) | 0;
    this.lines = new HostLines(mmu, options.vmcbFrame, options.host);
    this.transfer = new StateTransfer(processor, this.vmcb, this.lines);
    if (options.hostSaveFrame !== undefined)
      this.hostSave = new HostSaveArea(processor, options.hostSaveFrame, options.host);
    this.intercepts = new SvmIntercepts(
      memory,
      processor.ledger,
      (this.features & SvmFeature.DecodeAssists) !== 0,
    );
    this.context.physicalAddressBits = options.guestPhysicalAddressBits ?? this.addressBits;
    this.nested = {
      format: "npt",
      rootFrame: 0,
      levels: options.nestedLevels ?? 4,
      tag: 0,
      accessDirty: true,
    };
    if (options.encryption === "sev-es" || options.encryption === "sev-snp")
      this.encryptedState = new EncryptedState(this);
    this.entryTicks = ticks(profile.timing.vmentry);
    this.exitTicks = ticks(profile.timing.vmexit);
    arena.adopt(() => {
      this.u8 = arena.u8;
    });
  }

  /** Drops the processor's copies: the next VMRUN reads everything from memory, whatever the clean bits. */
  forget(): void {
    this.loaded = false;
    this.words[State.ResidentGuest] = 0;
  }
}
