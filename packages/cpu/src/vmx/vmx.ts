import { Cause, FaultKind, type TranslationContext } from "@hyperwalk/mmu";
import { Attention, State } from "../cpu-state.js";
import { StopReason } from "../execution-engine.js";
import { type GuestContextSnapshot, restoreContext, snapshotContext } from "../guest-context.js";
import { type GuestMode, Intercept } from "../guest-mode.js";
import type { HeldGuest } from "../hardware-guest.js";
import { ExitKind, type HardwareVirtualization, type VmExit } from "../hardware-virtualization.js";
import { EventKind, type VirtualizedProcessor } from "../virtualized-processor.js";
import { SecondaryControl } from "./controls.js";
import { takeControls, vmentry } from "./entry.js";
import { externalEvent, wakes } from "./events.js";
import { vmexit } from "./exit.js";
import { ActivityState, InterruptionInfo, VmxExitReason } from "./exit-reason.js";
import type { ExtendedPageTableTags } from "./extended-page-tables.js";
import { describeOperands } from "./instruction-information.js";
import type { MsrLoad, MsrStore } from "./msr-lists.js";
import { precedesPreemptionTimer, preemptionTimerExpired } from "./preemption-timer.js";
import { storeVirtualTpr } from "./virtual-tpr.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";
import { FieldGroup, wordOf } from "./vmcs-layout.js";
import { VmxGuest } from "./vmx-guest.js";

