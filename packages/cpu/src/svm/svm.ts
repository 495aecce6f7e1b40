import {
  Cause,
  FaultKind,
  PagingMode,
  type SecondStage,
  type TranslationContext,
  ticks,
} from "@hyperwalk/mmu";
import { Attention, Flag, State } from "../cpu-state.js";
import { StopReason } from "../execution-engine.js";
import { type GuestContextSnapshot, restoreContext, snapshotContext } from "../guest-context.js";
import { type GuestMode, Intercept } from "../guest-mode.js";
import { ExitKind, type HardwareVirtualization, type VmExit } from "../hardware-virtualization.js";
import { HostLines } from "../host-lines.js";
import type { VirtualizedProcessor } from "../virtualized-processor.js";
import {
  asidConsistent,
  eventConsistent,
  stateConsistent,
  tlbControlConsistent,
} from "./consistency-checks.js";
import { EventInfo, General1, General2, SvmExitCode, TlbControl, VIntrBit } from "./exit-code.js";
import { HostSaveArea } from "./host-save-area.js";
import { copyInstructionBytes } from "./instruction-bytes.js";
import { SvmIntercepts } from "./intercepts.js";
import { loadGuestState, loadHiddenState, saveHiddenState } from "./save-area.js";
import { StateTransfer } from "./state-transfer.js";
import { Vmcb } from "./vmcb.js";
import { CleanBit, VmcbOffset } from "./vmcb-fields.js";

// Words of the VMCB that every entry or exit touches, counted from its first one.
const TSC_OFFSET = VmcbOffset.TscOffset >>> 2;
const ASID = VmcbOffset.Asid >>> 2;
const TLB_CONTROL = VmcbOffset.TlbControl >>> 2;
const V_INTR = VmcbOffset.VIntr >>> 2;
const SHADOW = VmcbOffset.InterruptShadow >>> 2;
const EXIT_CODE = VmcbOffset.ExitCode >>> 2;
const EXIT_INFO_1 = VmcbOffset.ExitInfo1 >>> 2;
const EXIT_INFO_2 = VmcbOffset.ExitInfo2 >>> 2;
const EXIT_INT_INFO = VmcbOffset.ExitIntInfo >>> 2;
const NESTED_CONTROL = VmcbOffset.NestedControl >>> 2;
const EVENT_INJ = VmcbOffset.EventInj >>> 2;
const N_CR3 = VmcbOffset.NCr3 >>> 2;
const CLEAN = VmcbOffset.CleanBits >>> 2;
const NRIP = VmcbOffset.NRip >>> 2;
const INSTRUCTION = VmcbOffset.GuestInstructionLength >>> 2;
const RFLAGS = VmcbOffset.Rflags >>> 2;
const RIP = VmcbOffset.Rip >>> 2;
const RSP = VmcbOffset.Rsp >>> 2;
const RAX = VmcbOffset.Rax >>> 2;
const G_PAT = VmcbOffset.GPat >>> 2;

const NP_ENABLE = 1;
const GUEST_INTERRUPT_MASK = 2;
const TRANSLATION_GROUPS = CleanBit.ControlRegisters | CleanBit.Segments;
const LEAF_SVM = 0x8000000a;
const FEATURE_NRIP_SAVE = 0x8;
const FEATURE_CLEAN_BITS = 0x20;
const FEATURE_FLUSH_BY_ASID = 0x40;
const FEATURE_DECODE_ASSISTS = 0x80;
const VECTOR_MC = 18;
const VECTOR_PF = 14;

/** How one guest is set up on a processor. */
export interface SvmOptions {
  /** Machine frame of the VMCB. */
  readonly vmcbFrame: number;
  /** Active while no guest runs: what #VMEXIT returns to. */
  readonly host: TranslationContext;
  /** Levels of the nested page tables: those of the host's own paging. Default 4. */
  readonly nestedLevels?: 4 | 5;
  /** MAXPHYADDR that the guest's CPUID reports. Default: the processor's. */
  readonly guestPhysicalAddressBits?: number;
  /**
   * VM_HSAVE_PA as a frame. Given: VMRUN saves the host's registers there and #VMEXIT loads them, for a host whose
   * code this processor executes. Absent: the host is modelled, has no registers of its own, and the guest's stay in
   * place between #VMEXIT and VMRUN.
   */
  readonly hostSaveFrame?: number;
}

