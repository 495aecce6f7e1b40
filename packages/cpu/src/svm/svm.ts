import { Cause, FaultKind, type TranslationContext, ticks } from "@hyperwalk/mmu";
import { Attention, State } from "../cpu-state.js";
import { Vector } from "../exceptions/vector.js";
import { StopReason } from "../execution-engine.js";
import { type GuestContextSnapshot, restoreContext, snapshotContext } from "../guest-context.js";
import { type GuestMode, Intercept } from "../guest-mode.js";
import type { HeldGuest } from "../hardware-guest.js";
import { ExitKind, type HardwareVirtualization, type VmExit } from "../hardware-virtualization.js";
import { Msr } from "../msr.js";
import { SevFeature } from "../sev/encrypted-state.js";
import { isAutomaticExit, isTrapLike, PAGE_NOT_VALIDATED } from "../sev/exits.js";
import { SEV_COSTS } from "../sev/sev-costs.js";
import { EventKind, type VirtualizedProcessor } from "../virtualized-processor.js";
import { vmrun } from "./entry.js";
import { externalEvent, isWaiting } from "./events.js";
import { refuse, vmexit } from "./exit.js";
import { SvmExitCode } from "./exit-code.js";
import { loadHiddenState, saveHiddenState } from "./save-area.js";
import { SvmFeature, SvmGuest } from "./svm-guest.js";
import type { Vmcb } from "./vmcb.js";
import { VmcbOffset } from "./vmcb-fields.js";

const VECTOR_MC = 18;
const VECTOR_PF = 14;
/** SEV_STATUS: SEV, SEV-ES, SEV-SNP. */
const SEV_ACTIVE = 1;
const SEV_ES_ACTIVE = 2;
const SEV_SNP_ACTIVE = 4;
const RFLAGS_RF = 0x10000;
const FETCH = 0x10;
/** Bits 2:0 of the ModRM byte (0f 01 d8+n). */
const SvmInstruction = { Vmsave: 3, Stgi: 4, Clgi: 5, Invlpga: 7 } as const;

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
  /**
   * The guest's memory is encrypted with the key of its ASID, with `sev-es` and `sev-snp` its registers too; the VMCB's
   * control bits must say the same. With `sev-snp` the VMSA says that it is SNP-active, and its memory is what the machine's
   * reverse map says. Default: neither.
   */
  readonly encryption?: "sev" | "sev-es" | "sev-snp" | undefined;
}

/** What an {@link Svm} keeps outside memory and registers: the processor's copies of VMCB state, and interrupt state. */
export interface SvmSnapshot {
  readonly gif: number;
  readonly loaded: boolean;
  readonly suspended: boolean;
  readonly physicalVector: number;
  readonly physicalInit: boolean;
  readonly hostInterrupts: boolean;
  readonly hostTpr: number;
  readonly trap: number;
  readonly trapValue: number;
  readonly savedRflags: number;
  readonly tscOffset: number;
  readonly vIntr: number;
  readonly vVector: number;
  readonly intercepts: readonly number[];
  readonly context: GuestContextSnapshot;
  /** Of the guest's memory; 0: not encrypted. */
  readonly encryptionKey: number;
  /** It is SNP-active. */
  readonly secure: boolean;
  readonly overwritten: number;
  readonly lines: readonly number[];
  readonly held: HeldGuest;
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
  /** SEV-ES. */
  readonly encryptsState: boolean;
  private readonly guest: SvmGuest;
  private readonly encryptsMemory: boolean;
  /** SEV-SNP. */
  private readonly isSecure: boolean;
  private readonly encryptedEntryTicks: number = ticks(SEV_COSTS.encryptedEntry.value);
  private readonly encryptedExitTicks: number = ticks(SEV_COSTS.encryptedExit.value);

  constructor(processor: VirtualizedProcessor, options: SvmOptions) {
    this.guest = new SvmGuest(processor, options);
    this.encryptsMemory = options.encryption !== undefined;
    this.isSecure = options.encryption === "sev-snp";
    this.encryptsState = options.encryption === "sev-es" || this.isSecure;
    this.vmcb = this.guest.vmcb;
    this.context = this.guest.context;
  }

  /** Global interrupt flag: 1 after STGI and in the guest, 0 after CLGI and #VMEXIT. */
  get gif(): number {
    return this.guest.gif;
  }

  /** VMLOAD: FS, GS, TR, LDTR, KernelGSbase, SYSCALL and SYSENTER MSRs from this VMCB into the processor. */
  vmload(): void {
    const { i32, at, words } = this.guest;
    loadHiddenState(i32, at, words);
  }

