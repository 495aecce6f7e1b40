import {
  Cause,
  FaultKind,
  PagingMode,
  type SecondStage,
  type TranslationContext,
  ticks,
} from "@hyperwalk/mmu";
import { Attention, Flag, Shadow, State } from "../cpu-state.js";
import { StopReason } from "../execution-engine.js";
import { type GuestContextSnapshot, restoreContext, snapshotContext } from "../guest-context.js";
import { type GuestMode, Intercept } from "../guest-mode.js";
import { ExitKind, type HardwareVirtualization, type VmExit } from "../hardware-virtualization.js";
import { HostLines } from "../host-lines.js";
import { EventKind, type VirtualizedProcessor } from "../virtualized-processor.js";
import { ExitControl, PinControl, PrimaryControl, SecondaryControl } from "./controls.js";
import { checkControls, checkGuestState, checkHostState, eventConsistent } from "./entry-checks.js";
import {
  ActivityState,
  ENTRY_FAILURE,
  Interruptibility,
  InterruptionInfo,
  VmxExitReason,
} from "./exit-reason.js";
import type { ExtendedPageTableTags } from "./extended-page-tables.js";
import { loadHostState } from "./host-state.js";
import { InstructionError } from "./instruction-error.js";
import { VmxIntercepts } from "./intercepts.js";
import { MsrLists, type MsrLoad, type MsrStore } from "./msr-lists.js";
import { StateTransfer } from "./state-transfer.js";
import { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";
import { FieldGroup, wordOf } from "./vmcs-layout.js";

// Words of the region that every entry or exit touches.
const RIP = wordOf(VmcsField.GuestRip);
const RSP = wordOf(VmcsField.GuestRsp);
const RFLAGS = wordOf(VmcsField.GuestRflags);
const INTERRUPTIBILITY = wordOf(VmcsField.GuestInterruptibility);
const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const ENTRY_INFO = wordOf(VmcsField.EntryInterruptionInfo);
const ENTRY_ERROR = wordOf(VmcsField.EntryExceptionErrorCode);
const ENTRY_LENGTH = wordOf(VmcsField.EntryInstructionLength);
const REASON = wordOf(VmcsField.ExitReason);
const LENGTH = wordOf(VmcsField.ExitInstructionLength);
const QUALIFICATION = wordOf(VmcsField.ExitQualification);
const GPA = wordOf(VmcsField.GuestPhysicalAddress);
const LINEAR = wordOf(VmcsField.GuestLinearAddress);
const EXIT_INFO = wordOf(VmcsField.ExitInterruptionInfo);
const EXIT_ERROR = wordOf(VmcsField.ExitInterruptionErrorCode);
const VECTORING = wordOf(VmcsField.IdtVectoringInfo);
const VECTORING_ERROR = wordOf(VmcsField.IdtVectoringErrorCode);
const ENTRY_CONTROLS = wordOf(VmcsField.EntryControls);
const PDPTE = wordOf(VmcsField.GuestPdpte0);

const G_CHECKED = FieldGroup.All & ~FieldGroup.Host;
const G_TRANSLATION = FieldGroup.Controls | FieldGroup.ControlRegisters | FieldGroup.Segments;

const RFLAGS_RESERVED = ~0x3f7fd7;
const BLOCKED = Interruptibility.BySti | Interruptibility.ByMovSs;
const VECTOR_DB = 1;
const VECTOR_NMI = 2;
const VECTOR_BP = 3;
const VECTOR_OF = 4;
const VECTOR_PF = 14;
const VECTOR_MC = 18;
/** Bytes of a VMCS region's used part, in whole lines. */

/** How one guest is set up on a processor. */
export interface VmxOptions {
  /** Machine frame of the VMCS region. */
  readonly vmcsFrame: number;
  /** Active while no guest runs: what a VM exit returns to. */
  readonly host: TranslationContext;
  /** Numbers of EPT roots, shared by all guests of the processor. */
  readonly eptTags: ExtendedPageTableTags;
  /** MAXPHYADDR that the guest's CPUID reports. Default: the processor's. */
  readonly guestPhysicalAddressBits?: number;
  /**
   * True for a host whose code this processor executes: VM exits load the host-state area into its registers. A
   * modelled host has none, and the guest's registers stay in place until the next entry.
   */
  readonly hostExecutes?: boolean;
  /** MSRs in the load lists that are not among the processor's registers (SPEC_CTRL, PRED_CMD, …). */
  readonly onMsrLoad?: MsrLoad;
  /** Values of such MSRs for the VM-exit store list. */
  readonly onMsrStore?: MsrStore;
}

/** What a {@link Vmx} keeps outside memory and registers. */
export interface VmxSnapshot {
  readonly written: number;
  readonly loaded: boolean;
  readonly suspended: boolean;
  readonly physicalVector: number;
  readonly savedRflags: number;
  readonly context: GuestContextSnapshot;
  readonly lines: readonly number[];
}

/**
 * Intel's virtualization of one guest on one logical processor, over a VMCS in simulated memory (SDM vol. 3, chapters
 * 24 to 28).
 *
 * Life cycle: constructed over the frame of a VMCS region that the hypervisor then fills through {@link vmcs}'s VMREAD
 * and VMWRITE; {@link enter} is VMLAUNCH the first time and VMRESUME then, up to the VM exit. General registers, CR2,
 * DR0-DR3 and DR6 are not in the VMCS: they are still in the processor after an exit, as on hardware. An entry that
 * fails before guest state is looked at (VMfail) answers `InvalidState` with code -1 and the VM-instruction error in
 * `info1Lo`; one that fails on guest state, with code 33 or 34. When a run stops for a reason other than a VM exit, the
 * next `enter` continues the guest without a VM entry.
 */
export class Vmx implements HardwareVirtualization, GuestMode {
  readonly vendor = "intel";
  readonly hypercallInstruction: readonly number[] = [0x0f, 0x01, 0xc1];
  readonly vmcs: Vmcs;
  /** The guest's address space; its VPID and EPT root follow the VMCS. */
  readonly context: TranslationContext;
  private readonly processor: VirtualizedProcessor;
  private readonly host: TranslationContext;
  private readonly hostExecutes: boolean;
  private readonly eptTags: ExtendedPageTableTags;
  private readonly lines: HostLines;
  private readonly transfer: StateTransfer;
  private readonly msrLists: MsrLists;
  private readonly intercepts: VmxIntercepts;
  private readonly ept: SecondStage;
  private readonly entryPhase: number;
  private readonly exitPhase: number;
  private readonly entryTicks: number;
  private readonly exitTicks: number;
  private readonly addressBits: number;
  private readonly at: number;
  private readonly residence: number;
  private readonly exit: VmExit = {
    kind: 0,
    code: 0,
    info1Lo: 0,
    info1Hi: 0,
    info2Lo: 0,
    info2Hi: 0,
    instructionLength: 0,
    stop: 0,
  };
  private i32!: Int32Array;
  private words!: Int32Array;
  private pin = 0;
  private exitControls = 0;
  private entryControls = 0;
  private exceptions = 0;
  private faultMask = 0;
  private faultMatch = 0;
  private entryLoads = 0;
  private exitStores = 0;
  private exitLoads = 0;
  private tscOffset = 0;
  private usesVpid = false;
  private loaded = false;
  private suspended = false;
  private recorded = false;
  private savedRflags = 0;
  /** Vector of the physical interrupt that is due; -1 when there is none. */
  private physicalVector = -1;
  private injecting = 0;
  private injectingError = 0;
  private exitInfo = 0;
  private exitError = 0;
  private linearLo = 0;
  private linearHi = 0;

  constructor(processor: VirtualizedProcessor, options: VmxOptions) {
    const { arena, memory, mmu, ledger, profile } = processor;
    this.processor = processor;
    this.host = options.host;
    this.hostExecutes = options.hostExecutes ?? false;
    this.eptTags = options.eptTags;
    this.addressBits = profile.memory.physicalAddressBits;
    this.vmcs = new Vmcs(arena, memory, options.vmcsFrame);
    this.at = this.vmcs.at;
    this.residence = (options.vmcsFrame + 1) | 0;
    this.lines = new HostLines(mmu, options.vmcsFrame, options.host);
    this.transfer = new StateTransfer(processor, this.vmcs, this.lines);
    this.msrLists = new MsrLists(processor, options.host, options.onMsrLoad, options.onMsrStore);
    this.intercepts = new VmxIntercepts(memory);
    this.context = mmu.createContext();
    this.context.physicalAddressBits = options.guestPhysicalAddressBits ?? this.addressBits;
    this.ept = { format: "ept", rootFrame: 0, levels: 4, tag: 0, accessDirty: false };
    this.entryPhase = ledger.registerPhase("vm-entry");
    this.exitPhase = ledger.registerPhase("vm-exit");
    this.entryTicks = ticks(profile.timing.vmentry);
    this.exitTicks = ticks(profile.timing.vmexit);
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.words = processor.state.words;
    });
  }

  /** A physical interrupt arrives while the guest runs, or before its next VM entry. */
  raiseInterrupt(vector: number): void {
    this.physicalVector = vector;
    this.words[State.Attention] |= Attention.Interrupt;
  }

  /** Drops the processor's copies of VMCS state: the next VM entry reads and checks all of it. */
  forget(): void {
    this.loaded = false;
  }

  enter(maxInstructions: number, maxTicks: number): VmExit {
    this.recorded = false;
    if (this.suspended) this.resume();
    else if (!this.vmentry()) return this.exit;
    let stop: number = StopReason.VmExit;
    if (!this.recorded) {
      if (this.i32[this.at + ACTIVITY] !== ActivityState.Active) stop = StopReason.Halted;
      else stop = this.processor.engine.run(maxInstructions, maxTicks);
    }
    if (this.recorded) this.vmexit();
    else this.suspend(stop);
    return this.exit;
  }

  interceptInstruction(event: number, info: number, length: number): boolean {
    const i = this.intercepts;
    if (!i.wants(event, info, this.words)) return false;
    if (event === Intercept.Invlpg) {
      i.qualificationLo = this.processor.interceptAddressLo;
      i.qualificationHi = this.processor.interceptAddressHi;
    }
    return this.record(i.kind, i.reason, i.qualificationLo, i.qualificationHi, 0, 0, length);
  }

  interceptException(
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    addressLo: number,
    addressHi: number,
  ): boolean {
    const paging = vector === VECTOR_PF;
    let wanted = ((this.exceptions >>> vector) & 1) !== 0;
    // A page fault that does not match the error-code filter does the opposite of its bit (25.2 of SDM vol. 3).
    if (paging && (errorCode & this.faultMask) !== this.faultMatch) wanted = !wanted;
    if (!wanted) return false;
    const kind =
      vector === VECTOR_NMI
        ? EventKind.Nmi
        : vector === VECTOR_BP || vector === VECTOR_OF
          ? EventKind.SoftwareException
          : EventKind.HardwareException;
    this.exitInfo =
      vector |
      (kind << InterruptionInfo.KindShift) |
      (hasErrorCode ? InterruptionInfo.ErrorCodeValid : 0) |
      InterruptionInfo.Valid;
    this.exitError = hasErrorCode ? errorCode : 0;
    const lo = paging || vector === VECTOR_DB ? addressLo : 0;
    const hi = paging ? addressHi : 0;
    return this.record(ExitKind.Exception, VmxExitReason.ExceptionOrNmi, lo, hi, 0, 0, 0);
  }

  secondStageFault(): void {
    const { fault } = this.processor.mmu;
    if (fault.kind === FaultKind.NoRam) {
      // No machine memory answers: a machine check, or the end where nobody looks at those.
      if (!this.interceptException(VECTOR_MC, 0, false, 0, 0))
        this.record(ExitKind.Shutdown, VmxExitReason.TripleFault, 0, 0, 0, 0, 0);
      return;
    }
    const gpaLo = (fault.gfn << 12) | fault.gfnOffset;
    const gpaHi = Math.floor(fault.gfn / 0x100000);
    if (fault.kind === FaultKind.EptMisconfig) {
      this.record(ExitKind.SecondStageFault, VmxExitReason.EptMisconfiguration, 0, 0, gpaLo, gpaHi, 0);
      return;
    }
    this.linearLo = fault.linearLo;
    this.linearHi = fault.linearHi;
    this.record(ExitKind.SecondStageFault, VmxExitReason.EptViolation, fault.errorCode, 0, gpaLo, gpaHi, 0);
  }

  externalEvent(): boolean {
    const { words } = this;
    const { primary } = this.intercepts;
    const window = (primary & PrimaryControl.InterruptWindowExiting) !== 0;
    const nmiWindow = (primary & PrimaryControl.NmiWindowExiting) !== 0;
    if (this.physicalVector >= 0 || (!window && !nmiWindow)) {
      if ((this.pin & PinControl.ExternalInterruptExiting) === 0) return false;
      if ((this.exitControls & ExitControl.AcknowledgeInterrupt) !== 0)
        this.exitInfo = (this.physicalVector & 0xff) | InterruptionInfo.Valid;
      this.physicalVector = -1;
      if (!window && !nmiWindow) words[State.Attention] &= ~Attention.Interrupt;
      return this.record(ExitKind.ExternalInterrupt, VmxExitReason.ExternalInterrupt, 0, 0, 0, 0, 0);
    }
    if (words[State.InterruptShadow] !== 0) return false;
    const nmiBlocked = (this.i32[this.at + INTERRUPTIBILITY] & Interruptibility.ByNmi) !== 0;
    if (nmiWindow && !nmiBlocked) return this.windowExit(VmxExitReason.NmiWindow);
    if (!window || (words[State.Flags] & Flag.If) === 0) return false;
    return this.windowExit(VmxExitReason.InterruptWindow);
  }

  private windowExit(reason: number): boolean {
    this.words[State.Attention] &= ~Attention.Interrupt;
    return this.record(ExitKind.Other, reason, 0, 0, 0, 0, 0);
  }

  private record(
    kind: number,
    reason: number,
    qualificationLo: number,
    qualificationHi: number,
    gpaLo: number,
    gpaHi: number,
    length: number,
  ): boolean {
    const exit = this.exit;
    exit.kind = kind;
    exit.code = reason;
    exit.info1Lo = qualificationLo;
    exit.info1Hi = qualificationHi;
    exit.info2Lo = gpaLo;
    exit.info2Hi = gpaHi;
    exit.instructionLength = length;
    exit.stop = StopReason.VmExit;
    this.recorded = true;
    return true;
  }

  /** VMLAUNCH or VMRESUME up to the guest's first instruction. @returns false when the entry failed */
  private vmentry(): boolean {
    const { processor, words, i32, at, context, vmcs } = this;
    const { ledger, mmu } = processor;
    ledger.enter(this.entryPhase);
    ledger.charge(Cause.EntryHardware, this.entryTicks);
    const resident = this.loaded && words[State.ResidentGuest] === this.residence;
    const written = resident ? vmcs.written : FieldGroup.All;
    if (mmu.context !== this.host) mmu.activate(this.host);
    this.transfer.readLines(written !== 0);
    const event = i32[at + ENTRY_INFO];
    const error = this.takeControls(written, event);
    if (error !== InstructionError.None) return this.failInstruction(error);
    const qualification = this.checkGuest(written, event);
    if (qualification >= 0) return this.failEntry(VmxExitReason.InvalidGuestState, qualification);
    if (written !== 0) this.transfer.load(written, this.entryControls);
    const rflags = i32[at + RFLAGS];
    words[State.RipLo] = i32[at + RIP];
    words[State.RipHi] = i32[at + RIP + 1];
    words[State.Gpr + 8] = i32[at + RSP];
    words[State.Gpr + 9] = i32[at + RSP + 1];
    if (!resident || rflags !== this.savedRflags) processor.engine.setRflags(rflags);
    const blocking = i32[at + INTERRUPTIBILITY] & BLOCKED;
    words[State.InterruptShadow] =
      blocking === 0 ? Shadow.None : (blocking & Interruptibility.ByMovSs) !== 0 ? Shadow.MovSs : Shadow.Sti;
    words[State.Dirty] = 0;
    if (this.entryLoads !== 0) {
      const failed = this.msrLists.load(this.address(VmcsField.EntryMsrLoadAddress), this.entryLoads);
      if (failed !== 0) return this.failEntry(VmxExitReason.MsrLoading, failed);
    }
    words[State.ResidentGuest] = this.residence;
    this.loaded = true;
    vmcs.written = 0;
    vmcs.launched = true;
    if (!this.usesVpid) mmu.invalidateAsid(0, false);
    this.resume();
    if ((written & G_TRANSLATION) !== 0 || context.ac !== ((rflags & Flag.Ac) !== 0))
      this.followControlRegisters((written & FieldGroup.ControlRegisters) !== 0);
    if (event < 0 && !this.recorded) this.inject(event);
    ledger.leave();
    return true;
  }

  /** Takes over controls that changed. @returns a VM-instruction error number */
  private takeControls(written: number, event: number): number {
    const { vmcs, i32, at, addressBits, intercepts, context, words } = this;
    if ((written & FieldGroup.Controls) !== 0) {
      const error = checkControls(vmcs, addressBits);
      if (error !== InstructionError.None) return error;
      intercepts.load(i32, at);
      this.pin = vmcs.read(VmcsField.PinBasedControls);
      this.exitControls = vmcs.read(VmcsField.ExitControls);
      this.entryControls = vmcs.read(VmcsField.EntryControls);
      this.exceptions = vmcs.read(VmcsField.ExceptionBitmap);
      this.faultMask = vmcs.read(VmcsField.PageFaultErrorCodeMask);
      this.faultMatch = vmcs.read(VmcsField.PageFaultErrorCodeMatch);
      this.entryLoads = vmcs.read(VmcsField.EntryMsrLoadCount);
      this.exitStores = vmcs.read(VmcsField.ExitMsrStoreCount);
      this.exitLoads = vmcs.read(VmcsField.ExitMsrLoadCount);
      this.tscOffset =
        (intercepts.primary & PrimaryControl.TscOffsetting) === 0
          ? 0
          : (vmcs.read(VmcsField.TscOffset) >>> 0) + vmcs.readHi(VmcsField.TscOffset) * 0x100000000;
      this.usesVpid = (intercepts.secondary & SecondaryControl.EnableVpid) !== 0;
      context.asid = this.usesVpid ? vmcs.read(VmcsField.Vpid) : 0;
      this.takeEptPointer((intercepts.secondary & SecondaryControl.EnableEpt) !== 0);
    }
    if ((written & FieldGroup.Host) !== 0) {
      const error = checkHostState(vmcs, addressBits);
      if (error !== InstructionError.None) return error;
    }
    if (
      (intercepts.primary & (PrimaryControl.InterruptWindowExiting | PrimaryControl.NmiWindowExiting)) !==
      0
    )
      words[State.Attention] |= Attention.Interrupt;
    if (event >= 0) return InstructionError.None;
    const unrestricted = (intercepts.secondary & SecondaryControl.UnrestrictedGuest) !== 0;
    return eventConsistent(event, i32[at + ENTRY_LENGTH], unrestricted)
      ? InstructionError.None
      : InstructionError.InvalidControlFields;
  }

  private takeEptPointer(enabled: boolean): void {
    const { vmcs, ept, context } = this;
    context.secondStage = enabled ? ept : null;
    if (!enabled) return;
    const lo = vmcs.read(VmcsField.EptPointer);
    ept.rootFrame = (lo >>> 12) + (vmcs.readHi(VmcsField.EptPointer) >>> 0) * 0x100000;
    ept.accessDirty = (lo & 0x40) !== 0;
    ept.tag = this.eptTags.tagOf(ept.rootFrame);
  }

  /** @returns -1, or the qualification of an entry failure */
  private checkGuest(written: number, event: number): number {
    const { i32, at } = this;
    if (
      (written & G_CHECKED) === 0 &&
      event >= 0 &&
      i32[at + INTERRUPTIBILITY] === 0 &&
      i32[at + ACTIVITY] === 0 &&
      i32[at + RIP + 1] === 0 &&
      (i32[at + RFLAGS] & (RFLAGS_RESERVED | Flag.Vm | 2)) === 2
    )
      return -1;
    return checkGuestState(this.vmcs, this.addressBits);
  }

  /** The guest context becomes the active one. */
  private resume(): void {
    const { processor } = this;
    this.suspended = false;
    this.words[State.GuestMode] = 1;
    processor.guestMode = this;
    processor.guestContext = this.context;
    processor.state.tscOffset = this.tscOffset;
    processor.mmu.activate(this.context);
  }

  private followControlRegisters(cr3Loaded: boolean): void {
    const { processor, context, words, i32, at } = this;
    processor.syncTranslation();
    if (!cr3Loaded || context.paging !== PagingMode.Pae) return;
    if (context.secondStage === null) {
      processor.mmu.loadPdptes(words[State.Cr3Lo]);
      return;
    }
    // With EPT the PDPTEs come from the VMCS (27.3.2.4 of SDM vol. 3).
    for (let i = 0; i < 4; i++)
      context.pdpte[i] = (i32[at + PDPTE + 2 * i] >>> 0) + (i32[at + PDPTE + 2 * i + 1] >>> 0) * 0x100000000;
    processor.mmu.reload();
  }

  private inject(event: number): void {
    const { i32, at } = this;
    const hasErrorCode = (event & InterruptionInfo.ErrorCodeValid) !== 0;
    const kind = (event >>> InterruptionInfo.KindShift) & 7;
    this.injecting = event;
    this.injectingError = i32[at + ENTRY_ERROR];
    i32[at + ACTIVITY] = ActivityState.Active;
    const length = kind >= EventKind.SoftwareInterrupt ? i32[at + ENTRY_LENGTH] : 0;
    this.processor.deliverEvent(kind, event & 0xff, this.injectingError, hasErrorCode, length);
    if (!this.recorded) this.injecting = 0;
  }

  /** The engine stopped without a VM exit: the guest is on hold in the processor, the host context active. */
  private suspend(stop: number): void {
    this.leaveGuestMode();
    this.suspended = true;
    const exit = this.exit;
    exit.kind = ExitKind.EngineStop;
    exit.code = 0;
    exit.info1Lo = exit.info1Hi = exit.info2Lo = exit.info2Hi = 0;
    exit.instructionLength = 0;
    exit.stop = stop;
  }

  private leaveGuestMode(): void {
    const { processor } = this;
    this.words[State.GuestMode] = 0;
    processor.guestMode = null;
    processor.guestContext = null;
    processor.state.tscOffset = 0;
    processor.mmu.activate(this.host);
  }

  /** VM exit: exit information and guest state to the VMCS, host state to the processor. */
  private vmexit(): void {
    const { processor, words, i32, at } = this;
    const { ledger } = processor;
    ledger.enter(this.exitPhase);
    ledger.charge(Cause.ExitHardware, this.exitTicks);
    const rflags = processor.engine.rflags();
    this.leaveGuestMode();
    this.lines.write(0);
    this.lines.write(64);
    this.transfer.saveChangedState(this.exitControls, this.context);
    this.entryControls = i32[at + ENTRY_CONTROLS];
    i32[at + RIP] = words[State.RipLo];
    i32[at + RIP + 1] = words[State.RipHi];
    i32[at + RSP] = words[State.Gpr + 8];
    i32[at + RSP + 1] = words[State.Gpr + 9];
    i32[at + RFLAGS] = rflags;
    i32[at + RFLAGS + 1] = 0;
    this.savedRflags = rflags;
    const shadow =
      words[State.InterruptShadow] === 0
        ? 0
        : (words[State.InterruptShadow] & Shadow.MovSs) === Shadow.MovSs
          ? Interruptibility.ByMovSs
          : Interruptibility.BySti;
    i32[at + INTERRUPTIBILITY] = (i32[at + INTERRUPTIBILITY] & ~BLOCKED) | shadow;
    this.storeExit(this.exit.code);
    if (this.exitStores !== 0)
      this.msrLists.store(this.address(VmcsField.ExitMsrStoreAddress), this.exitStores);
    this.returnToHost();
    ledger.leave();
  }

  private returnToHost(): void {
    const { processor, words } = this;
    if (!this.usesVpid) processor.mmu.invalidateAsid(0, false);
    if (this.hostExecutes) {
      loadHostState(this.vmcs, words);
      processor.engine.setRflags(2);
      words[State.ResidentGuest] = 0;
      processor.syncTranslation();
    }
    if (this.exitLoads !== 0) this.msrLists.load(this.address(VmcsField.ExitMsrLoadAddress), this.exitLoads);
  }

  /** Exit-information fields; the valid bit of the injected event is cleared. */
  private storeExit(reason: number): void {
    const { i32, at, exit } = this;
    i32[at + REASON] = reason;
    i32[at + LENGTH] = exit.instructionLength;
    i32[at + QUALIFICATION] = exit.info1Lo;
    i32[at + QUALIFICATION + 1] = exit.info1Hi;
    i32[at + GPA] = exit.info2Lo;
    i32[at + GPA + 1] = exit.info2Hi;
    i32[at + LINEAR] = this.linearLo;
    i32[at + LINEAR + 1] = this.linearHi;
    i32[at + EXIT_INFO] = this.exitInfo;
    i32[at + EXIT_ERROR] = this.exitError;
    i32[at + VECTORING] = this.injecting;
    i32[at + VECTORING_ERROR] = this.injecting === 0 ? 0 : this.injectingError;
    i32[at + ENTRY_INFO] &= ~InterruptionInfo.Valid;
    this.exitInfo = this.exitError = this.injecting = this.linearLo = this.linearHi = 0;
  }

  /** VMfail: the entry instruction completed with an error and no VM exit. */
  private failInstruction(error: number): boolean {
    const { ledger } = this.processor;
    this.vmcs.fail(error);
    ledger.leave();
    this.record(ExitKind.InvalidState, -1, error, 0, 0, 0, 0);
    return false;
  }

  /** VM-entry failure during or after loading guest state (27.8 of SDM vol. 3): a VM exit that saves no guest state. */
  private failEntry(reason: number, qualification: number): boolean {
    const { ledger } = this.processor;
    ledger.leave();
    ledger.enter(this.exitPhase);
    ledger.charge(Cause.ExitHardware, this.exitTicks);
    this.loaded = false;
    this.words[State.ResidentGuest] = 0;
    this.record(ExitKind.InvalidState, reason, qualification, 0, 0, 0, 0);
    this.lines.write(0);
    this.lines.write(64);
    const event = this.i32[this.at + ENTRY_INFO];
    this.storeExit(reason | ENTRY_FAILURE);
    this.i32[this.at + ENTRY_INFO] = event; // stays valid: nothing was injected
    this.returnToHost();
    ledger.leave();
    return false;
  }

  private address(field: number): number {
    const word = this.at + wordOf(field);
    return (this.i32[word] >>> 0) + this.i32[word + 1] * 0x100000000;
  }

  snapshot(): VmxSnapshot {
    return {
      written: this.vmcs.written,
      loaded: this.loaded,
      suspended: this.suspended,
      physicalVector: this.physicalVector,
      savedRflags: this.savedRflags,
      context: snapshotContext(this.context),
      lines: this.lines.snapshot(),
    };
  }

  /** Puts it back, after memory, registers and `Mmu`, with the EPT numbers of that time. */
  restore(snapshot: VmxSnapshot): void {
    const attention = this.words[State.Attention];
    this.takeControls(FieldGroup.Controls, 0);
    this.words[State.Attention] = attention;
    this.vmcs.written = snapshot.written;
    this.loaded = snapshot.loaded;
    this.suspended = snapshot.suspended;
    this.physicalVector = snapshot.physicalVector;
    this.savedRflags = snapshot.savedRflags;
    restoreContext(this.context, snapshot.context);
    this.lines.restore(snapshot.lines);
  }
}