/** What an {@link Svm} keeps outside memory and registers: the processor's copies of VMCB state, and interrupt state. */
export interface SvmSnapshot {
  readonly gif: number;
  readonly loaded: boolean;
  readonly suspended: boolean;
  readonly physicalInterrupt: boolean;
  readonly savedRflags: number;
  readonly tscOffset: number;
  readonly vIntr: number;
  readonly vVector: number;
  readonly intercepts: readonly number[];
  readonly context: GuestContextSnapshot;
  readonly overwritten: number;
  readonly lines: readonly number[];
}

/**
 * AMD's virtualization of one guest on one logical processor, over a VMCB in simulated memory (APM vol. 2, chapter 15).
 *
 * Life cycle: constructed over the frame of a VMCB that the hypervisor then fills through {@link vmcb}; {@link enter}
 * is VMRUN to #VMEXIT. After an exit the VMCB holds RAX, RSP, RIP and the rest of the save area; the other general
 * registers, DR0-DR3 and the state of VMLOAD are still in the processor, as on hardware. When a run stops for a reason
 * other than a VM exit, the next `enter` continues the guest without a VMRUN.
 */
export class Svm implements HardwareVirtualization, GuestMode {
  readonly vendor = "amd";
  readonly hypercallInstruction: readonly number[] = [0x0f, 0x01, 0xd9];
  readonly vmcb: Vmcb;
  /** The guest's address space; its ASID and nested root follow the VMCB. */
  readonly context: TranslationContext;
  /** Global interrupt flag: 1 after STGI and in the guest, 0 after CLGI and #VMEXIT. */
  gif = 1;
  private readonly processor: VirtualizedProcessor;
  private readonly host: TranslationContext;
  private readonly lines: HostLines;
  private readonly transfer: StateTransfer;
  private readonly hostSave: HostSaveArea | undefined;
  private readonly intercepts: SvmIntercepts;
  private readonly nested: SecondStage;
  private readonly entryPhase: number;
  private readonly exitPhase: number;
  private readonly entryTicks: number;
  private readonly exitTicks: number;
  private readonly features: number;
  private readonly asids: number;
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
  private u8!: Uint8Array;
  private loaded = false;
  private suspended = false;
  private recorded = false;
  private savedRflags = 0;
  private tscOffset = 0;
  private vIntr = 0;
  private vVector = 0;
  private injecting = 0;
  private injectingError = 0;
  private physicalInterrupt = false;
  private hasBytes = false;

  constructor(processor: VirtualizedProcessor, options: SvmOptions) {
    const { arena, memory, mmu, ledger, profile } = processor;
    const svmLeaf = profile.cpuid.find((row) => row[0] === LEAF_SVM);
    this.processor = processor;
    this.host = options.host;
    this.features = svmLeaf?.[5] ?? 0;
    this.asids = svmLeaf?.[3] ?? 2;
    this.addressBits = profile.memory.physicalAddressBits;
    this.vmcb = new Vmcb(arena, memory, options.vmcbFrame);
    this.at = this.vmcb.at;
    this.residence = (options.vmcbFrame + 1) | 0;
    this.lines = new HostLines(mmu, options.vmcbFrame, options.host);
    this.transfer = new StateTransfer(processor, this.vmcb, this.lines);
    if (options.hostSaveFrame !== undefined)
      this.hostSave = new HostSaveArea(processor, options.hostSaveFrame, options.host);
    this.intercepts = new SvmIntercepts(memory, (this.features & FEATURE_DECODE_ASSISTS) !== 0);
    this.context = mmu.createContext();
    this.context.physicalAddressBits = options.guestPhysicalAddressBits ?? this.addressBits;
    this.nested = {
      format: "npt",
      rootFrame: 0,
      levels: options.nestedLevels ?? 4,
      tag: 0,
      accessDirty: true,
    };
    this.entryPhase = ledger.registerPhase("vm-entry");
    this.exitPhase = ledger.registerPhase("vm-exit");
    this.entryTicks = ticks(profile.timing.vmentry);
    this.exitTicks = ticks(profile.timing.vmexit);
    arena.adopt(() => {
      this.i32 = arena.i32;
      this.u8 = arena.u8;
      this.words = processor.state.words;
    });
  }

