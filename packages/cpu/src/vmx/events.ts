import { Attention, Flag, GuestRun, Shadow, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { EventKind } from "../virtualized-processor.js";
import { ExitControl, PinControl, PrimaryControl } from "./controls.js";
import { ActivityState, InterruptionInfo, OTHER_EVENT, VmxExitReason } from "./exit-reason.js";
import { preemptionTimerExpired } from "./preemption-timer.js";
import { VmcsField } from "./vmcs-fields.js";
import { wordOf } from "./vmcs-layout.js";
import type { VmxGuest } from "./vmx-guest.js";

const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const ENTRY_ERROR = wordOf(VmcsField.EntryExceptionErrorCode);
const ENTRY_LENGTH = wordOf(VmcsField.EntryInstructionLength);
const VECTOR_NMI = 2;

/** Delivers the event of the VM-entry fields (SDM vol. 3, 27.6); delivery may leave the guest. */
export function injectEvent(guest: VmxGuest, event: number): void {
  const { i32, at, words } = guest;
  const hasErrorCode = (event & InterruptionInfo.ErrorCodeValid) !== 0;
  const kind = (event >>> InterruptionInfo.KindShift) & 7;
  i32[at + ACTIVITY] = ActivityState.Active;
  if (kind !== OTHER_EVENT) {
    const length = kind >= EventKind.SoftwareInterrupt ? i32[at + ENTRY_LENGTH] : 0;
    guest.processor.deliverEvent(kind, event & 0xff, i32[at + ENTRY_ERROR], hasErrorCode, length);
    if (guest.recorded) return;
    if (kind === EventKind.Nmi) words[State.NmiBlocked] = 1;
    if ((guest.run & GuestRun.MonitorTrap) === 0) return;
  }
  // A monitor trap is pending: injected as one, or because it is on and an event has been delivered.
  words[State.GuestMode] |= GuestRun.MonitorTrapDue;
  words[State.Attention] |= Attention.Interrupt;
}

/**
 * What is due between two instructions of the guest, by priority: a TPR that fell below its threshold, INIT, the monitor
 * trap, the preemption timer, the NMI window, an NMI, the interrupt window, an external interrupt (SDM vol. 3, 26.2 and
 * 26.5).
 * @returns true when a VM exit is on record
 */
export function externalEvent(guest: VmxGuest): boolean {
  const { words } = guest;
  const { primary } = guest.intercepts;
  if (guest.belowThreshold) {
    guest.belowThreshold = false;
    return leave(guest, VmxExitReason.TprBelowThreshold);
  }
  if (guest.physicalInit) {
    guest.physicalInit = false;
    return leave(guest, VmxExitReason.Init);
  }
  if ((words[State.GuestMode] & GuestRun.MonitorTrapDue) !== 0)
    return leave(guest, VmxExitReason.MonitorTrap);
  if (preemptionTimerExpired(guest)) return true;
  const shadow = words[State.InterruptShadow];
  if ((shadow & Shadow.MovSs) !== Shadow.MovSs) {
    if (nmiWindowOpen(guest)) return leave(guest, VmxExitReason.NmiWindow);
    if (words[State.NmiPending] !== 0 && takeNmi(guest)) return guest.recorded;
  }
  const window = (primary & PrimaryControl.InterruptWindowExiting) !== 0;
  const open = (words[State.Flags] & Flag.If) !== 0 && shadow === Shadow.None;
  if (window && open) return leave(guest, VmxExitReason.InterruptWindow);
  // Without a vector, attention that nothing else accounts for counts as an interrupt.
  if (guest.physicalVector < 0 && watching(guest)) return false;
  return takeInterrupt(guest, open);
}

/** Blocking by MOV SS left aside. */
function nmiWindowOpen({ intercepts, words }: VmxGuest): boolean {
  return (intercepts.primary & PrimaryControl.NmiWindowExiting) !== 0 && words[State.NmiBlocked] === 0;
}

/** @returns false when the NMI has to wait */
function takeNmi(guest: VmxGuest): boolean {
  const { words, pin } = guest;
  const blocks = (pin & PinControl.VirtualNmis) === 0;
  if (blocks && words[State.NmiBlocked] !== 0) return false;
  if ((pin & PinControl.NmiExiting) !== 0) {
    words[State.NmiPending] = 0;
    guest.exitInfo = VECTOR_NMI | (EventKind.Nmi << InterruptionInfo.KindShift) | InterruptionInfo.Valid;
    return leave(guest, VmxExitReason.ExceptionOrNmi);
  }
  words[State.NmiPending] = 0;
  calm(guest);
  awaken(guest);
  guest.processor.deliverEvent(EventKind.Nmi, VECTOR_NMI, 0, false, 0);
  if (!guest.recorded) words[State.NmiBlocked] = 1;
  return true;
}

function takeInterrupt(guest: VmxGuest, open: boolean): boolean {
  const { physicalVector: vector } = guest;
  if ((guest.pin & PinControl.ExternalInterruptExiting) !== 0) {
    guest.physicalVector = -1;
    if ((guest.exitControls & ExitControl.AcknowledgeInterrupt) !== 0)
      guest.exitInfo = (vector & 0xff) | InterruptionInfo.Valid;
    calm(guest);
    return guest.record(ExitKind.ExternalInterrupt, VmxExitReason.ExternalInterrupt, 0, 0, 0, 0, 0);
  }
  if (!open || vector < 0) return false;
  guest.physicalVector = -1;
  calm(guest);
  awaken(guest);
  guest.processor.deliverEvent(EventKind.ExternalInterrupt, vector, 0, false, 0);
  return guest.recorded;
}

function leave(guest: VmxGuest, reason: number): true {
  calm(guest);
  return guest.record(
    reason === VmxExitReason.ExceptionOrNmi ? ExitKind.Exception : ExitKind.Other,
    reason,
    0,
    0,
    0,
    0,
    0,
  );
}

function awaken(guest: VmxGuest): void {
  guest.i32[guest.at + ACTIVITY] = ActivityState.Active;
  guest.halted = false;
}

/** Something is waited for that needs a look between instructions, besides physical interrupts. */
function watching({ intercepts, words, physicalInit }: VmxGuest): boolean {
  const windows = PrimaryControl.InterruptWindowExiting | PrimaryControl.NmiWindowExiting;
  return (intercepts.primary & windows) !== 0 || words[State.NmiPending] !== 0 || physicalInit;
}

/** Nothing is left to look for, unless it waits for something. */
function calm(guest: VmxGuest): void {
  if (guest.physicalVector < 0 && guest.words[State.NmiPending] === 0 && !guest.physicalInit)
    guest.words[State.Attention] &= ~Attention.Interrupt;
}

/**
 * A guest that is halted, shut down or waits for a SIPI: what it can be woken by (SDM vol. 3, 25.4.2, 26.2 and 27.7.6).
 * Without that it stays so.
 * @returns true when it runs again
 */
export function wakes(guest: VmxGuest, activity: number): boolean {
  const { words, i32, at } = guest;
  if (activity === ActivityState.WaitForSipi) {
    if (guest.sipiVector < 0) return false;
    guest.record(ExitKind.Other, VmxExitReason.Sipi, guest.sipiVector, 0, 0, 0, 0);
    guest.sipiVector = -1;
    return false;
  }
  // Not by an interrupt or its window.
  const window = nmiWindowOpen(guest);
  if (activity === ActivityState.Shutdown && words[State.NmiPending] === 0 && !guest.physicalInit && !window)
    return false;
  if ((words[State.Attention] & Attention.Interrupt) !== 0) externalEvent(guest);
  return !guest.recorded && i32[at + ACTIVITY] === ActivityState.Active;
}