  /** VMSAVE: the same state from the processor into this VMCB. */
  vmsave(): void {
    const { i32, at, words } = this.guest;
    saveHiddenState(i32, at, words);
  }

  /**
   * SEV-ES: the register state that the VMCB and the processor show goes into the VMSA and out of sight, as the secure
   * processor's LAUNCH_UPDATE_VMSA does before the first VMRUN.
   */
  sealState(): void {
    const { encryptedState } = this.guest;
    encryptedState?.save();
    if (this.isSecure) encryptedState?.setFeatures(SevFeature.SnpActive);
  }

  /** The running guest is SNP-active. */
  get securesPages(): boolean {
    return this.guest.nested.secure === true;
  }

  stgi(): void {
    this.guest.gif = 1;
  }

  clgi(): void {
    this.guest.gif = 0;
  }

  /**
   * A physical interrupt arrives while the guest runs, or before its next VMRUN.
   * @param vector what the guest's IDT is asked for when the interrupt is not intercepted
   */
  raiseInterrupt(vector = 0): void {
    this.guest.physicalVector = vector;
    this.look();
  }

  /** A physical NMI arrives. */
  raiseNmi(): void {
    this.guest.words[State.NmiPending] = 1;
    this.look();
  }

  /** INIT arrives. It leaves the guest where that is intercepted, and is held back otherwise. */
  raiseInit(): void {
    this.guest.physicalInit = true;
    this.look();
  }

  private look(): void {
    this.guest.words[State.Attention] |= Attention.Interrupt;
  }

  /** Drops the processor's copies of VMCB state: the next VMRUN reads all of it from memory, whatever the clean bits. */
  forget(): void {
    this.guest.loaded = false;
  }

  enter(maxInstructions: number, maxTicks: number): VmExit {
    const { guest } = this;
    guest.recorded = false;
    if (guest.encryptedState !== undefined) return this.enterEncrypted(maxInstructions, maxTicks);
    if (guest.suspended) guest.resume(this);
    else if (vmrun(guest, this)) guest.exit.enteredAt = guest.processor.ledger.clock[0];
    else return guest.exit;
    let stop: number = StopReason.VmExit;
    if (!guest.recorded) stop = guest.processor.engine.run(maxInstructions, maxTicks);
    guest.exit.leftAt = guest.processor.ledger.clock[0];
    if (guest.recorded) vmexit(guest);
    else guest.suspend(stop);
    return guest.exit;
  }

  /**
   * The same for a guest whose registers are encrypted: exits that are not automatic become #VC in the guest, which goes on
   * (APM vol. 2, 15.35.4 and 15.35.5).
   */
  private enterEncrypted(maxInstructions: number, maxTicks: number): VmExit {
    const { guest } = this;
    const { engine, ledger } = guest.processor;
    const { exit, encryptedState } = guest;
    if (guest.suspended) guest.resume(this);
    else {
      ledger.enter(guest.entryPhase);
      ledger.charge(Cause.EntryHardware, this.encryptedEntryTicks);
      const loaded = encryptedState?.load() === true;
      const isPermitted = !this.isSecure || encryptedState?.isSecure() === true;
      ledger.leave();
      guest.nested.secure = this.isSecure && isPermitted;
      if (!isPermitted) {
        guest.forget();
        refuse(guest);
        return exit;
      }
      if (!vmrun(guest, this)) return exit;
      exit.enteredAt = ledger.clock[0];
      if (!loaded) guest.record(ExitKind.Shutdown, SvmExitCode.Shutdown, 0, 0, 0, 0, 0);
    }
    const limit = engine.instructions + maxInstructions;
    let stop: number = StopReason.VmExit;
    for (;;) {
      if (!guest.recorded) stop = engine.run(limit - engine.instructions, maxTicks);
      if (!guest.recorded || isAutomaticExit(exit.code)) break;
      guest.recorded = false;
      guest.processor.deliverEvent(EventKind.HardwareException, Vector.Vc, exit.code, true, 0);
      if (!guest.recorded && (engine.instructions >= limit || ledger.clock[0] >= maxTicks)) {
        stop = StopReason.Budget;
        break;
      }
    }
    exit.leftAt = ledger.clock[0];
    if (!guest.recorded) {
      guest.suspend(stop);
      return exit;
    }
    guest.hasBytes = false;
    if (isTrapLike(exit.code)) this.retire(exit.instructionLength);
    ledger.enter(guest.exitPhase);
    ledger.charge(Cause.ExitHardware, this.encryptedExitTicks);
    ledger.leave();
    vmexit(guest);
    encryptedState?.save();
    return exit;
  }