  /** VMLOAD: FS, GS, TR, LDTR, KernelGSbase, SYSCALL and SYSENTER MSRs from this VMCB into the processor. */
  vmload(): void {
    loadHiddenState(this.i32, this.at, this.words);
  }

  /** VMSAVE: the same state from the processor into this VMCB. */
  vmsave(): void {
    saveHiddenState(this.i32, this.at, this.words);
  }

  stgi(): void {
    this.gif = 1;
  }

  clgi(): void {
    this.gif = 0;
  }

  /** A physical interrupt arrives while the guest runs, or before its next VMRUN. */
  raiseInterrupt(): void {
    this.physicalInterrupt = true;
    this.words[State.Attention] |= Attention.Interrupt;
  }

  /** Drops the processor's copies of VMCB state: the next VMRUN reads all of it from memory, whatever the clean bits. */
  forget(): void {
    this.loaded = false;
  }

  enter(maxInstructions: number, maxTicks: number): VmExit {
    const { processor } = this;
    this.recorded = false;
    if (this.suspended) this.resume();
    else if (!this.vmrun()) return this.exit;
    let stop: number = StopReason.VmExit;
    if (!this.recorded) stop = processor.engine.run(maxInstructions, maxTicks);
    if (this.recorded) {
      this.vmexit();
      return this.exit;
    }
    this.suspend(stop);
    return this.exit;
  }

  interceptInstruction(event: number, info: number, length: number): boolean {
    const words = this.words;
    const ripLo = words[State.RipLo];
    const nextLo = (ripLo + length) | 0;
    const nextHi = nextLo >>> 0 < ripLo >>> 0 ? (words[State.RipHi] + 1) | 0 : words[State.RipHi];
    const i = this.intercepts;
    if (!i.wants(event, info, nextLo, nextHi, words)) return false;
    if (event === Intercept.Invlpg && (this.features & FEATURE_DECODE_ASSISTS) !== 0) {
      i.info1Lo = this.processor.interceptAddressLo;
      i.info1Hi = this.processor.interceptAddressHi;
    }
    return this.record(i.kind, i.code, i.info1Lo, i.info1Hi, i.info2Lo, i.info2Hi, length);
  }

  interceptException(
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    addressLo: number,
    addressHi: number,
  ): boolean {
    if (((this.intercepts.exceptions >>> vector) & 1) === 0) return false;
    const paging = vector === VECTOR_PF;
    if (paging) this.hasBytes = (errorCode & 0x10) === 0;
    return this.record(
      ExitKind.Exception,
      SvmExitCode.Exception + vector,
      hasErrorCode ? errorCode : 0,
      0,
      paging ? addressLo : 0,
      paging ? addressHi : 0,
      0,
    );
  }

  secondStageFault(): void {
    const { fault } = this.processor.mmu;
    if (fault.kind === FaultKind.NoRam) {
      // No machine memory answers: a machine check, or the end where nobody looks at those.
      if (!this.interceptException(VECTOR_MC, 0, false, 0, 0))
        this.record(ExitKind.Shutdown, SvmExitCode.Shutdown, 0, 0, 0, 0, 0);
      return;
    }
    this.hasBytes = (fault.errorCode & 0x10) === 0;
    const gpaLo = (fault.gfn << 12) | fault.gfnOffset;
    const gpaHi = Math.floor(fault.gfn / 0x100000);
    this.record(ExitKind.SecondStageFault, SvmExitCode.Npf, fault.errorCode, fault.infoHi, gpaLo, gpaHi, 0);
  }

  externalEvent(): boolean {
    const words = this.words;
    const wanted = this.intercepts.general1;
    const virtual = (this.vIntr & VIntrBit.Irq) !== 0;
    if ((this.physicalInterrupt || !virtual) && (wanted & (1 << General1.Intr)) !== 0) {
      this.physicalInterrupt = false;
      if (!virtual) words[State.Attention] &= ~Attention.Interrupt;
      return this.record(ExitKind.ExternalInterrupt, SvmExitCode.Intr, 0, 0, 0, 0, 0);
    }
    if (!virtual || !this.virtualInterruptOpen()) return false;
    words[State.Attention] &= ~Attention.Interrupt;
    if ((wanted & (1 << General1.VIntr)) !== 0)
      return this.record(ExitKind.ExternalInterrupt, SvmExitCode.VIntr, 0, 0, 0, 0, 0);
    this.vIntr &= ~VIntrBit.Irq;
    this.inject(EventInfo.Valid | this.vVector, 0);
    return this.recorded;
  }

