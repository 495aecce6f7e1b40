import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { GuestRun, Shadow, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { ExitControl, PinControl, PREEMPTION_TIMER_RATE } from "./controls.js";
import { ActivityState, VmxExitReason } from "./exit-reason.js";
import { VmcsField } from "./vmcs-fields.js";
import { wordOf } from "./vmcs-layout.js";
import type { VmxGuest } from "./vmx-guest.js";

const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const TIMER = wordOf(VmcsField.PreemptionTimer);
/** Ledger ticks of one count: the timer follows a bit of the time stamp (SDM vol. 3, 26.5.1). */
const COUNT_TICKS = 2 ** PREEMPTION_TIMER_RATE * TICKS_PER_CYCLE;

/** VM entry: from now on the timer counts down, also while the guest is halted. */
export function startPreemptionTimer(guest: VmxGuest): void {
  guest.deadline = Number.POSITIVE_INFINITY;
  if ((guest.pin & PinControl.PreemptionTimer) === 0) return;
  const count = guest.i32[guest.at + TIMER] >>> 0;
  guest.deadline = (Math.floor(guest.processor.ledger.clock[0] / COUNT_TICKS) + count) * COUNT_TICKS;
}

/** @returns true when the timer has run out and the VM exit is on record; a guest that waits for a SIPI stays (26.5.1) */
export function preemptionTimerExpired(guest: VmxGuest): boolean {
  if (guest.processor.ledger.clock[0] < guest.deadline) return false;
  if (guest.i32[guest.at + ACTIVITY] === ActivityState.WaitForSipi) return false;
  return guest.record(ExitKind.Other, VmxExitReason.PreemptionTimer, 0, 0, 0, 0, 0);
}

/** A monitor trap or a debug trap that VM entry left pending: they come before the timer (SDM vol. 3, 27.7.4). */
export function precedesPreemptionTimer({ words }: VmxGuest): boolean {
  if ((words[State.GuestMode] & GuestRun.MonitorTrapDue) !== 0) return true;
  return words[State.PendingDebug] !== 0 && (words[State.InterruptShadow] & Shadow.MovSs) !== Shadow.MovSs;
}

/** VM exit: what is left of it, where the exit controls ask for that. */
export function savePreemptionTimer(guest: VmxGuest): void {
  if ((guest.exitControls & ExitControl.SavePreemptionTimer) === 0) return;
  const left = (guest.deadline - guest.processor.ledger.clock[0]) / COUNT_TICKS;
  guest.i32[guest.at + TIMER] = Math.max(0, Math.ceil(left)) | 0;
}
