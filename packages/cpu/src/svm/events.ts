import { Attention, Flag, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { EventInfo, General1, SvmExitCode, VIntrBit } from "./exit-code.js";
import type { SvmGuest } from "./svm-guest.js";

/** Delivers what EVENTINJ or V_IRQ asks for; delivery may leave the guest. */
export function injectEvent(guest: SvmGuest, event: number, errorCode: number): void {
  const kind = (event >>> EventInfo.KindShift) & 7;
  const hasErrorCode = (event & EventInfo.ErrorCodeValid) !== 0;
  guest.processor.deliverEvent(kind, event & 0xff, errorCode, hasErrorCode, 0);
}

/** Something outside is due while the guest runs. @returns true when a #VMEXIT is on record */
export function externalEvent(guest: SvmGuest): boolean {
  const { words } = guest;
  const wanted = guest.intercepts.general1;
  const virtual = (guest.vIntr & VIntrBit.Irq) !== 0;
  if ((guest.physicalVector >= 0 || !virtual) && (wanted & (1 << General1.Intr)) !== 0) {
    guest.physicalVector = -1;
    if (!virtual) words[State.Attention] &= ~Attention.Interrupt;
    return guest.record(ExitKind.ExternalInterrupt, SvmExitCode.Intr, 0, 0, 0, 0, 0);
  }
  if (!virtual || !virtualInterruptOpen(guest)) return false;
  words[State.Attention] &= ~Attention.Interrupt;
  if ((wanted & (1 << General1.VIntr)) !== 0)
    return guest.record(ExitKind.ExternalInterrupt, SvmExitCode.VIntr, 0, 0, 0, 0, 0);
  guest.vIntr &= ~VIntrBit.Irq;
  injectEvent(guest, EventInfo.Valid | guest.vVector, 0);
  return guest.recorded;
}

/** V_IRQ can be taken: RFLAGS.IF, no interrupt shadow, and a priority above the virtual TPR's. */
function virtualInterruptOpen({ words, vIntr }: SvmGuest): boolean {
  if ((words[State.Flags] & Flag.If) === 0 || words[State.InterruptShadow] !== 0) return false;
  if ((vIntr & VIntrBit.IgnoreTpr) !== 0) return true;
  return ((vIntr >>> VIntrBit.PriorityShift) & 15) > (words[State.Cr8] & 15);
}