  /** V_IRQ can be taken: RFLAGS.IF, no interrupt shadow, and a priority above the virtual TPR's. */
  private virtualInterruptOpen(): boolean {
    const words = this.words;
    if ((words[State.Flags] & Flag.If) === 0 || words[State.InterruptShadow] !== 0) return false;
    if ((this.vIntr & VIntrBit.IgnoreTpr) !== 0) return true;
    return ((this.vIntr >>> VIntrBit.PriorityShift) & 15) > (words[State.Cr8] & 15);
  }

  private record(
    kind: number,
    code: number,
    info1Lo: number,
    info1Hi: number,
    info2Lo: number,
    info2Hi: number,
    length: number,
  ): boolean {
    const exit = this.exit;
    exit.kind = kind;
    exit.code = code;
    exit.info1Lo = info1Lo;
    exit.info1Hi = info1Hi;
    exit.info2Lo = info2Lo;
    exit.info2Hi = info2Hi;
    exit.instructionLength = length;
    exit.stop = StopReason.VmExit;
    this.recorded = true;
    return true;
  }

  /** VMRUN up to the guest's first instruction. @returns false when it failed with VMEXIT_INVALID */
  private vmrun(): boolean {
    const { processor, words, i32, at, context } = this;
    const { ledger, mmu } = processor;
    ledger.enter(this.entryPhase);
    ledger.charge(Cause.EntryHardware, this.entryTicks);
    const resident = this.loaded && words[State.ResidentGuest] === this.residence;
    const cached = resident && (this.features & FEATURE_CLEAN_BITS) !== 0;
    const clean = cached ? i32[at + CLEAN] : 0;
    if (mmu.context !== this.host) mmu.activate(this.host);
    this.transfer.readLines(clean);
    if (this.hostSave !== undefined) this.hostSave.save(words, processor.engine.rflags());
    // With every group in the processor's copy only what no clean bit covers is left.
    const accepted =
      clean === CleanBit.All
        ? this.loadRest()
        : this.loadControls(clean) && stateConsistent(i32, at, clean, this.addressBits);
    if (!accepted) {
      this.loaded = false;
      words[State.ResidentGuest] = 0;
      ledger.leave();
      this.refuse();
      return false;
    }
    if (clean !== CleanBit.All) loadGuestState(i32, at, words, clean);
    const rflags = i32[at + RFLAGS];
    words[State.RipLo] = i32[at + RIP];
    words[State.RipHi] = i32[at + RIP + 1];
    words[State.Gpr] = i32[at + RAX];
    words[State.Gpr + 1] = i32[at + RAX + 1];
    words[State.Gpr + 8] = i32[at + RSP];
    words[State.Gpr + 9] = i32[at + RSP + 1];
    // Between #VMEXIT and VMRUN the registers still hold the flags that were saved.
    if (!resident || rflags !== this.savedRflags) processor.engine.setRflags(rflags);
    words[State.InterruptShadow] = i32[at + SHADOW] & 1;
    words[State.Dirty] = 0;
    words[State.ResidentGuest] = this.residence;
    this.loaded = true;
    this.gif = 1;
    this.resume();
    if ((clean & TRANSLATION_GROUPS) !== TRANSLATION_GROUPS || context.ac !== ((rflags & Flag.Ac) !== 0))
      this.followControlRegisters((clean & CleanBit.ControlRegisters) === 0);
    const event = i32[at + EVENT_INJ];
    if (event < 0 && !this.recorded) this.inject(event, i32[at + EVENT_INJ + 1]);
    ledger.leave();
    return true;
  }