const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const VECTOR_DB = 1;
const VECTOR_PF = 14;
const VECTOR_MC = 18;

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
  readonly physicalInit: boolean;
  readonly sipiVector: number;
  readonly belowThreshold: boolean;
  readonly halted: boolean;
  /** Ledger tick at which the preemption timer runs out; -1 when it does not. */
  readonly deadline: number;
  readonly savedRflags: number;
  readonly context: GuestContextSnapshot;
  readonly lines: readonly number[];
  /** PAUSE-loop exiting: ledger ticks of the loop's first PAUSE and of the latest one. */
  readonly pauses: readonly [number, number];
  /** The next task switch does not exit. */
  readonly passesTaskSwitch: boolean;
  readonly held: HeldGuest;
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
  private readonly guest: VmxGuest;

  constructor(processor: VirtualizedProcessor, options: VmxOptions) {
    this.guest = new VmxGuest(processor, options);
    this.vmcs = this.guest.vmcs;
    this.context = this.guest.context;
  }

  /** A physical interrupt arrives while the guest runs, or before its next VM entry. */
  raiseInterrupt(vector: number): void {
    this.guest.physicalVector = vector;
    this.guest.words[State.Attention] |= Attention.Interrupt;
  }

  /** A physical NMI arrives. */
  raiseNmi(): void {
    this.guest.words[State.NmiPending] = 1;
    this.guest.words[State.Attention] |= Attention.Interrupt;
  }

  /** INIT arrives: always an exit. */
  raiseInit(): void {
    this.guest.physicalInit = true;
    this.guest.words[State.Attention] |= Attention.Interrupt;
  }

  /** A SIPI arrives, which only a guest that waits for one notices. @param vector the page to start at */
  raiseSipi(vector: number): void {
    this.guest.sipiVector = vector & 0xff;
  }

  /** Drops the processor's copies of VMCS state: the next VM entry reads and checks all of it. */
  forget(): void {
    this.guest.loaded = false;
  }

  enter(maxInstructions: number, maxTicks: number): VmExit {
    const { guest } = this;
    guest.recorded = false;
    if (guest.suspended) guest.resume(this);
    else if (vmentry(guest, this)) guest.exit.enteredAt = guest.processor.ledger.clock[0];
    else return guest.exit;
    let stop: number = StopReason.VmExit;
    if (!guest.recorded && (precedesPreemptionTimer(guest) || !preemptionTimerExpired(guest)))
      stop = this.run(maxInstructions, maxTicks);
    guest.exit.leftAt = guest.processor.ledger.clock[0];
    if (guest.recorded) vmexit(guest);
    else guest.suspend(stop);
    return guest.exit;
  }

  /** The guest runs, or waits for what can wake it. @returns a `StopReason` */
  private run(maxInstructions: number, maxTicks: number): number {
    const { guest } = this;
    const activity = guest.i32[guest.at + ACTIVITY];
    if (activity !== ActivityState.Active && !wakes(guest, activity))
      return guest.recorded ? StopReason.VmExit : this.wait(maxTicks);
    if (guest.halted && (guest.words[State.Attention] & Attention.Interrupt) !== 0 && externalEvent(guest))
      return StopReason.VmExit;
    guest.halted = false;
    const stop = guest.processor.engine.run(maxInstructions, Math.min(maxTicks, guest.deadline));
    if (guest.recorded) return stop;
    if (stop === StopReason.Halted) {
      guest.halted = true;
      return this.wait(maxTicks);
    }
    if (stop === StopReason.Budget && preemptionTimerExpired(guest)) return StopReason.VmExit;
    return stop;
  }

  /** Nothing can wake the guest but the preemption timer: time passes up to that. */
  private wait(maxTicks: number): number {
    const { guest } = this;
    const { ledger } = guest.processor;
    const never =
      guest.deadline === Number.POSITIVE_INFINITY ||
      guest.i32[guest.at + ACTIVITY] === ActivityState.WaitForSipi;
    if (never || guest.deadline > maxTicks) return StopReason.Halted;
    ledger.charge(Cause.Idle, Math.max(0, guest.deadline - ledger.clock[0]));
    preemptionTimerExpired(guest);
    return StopReason.VmExit;
  }

  /**
   * Lets the guest's next task switch happen in the processor. No real one does that: it stands for a hypervisor that
   * carries the switch out in software, with what the architecture says it has to do.
   */
  passTaskSwitch(): void {
    this.guest.intercepts.passesTaskSwitch = true;
  }

  interceptInstruction(event: number, info: number, length: number): boolean {
    const { guest } = this;
    const i = guest.intercepts;
    if (event === Intercept.ControlWritten) {
      if (info === 8) storeVirtualTpr(guest);
      return false;
    }
    if (!i.wants(event, info, guest.words)) return false;
    describeOperands(guest, event, info);
    return guest.record(i.kind, i.reason, i.qualificationLo, i.qualificationHi, 0, 0, length);
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
    const paging = vector === VECTOR_PF;
    let wanted = ((guest.exceptions >>> vector) & 1) !== 0;
    // A page fault that does not match the error-code filter does the opposite of its bit (25.2 of SDM vol. 3).
    if (paging && (errorCode & guest.faultMask) !== guest.faultMatch) wanted = !wanted;
    if (!wanted) return false;
    guest.exitInfo =
      vector |
      (kind << InterruptionInfo.KindShift) |
      (hasErrorCode ? InterruptionInfo.ErrorCodeValid : 0) |
      InterruptionInfo.Valid;
    guest.exitError = hasErrorCode ? errorCode : 0;
    const lo = paging || vector === VECTOR_DB ? addressLo : 0;
    const hi = paging ? addressHi : 0;
    return guest.record(ExitKind.Exception, VmxExitReason.ExceptionOrNmi, lo, hi, 0, 0, length);
  }

  undefines(event: number): boolean {
    const { secondary } = this.guest.intercepts;
    const needed =
      event === Intercept.Invpcid ? SecondaryControl.EnableInvpcid : SecondaryControl.EnableRdtscp;
    return (secondary & needed) === 0;
  }

  /** Bits that VMX operation fixes, where the guest owns them (SDM vol. 3, 24.8 and 26.3). */
  allowsControl(register: number, value: number): boolean {
    return this.guest.intercepts.allowsControl(register, value);
  }

  /** The guest/host masks (SDM vol. 3, 25.6.6). */
  ownedControl(register: number): number {
    return this.guest.intercepts.ownedControl(register);
  }

  controlAsRead(register: number, value: number): number {
    return this.guest.intercepts.controlAsRead(register, value);
  }

  secondStageFault(): void {
    const { guest } = this;
    const { fault } = guest.processor.mmu;
    if (fault.kind === FaultKind.NoRam) {
      // No machine memory answers: a machine check, or the end where nobody looks at those.
      if (!this.interceptException(VECTOR_MC, 0, false, 0, 0))
        guest.record(ExitKind.Shutdown, VmxExitReason.TripleFault, 0, 0, 0, 0, 0);
      return;
    }
    const gpaLo = (fault.gfn << 12) | fault.gfnOffset;
    const gpaHi = Math.floor(fault.gfn / 0x100000);
    if (fault.kind === FaultKind.ModificationLogFull) {
      guest.record(ExitKind.Other, VmxExitReason.PageModificationLogFull, 0, 0, 0, 0, 0);
      return;
    }
    if (fault.kind === FaultKind.EptMisconfig) {
      guest.record(ExitKind.SecondStageFault, VmxExitReason.EptMisconfiguration, 0, 0, gpaLo, gpaHi, 0);
      return;
    }
    guest.linearLo = fault.linearLo;
    guest.linearHi = fault.linearHi;
    guest.record(ExitKind.SecondStageFault, VmxExitReason.EptViolation, fault.errorCode, 0, gpaLo, gpaHi, 0);
  }

  externalEvent(): boolean {
    return externalEvent(this.guest);
  }

  snapshot(): VmxSnapshot {
    const { guest } = this;
    return {
      written: guest.vmcs.written,
      loaded: guest.loaded,
      suspended: guest.suspended,
      physicalVector: guest.physicalVector,
      physicalInit: guest.physicalInit,
      sipiVector: guest.sipiVector,
      belowThreshold: guest.belowThreshold,
      halted: guest.halted,
      deadline: guest.deadline === Number.POSITIVE_INFINITY ? -1 : guest.deadline,
      savedRflags: guest.savedRflags,
      context: snapshotContext(guest.context),
      lines: guest.lines.snapshot(),
      pauses: guest.intercepts.pauses(),
      passesTaskSwitch: guest.intercepts.passesTaskSwitch,
      held: guest.held(),
    };
  }

  /** Puts it back, after memory, registers and `Mmu`, with the EPT numbers of that time. */
  restore(snapshot: VmxSnapshot): void {
    const { guest } = this;
    const attention = guest.words[State.Attention];
    takeControls(guest, FieldGroup.Controls, 0);
    guest.words[State.Attention] = attention;
    guest.vmcs.written = snapshot.written;
    guest.loaded = snapshot.loaded;
    guest.suspended = snapshot.suspended;
    guest.physicalVector = snapshot.physicalVector;
    guest.physicalInit = snapshot.physicalInit;
    guest.sipiVector = snapshot.sipiVector;
    guest.belowThreshold = snapshot.belowThreshold;
    guest.halted = snapshot.halted;
    guest.deadline = snapshot.deadline < 0 ? Number.POSITIVE_INFINITY : snapshot.deadline;
    guest.savedRflags = snapshot.savedRflags;
    restoreContext(guest.context, snapshot.context);
    guest.lines.restore(snapshot.lines);
    guest.intercepts.restorePauses(snapshot.pauses);
    guest.intercepts.passesTaskSwitch = snapshot.passesTaskSwitch;
    guest.restoreHeld(snapshot.held);
  }
}
