import { type ModificationLog, type SecondStage, ticks } from "@hyperwalk/mmu";
import { HardwareGuest } from "../hardware-guest.js";
import { HostLines } from "../host-lines.js";
import type { VirtualizedProcessor } from "../virtualized-processor.js";
import type { ExtendedPageTableTags } from "./extended-page-tables.js";
import { VmxIntercepts } from "./intercepts.js";
import { MsrLists } from "./msr-lists.js";
import { StateTransfer } from "./state-transfer.js";
import { Vmcs } from "./vmcs.js";
import { wordOf } from "./vmcs-layout.js";
import type { VmxOptions } from "./vmx.js";

/** What VM entry, VM exit and the delivery of events share about one guest: its VMCS and the processor's copies of it. */
export class VmxGuest extends HardwareGuest {
  readonly vmcs: Vmcs;
  readonly hostExecutes: boolean;
  readonly eptTags: ExtendedPageTableTags;
  readonly lines: HostLines;
  readonly transfer: StateTransfer;
  readonly msrLists: MsrLists;
  readonly intercepts: VmxIntercepts;
  readonly ept: SecondStage;
  /** What {@link ept} writes to while the VMCS asks for page-modification logging. */
  readonly modificationLog: ModificationLog = { frame: 0, index: 0 };
  readonly entryTicks: number;
  readonly exitTicks: number;
  readonly addressBits: number;
  /** Index of the region's first word in the arena's 32-bit view. */
  readonly at: number;
  readonly residence: number;
  pin = 0;
  exitControls = 0;
  entryControls = 0;
  exceptions = 0;
  faultMask = 0;
  faultMatch = 0;
  entryLoads = 0;
  exitStores = 0;
  exitLoads = 0;
  usesVpid = false;
  /** Vector of the physical interrupt that is due; -1 when there is none. */
  physicalVector = -1;
  physicalInit = false;
  /** Vector of a SIPI that has arrived; -1 when there is none. */
  sipiVector = -1;
  /** MOV to CR8 went below the TPR threshold: the guest leaves before its next instruction. */
  belowThreshold = false;
  /** HLT has stopped the guest without an exit. */
  halted = false;
  /** Ledger tick at which the preemption timer runs out. */
  deadline: number = Number.POSITIVE_INFINITY;
  /** VM-exit instruction information of the exit that is on record. */
  instructionInfo = 0;
  /** VM-exit interruption information and error code, guest-linear address: of the exit that is on record. */
  exitInfo = 0;
  exitError = 0;
  linearLo = 0;
  linearHi = 0;

  constructor(processor: VirtualizedProcessor, options: VmxOptions) {
    super(processor, options.host);
    const { arena, memory, mmu, profile } = processor;
    this.hostExecutes = options.hostExecutes ?? false;
    this.eptTags = options.eptTags;
    this.addressBits = profile.memory.physicalAddressBits;
    this.vmcs = new Vmcs(arena, memory, options.vmcsFrame);
    this.at = this.vmcs.at;
    this.residence = (options.vmcsFrame + 1) | 0;
    this.lines = new HostLines(mmu, options.vmcsFrame, options.host);
    this.transfer = new StateTransfer(processor, this.vmcs, this.lines);
    this.msrLists = new MsrLists(processor, options.host, options.onMsrLoad, options.onMsrStore);
    this.intercepts = new VmxIntercepts(memory, processor.ledger);
    this.context.physicalAddressBits = options.guestPhysicalAddressBits ?? this.addressBits;
    this.ept = { format: "ept", rootFrame: 0, levels: 4, tag: 0, accessDirty: false };
    this.entryTicks = ticks(profile.timing.vmentry);
    this.exitTicks = ticks(profile.timing.vmexit);
  }

  /** A 64-bit field that holds a machine address. */
  address(field: number): number {
    const word = this.at + wordOf(field);
    return (this.i32[word] >>> 0) + this.i32[word + 1] * 0x100000000;
  }
}