  /** Control area: what VMRUN must refuse, and copies of what the running guest is steered by. */
  private loadControls(clean: number): boolean {
    const { i32, at, words, intercepts, context } = this;
    if ((clean & CleanBit.Intercepts) === 0) {
      intercepts.loadVectors(i32, at);
      // Exact up to 2^53 cycles either way.
      this.tscOffset = (i32[at + TSC_OFFSET] >>> 0) + i32[at + TSC_OFFSET + 1] * 0x100000000;
    }
    if ((intercepts.general2 & (1 << General2.Vmrun)) === 0) return false;
    if ((clean & CleanBit.Iopm) === 0) intercepts.loadMaps(i32, at);
    if ((clean & CleanBit.Asid) === 0) context.asid = i32[at + ASID];
    if (!asidConsistent(context.asid, this.asids)) return false;
    if ((clean & CleanBit.NestedPaging) === 0) {
      const nested = (i32[at + NESTED_CONTROL] & NP_ENABLE) !== 0;
      this.nested.rootFrame = ((i32[at + N_CR3] >>> 12) + (i32[at + N_CR3 + 1] >>> 0) * 0x100000) % 2 ** 40;
      context.secondStage = nested ? this.nested : null;
      if (nested) {
        words[State.PatLo] = i32[at + G_PAT];
        words[State.PatHi] = i32[at + G_PAT + 1];
      }
    }
    if ((clean & CleanBit.Tpr) === 0) {
      this.vIntr = i32[at + V_INTR];
      this.vVector = i32[at + V_INTR + 1] & 0xff;
      words[State.Cr8] = this.vIntr & 15;
    }
    return this.loadRest();
  }

  /** What VMRUN reads from the control area each time. */
  private loadRest(): boolean {
    const { i32, at, words, context, features } = this;
    const { mmu } = this.processor;
    this.intercepts.loadPauseCount(i32, at);
    if ((this.vIntr & VIntrBit.Irq) !== 0) words[State.Attention] |= Attention.Interrupt;
    const flush = i32[at + TLB_CONTROL] & 0xff;
    if (!tlbControlConsistent(flush)) return false;
    if (flush === TlbControl.FlushAll || (flush !== 0 && (features & FEATURE_FLUSH_BY_ASID) === 0))
      mmu.invalidateAll();
    else if (flush !== 0) mmu.invalidateAsid(context.asid, flush === TlbControl.FlushAsidNonGlobal);
    return eventConsistent(i32[at + EVENT_INJ]);
  }

  /** The guest context becomes the active one. */
  private resume(): void {
    const { processor, words } = this;
    this.suspended = false;
    words[State.GuestMode] = 1;
    processor.guestMode = this;
    processor.guestContext = this.context;
    processor.state.tscOffset = this.tscOffset;
    processor.mmu.activate(this.context);
  }

  private followControlRegisters(cr3Loaded: boolean): void {
    const { processor, context, words } = this;
    processor.syncTranslation();
    if (!cr3Loaded || context.paging !== PagingMode.Pae) return;
    if (processor.mmu.loadPdptes(words[State.Cr3Lo]) < 0) this.secondStageFault();
  }

