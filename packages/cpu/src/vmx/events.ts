import { Attention, Flag, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { EventKind } from "../virtualized-processor.js";
import { ExitControl, PinControl, PrimaryControl } from "./controls.js";
import { ActivityState, Interruptibility, InterruptionInfo, VmxExitReason } from "./exit-reason.js";
import { VmcsField } from "./vmcs-fields.js";
import { wordOf } from "./vmcs-layout.js";
import type { VmxGuest } from "./vmx-guest.js";

const INTERRUPTIBILITY = wordOf(VmcsField.GuestInterruptibility);
const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const ENTRY_ERROR = wordOf(VmcsField.EntryExceptionErrorCode);
const ENTRY_LENGTH = wordOf(VmcsField.EntryInstructionLength);

/** Delivers the event of the VM-entry fields; delivery may leave the guest. */
export function injectEvent(guest: VmxGuest, event: number): void {
  const { i32, at } = guest;
  const hasErrorCode = (event & InterruptionInfo.ErrorCodeValid) !== 0;
  const kind = (event >>> InterruptionInfo.KindShift) & 7;
  i32[at + ACTIVITY] = ActivityState.Active;
  const length = kind >= EventKind.SoftwareInterrupt ? i32[at + ENTRY_LENGTH] : 0;
  guest.processor.deliverEvent(kind, event & 0xff, i32[at + ENTRY_ERROR], hasErrorCode, length);
}

/** Something outside is due while the guest runs. @returns true when a VM exit is on record */
export function externalEvent(guest: VmxGuest): boolean {
  const { words } = guest;
  const { primary } = guest.intercepts;
  const window = (primary & PrimaryControl.InterruptWindowExiting) !== 0;
  const nmiWindow = (primary & PrimaryControl.NmiWindowExiting) !== 0;
  if (guest.physicalVector >= 0 || (!window && !nmiWindow)) {
    if ((guest.pin & PinControl.ExternalInterruptExiting) === 0) return false;
    if ((guest.exitControls & ExitControl.AcknowledgeInterrupt) !== 0)
      guest.exitInfo = (guest.physicalVector & 0xff) | InterruptionInfo.Valid;
    guest.physicalVector = -1;
    if (!window && !nmiWindow) words[State.Attention] &= ~Attention.Interrupt;
    return guest.record(ExitKind.ExternalInterrupt, VmxExitReason.ExternalInterrupt, 0, 0, 0, 0, 0);
  }
  if (words[State.InterruptShadow] !== 0) return false;
  const nmiBlocked = (guest.i32[guest.at + INTERRUPTIBILITY] & Interruptibility.ByNmi) !== 0;
  if (nmiWindow && !nmiBlocked) return windowExit(guest, VmxExitReason.NmiWindow);
  if (!window || (words[State.Flags] & Flag.If) === 0) return false;
  return windowExit(guest, VmxExitReason.InterruptWindow);
}

function windowExit(guest: VmxGuest, reason: number): boolean {
  guest.words[State.Attention] &= ~Attention.Interrupt;
  return guest.record(ExitKind.Other, reason, 0, 0, 0, 0, 0);
}