  /** RIP goes past the instruction that left, and with it goes what holds for one instruction. */
  private retire(length: number): void {
    const { words } = this.guest;
    const lo = words[State.RipLo];
    words[State.RipLo] = (lo + length) | 0;
    if (words[State.RipLo] >>> 0 < lo >>> 0) words[State.RipHi] = (words[State.RipHi] + 1) | 0;
    words[State.InterruptShadow] = 0;
    words[State.Flags] &= ~RFLAGS_RF;
  }

  readEncryptionMsr(msr: number, out: Int32Array): boolean {
    const { vmcb } = this;
    if (msr === Msr.SevStatus && this.encryptsMemory) {
      out[0] = SEV_ACTIVE | (this.encryptsState ? SEV_ES_ACTIVE : 0) | (this.isSecure ? SEV_SNP_ACTIVE : 0);
      out[1] = 0;
      return true;
    }
    if (msr !== Msr.Ghcb || !this.encryptsState) return false;
    out[0] = vmcb.word(VmcbOffset.GhcbMsr);
    out[1] = vmcb.wordHi(VmcbOffset.GhcbMsr);
    return true;
  }

  writeEncryptionMsr(msr: number, lo: number, hi: number): boolean {
    if (msr !== Msr.Ghcb || !this.encryptsState) return false;
    this.vmcb.store(VmcbOffset.GhcbMsr, lo);
    this.vmcb.store(VmcbOffset.GhcbMsr + 4, hi);
    return true;
  }

  interceptInstruction(event: number, info: number, length: number): boolean {
    const { guest } = this;
    const { words, intercepts: i } = guest;
    if (event === Intercept.Vmgexit)
      return guest.record(ExitKind.GuestRequest, SvmExitCode.Vmgexit, 0, 0, 0, 0, length);
    if (this.encryptsMemory && this.isOwnMsr(event, words[State.Gpr + 2])) return false;
    const ripLo = words[State.RipLo];
    const nextLo = (ripLo + length) | 0;
    const nextHi = nextLo >>> 0 < ripLo >>> 0 ? (words[State.RipHi] + 1) | 0 : words[State.RipHi];
    if (event === Intercept.ControlWritten) {
      this.controlWritten(info);
      return false;
    }
    if (!i.wants(event, info, nextLo, nextHi, words)) return false;
    if (event === Intercept.Invlpg && (guest.features & SvmFeature.DecodeAssists) !== 0) {
      i.info1Lo = guest.processor.interceptAddressLo;
      i.info1Hi = guest.processor.interceptAddressHi;
    }
    return guest.record(i.kind, i.code, i.info1Lo, i.info1Hi, i.info2Lo, i.info2Hi, length);
  }

  /** MSRs of the encrypted guest's own never leave it. */
  private isOwnMsr(event: number, msr: number): boolean {
    if (event !== Intercept.Rdmsr && event !== Intercept.Wrmsr) return false;
    const number = msr >>> 0;
    return number === Msr.SevStatus || (this.encryptsState && number === Msr.Ghcb);
  }

  /** CR and EFER write traps: the exit comes before the next instruction, with the new value. */
  private controlWritten(register: number): void {
    const { guest } = this;
    const { words } = guest;
    guest.trap = guest.intercepts.writeTrap(register);
    if (guest.trap === 0) return;
    guest.trapValue =
      register === 0
        ? words[State.Cr0]
        : register === 3
          ? words[State.Cr3Lo]
          : register === 4
            ? words[State.Cr4]
            : register === 8
              ? words[State.Cr8]
              : words[State.EferLo];
    this.look();
  }

  performs(instruction: number): boolean {
    const { guest } = this;
    const { words, processor } = guest;
    const lo = words[State.Gpr];
    const hi = words[State.Gpr + 1];
    switch (instruction) {
      case SvmInstruction.Stgi:
        guest.gif = 1;
        if (isWaiting(guest)) this.look();
        return true;
      case SvmInstruction.Clgi:
        guest.gif = 0;
        return true;
      case SvmInstruction.Invlpga:
        processor.mmu.invlpga(lo, hi, words[State.Gpr + 2]);
        return true;
      default:
        return this.moveHiddenState(lo, hi, instruction === SvmInstruction.Vmsave);
    }
  }

  /** VMLOAD and VMSAVE name a machine address, under nested paging too. @returns false for #GP(0) */
  private moveHiddenState(lo: number, hi: number, save: boolean): boolean {
    const { guest } = this;
    if ((lo & 0xfff) !== 0 || hi >>> 0 >= 2 ** (guest.addressBits - 32)) return false;
    const offset = guest.processor.memory.frameOffset((lo >>> 12) + (hi >>> 0) * 0x100000);
    if (offset < 0) return false;
    if (save) saveHiddenState(guest.i32, offset >>> 2, guest.words);
    else loadHiddenState(guest.i32, offset >>> 2, guest.words);
    return true;
  }