  private inject(event: number, errorCode: number): void {
    this.injecting = event;
    this.injectingError = errorCode;
    const kind = (event >>> EventInfo.KindShift) & 7;
    const hasErrorCode = (event & EventInfo.ErrorCodeValid) !== 0;
    this.processor.deliverEvent(kind, event & 0xff, errorCode, hasErrorCode, 0);
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

  /** #VMEXIT: guest state to the VMCB, host state to the processor. */
  private vmexit(): void {
    const { processor, words, i32, at, exit } = this;
    const { ledger } = processor;
    ledger.enter(this.exitPhase);
    ledger.charge(Cause.ExitHardware, this.exitTicks);
    const rflags = processor.engine.rflags();
    if (this.hasBytes) this.saveInstructionBytes();
    else i32[at + INSTRUCTION] = 0;
    this.leaveGuestMode();
    this.gif = 0;
    this.transfer.writeLines();
    this.transfer.saveChangedState(this.context.secondStage !== null);
    const ripLo = words[State.RipLo];
    const ripHi = words[State.RipHi];
    i32[at + RIP] = ripLo;
    i32[at + RIP + 1] = ripHi;
    i32[at + RAX] = words[State.Gpr];
    i32[at + RAX + 1] = words[State.Gpr + 1];
    i32[at + RSP] = words[State.Gpr + 8];
    i32[at + RSP + 1] = words[State.Gpr + 9];
    i32[at + RFLAGS] = rflags;
    this.savedRflags = rflags;
    i32[at + RFLAGS + 1] = 0;
    this.vIntr = (this.vIntr & ~VIntrBit.TprMask) | (words[State.Cr8] & 15);
    i32[at + V_INTR] = this.vIntr;
    i32[at + SHADOW] =
      (words[State.InterruptShadow] & 1) | ((rflags & Flag.If) !== 0 ? GUEST_INTERRUPT_MASK : 0);
    this.storeExit(exit.code, exit.code >> 31);
    i32[at + EXIT_INT_INFO] = this.injecting;
    i32[at + EXIT_INT_INFO + 1] = this.injecting === 0 ? 0 : this.injectingError;
    this.injecting = 0;
    const length = exit.instructionLength;
    if (length !== 0 && (this.features & FEATURE_NRIP_SAVE) !== 0) {
      const next = (ripLo + length) | 0;
      i32[at + NRIP] = next;
      i32[at + NRIP + 1] = next >>> 0 < ripLo >>> 0 ? (ripHi + 1) | 0 : ripHi;
    } else i32[at + NRIP] = i32[at + NRIP + 1] = 0;
    if (this.hostSave !== undefined) this.hostSave.restore(words);
    ledger.leave();
  }

  /** VMEXIT_INVALID: nothing of the guest was run or saved. */
  private refuse(): void {
    const { ledger } = this.processor;
    ledger.enter(this.exitPhase);
    ledger.charge(Cause.ExitHardware, this.exitTicks);
    this.leaveGuestMode();
    this.gif = 0;
    this.record(ExitKind.InvalidState, SvmExitCode.Invalid, 0, 0, 0, 0, 0);
    this.lines.write(VmcbOffset.ExitCode);
    this.storeExit(-1, -1);
    this.i32[this.at + EXIT_INT_INFO] = this.i32[this.at + EXIT_INT_INFO + 1] = 0;
    this.hostSave?.restore(this.words);
    ledger.leave();
  }

  private storeExit(codeLo: number, codeHi: number): void {
    const { i32, at, exit } = this;
    i32[at + EXIT_CODE] = codeLo;
    i32[at + EXIT_CODE + 1] = codeHi;
    i32[at + EXIT_INFO_1] = exit.info1Lo;
    i32[at + EXIT_INFO_1 + 1] = exit.info1Hi;
    i32[at + EXIT_INFO_2] = exit.info2Lo;
    i32[at + EXIT_INFO_2 + 1] = exit.info2Hi;
    i32[at + EVENT_INJ] = i32[at + EVENT_INJ + 1] = 0;
  }

  private saveInstructionBytes(): void {
    this.hasBytes = false;
    this.i32[this.at + INSTRUCTION] = 0;
    if ((this.features & FEATURE_DECODE_ASSISTS) === 0) return;
    const { mmu, memory } = this.processor;
    copyInstructionBytes(mmu, memory, this.words, this.u8, 4 * (this.at + INSTRUCTION));
  }

  /** State beyond memory, registers and ledger, as plain data. */
  snapshot(): SvmSnapshot {
    return {
      gif: this.gif,
      loaded: this.loaded,
      suspended: this.suspended,
      physicalInterrupt: this.physicalInterrupt,
      savedRflags: this.savedRflags,
      tscOffset: this.tscOffset,
      vIntr: this.vIntr,
      vVector: this.vVector,
      intercepts: this.intercepts.values(),
      context: snapshotContext(this.context),
      overwritten: this.vmcb.overwritten,
      lines: this.lines.snapshot(),
    };
  }

  /** Puts it back, after memory, registers and `Mmu`. */
  restore(snapshot: SvmSnapshot): void {
    this.gif = snapshot.gif;
    this.loaded = snapshot.loaded;
    this.suspended = snapshot.suspended;
    this.physicalInterrupt = snapshot.physicalInterrupt;
    this.savedRflags = snapshot.savedRflags;
    this.tscOffset = snapshot.tscOffset;
    this.vIntr = snapshot.vIntr;
    this.vVector = snapshot.vVector;
    this.intercepts.restore(snapshot.intercepts);
    restoreContext(this.context, snapshot.context);
    this.vmcb.overwritten = snapshot.overwritten;
    this.lines.restore(snapshot.lines);
    const { rootFrame } = snapshot.context;
    if (rootFrame >= 0) this.nested.rootFrame = rootFrame;
    this.context.secondStage = rootFrame >= 0 ? this.nested : null;
  }
}