  interceptException(
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    addressLo: number,
    addressHi: number,
    kind: number = EventKind.HardwareException,
    length = 0,
  ): boolean {
    const { guest } = this;
    // INT1 is not seen by the #DB intercept, but by its own (APM vol. 2, 15.12.2).
    if (kind === EventKind.PrivilegedSoftwareException) return false;
    if (((guest.intercepts.exceptions >>> vector) & 1) === 0) return false;
    const paging = vector === VECTOR_PF;
    if (paging) guest.hasBytes = (errorCode & FETCH) === 0;
    return guest.record(
      ExitKind.Exception,
      SvmExitCode.Exception + vector,
      hasErrorCode ? errorCode : 0,
      0,
      paging ? addressLo : 0,
      paging ? addressHi : 0,
      length,
    );
  }

  secondStageFault(): void {
    const { guest } = this;
    const { fault } = guest.processor.mmu;
    if (fault.kind === FaultKind.NoRam) {
      // No machine memory answers: a machine check, or the end where nobody looks at those.
      if (!this.interceptException(VECTOR_MC, 0, false, 0, 0))
        guest.record(ExitKind.Shutdown, SvmExitCode.Shutdown, 0, 0, 0, 0, 0);
      return;
    }
    if (fault.kind === FaultKind.NotValidated) {
      // Not by an instruction's own access, which raises #VC by itself: a load of PDPTEs.
      guest.words[State.Cr2Lo] = guest.words[State.Cr3Lo];
      guest.words[State.Cr2Hi] = 0;
      guest.record(ExitKind.Exception, PAGE_NOT_VALIDATED, 0, 0, 0, 0, 0);
      return;
    }
    guest.hasBytes = (fault.errorCode & FETCH) === 0;
    const gpaLo = (fault.gfn << 12) | fault.gfnOffset;
    const gpaHi = Math.floor(fault.gfn / 0x100000);
    guest.record(ExitKind.SecondStageFault, SvmExitCode.Npf, fault.errorCode, fault.infoHi, gpaLo, gpaHi, 0);
  }

  externalEvent(): boolean {
    return externalEvent(this.guest);
  }

  /** State beyond memory, registers and ledger, as plain data. */
  snapshot(): SvmSnapshot {
    const { guest } = this;
    return {
      gif: guest.gif,
      loaded: guest.loaded,
      suspended: guest.suspended,
      physicalVector: guest.physicalVector,
      physicalInit: guest.physicalInit,
      hostInterrupts: guest.hostInterrupts,
      hostTpr: guest.hostTpr,
      trap: guest.trap,
      trapValue: guest.trapValue,
      savedRflags: guest.savedRflags,
      tscOffset: guest.tscOffset,
      vIntr: guest.vIntr,
      vVector: guest.vVector,
      intercepts: guest.intercepts.values(),
      context: snapshotContext(guest.context),
      encryptionKey: guest.nested.encryptionKey ?? 0,
      secure: guest.nested.secure ?? false,
      overwritten: guest.vmcb.overwritten,
      lines: guest.lines.snapshot(),
      held: guest.held(),
    };
  }

  /** Puts it back, after memory, registers and `Mmu`. */
  restore(snapshot: SvmSnapshot): void {
    const { guest } = this;
    guest.gif = snapshot.gif;
    guest.loaded = snapshot.loaded;
    guest.suspended = snapshot.suspended;
    guest.physicalVector = snapshot.physicalVector;
    guest.physicalInit = snapshot.physicalInit;
    guest.hostInterrupts = snapshot.hostInterrupts;
    guest.hostTpr = snapshot.hostTpr;
    guest.trap = snapshot.trap;
    guest.trapValue = snapshot.trapValue;
    guest.savedRflags = snapshot.savedRflags;
    guest.tscOffset = snapshot.tscOffset;
    guest.vIntr = snapshot.vIntr;
    guest.vVector = snapshot.vVector;
    guest.intercepts.restore(snapshot.intercepts);
    guest.run = guest.intercepts.run;
    guest.restoreHeld(snapshot.held);
    restoreContext(guest.context, snapshot.context);
    guest.vmcb.overwritten = snapshot.overwritten;
    guest.lines.restore(snapshot.lines);
    const { rootFrame } = snapshot.context;
    if (rootFrame >= 0) guest.nested.rootFrame = rootFrame;
    guest.nested.encryptionKey = snapshot.encryptionKey;
    guest.nested.secure = snapshot.secure;
    guest.context.secondStage = rootFrame >= 0 ? guest.nested : null;
  }
}
