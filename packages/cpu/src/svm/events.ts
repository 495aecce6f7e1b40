import { Attention, Flag, Shadow, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { EventKind } from "../virtualized-processor.js";
import { EventInfo, General1, SvmExitCode, VIntrBit } from "./exit-code.js";
import { SvmFeature, type SvmGuest } from "./svm-guest.js";
import { VmcbOffset } from "./vmcb-fields.js";

const NRIP = VmcbOffset.NRip >>> 2;
const VECTOR_NMI = 2;
const VECTOR_BP = 3;
const VECTOR_OF = 4;

/**
 * Delivers what EVENTINJ asks for (APM vol. 2, 15.20); delivery may leave the guest. INT n, INT3 and INTO look at the
 * gate's DPL, and with NRIP save the address they push is the VMCB's nRIP.
 */
export function injectEvent(guest: SvmGuest, event: number, errorCode: number): void {
  const { words, i32, at } = guest;
  const vector = event & 0xff;
  const hasErrorCode = (event & EventInfo.ErrorCodeValid) !== 0;
  let kind = (event >>> EventInfo.KindShift) & 7;
  if (kind === EventKind.HardwareException && (vector === VECTOR_BP || vector === VECTOR_OF))
    kind = EventKind.SoftwareException;
  let length = 0;
  if (kind >= EventKind.SoftwareInterrupt && (guest.features & SvmFeature.NripSave) !== 0)
    length = (i32[at + NRIP] - words[State.RipLo]) | 0;
  guest.processor.deliverEvent(
    kind,
    kind === EventKind.Nmi ? VECTOR_NMI : vector,
    errorCode,
    hasErrorCode,
    length,
  );
}

/**
 * What is due between two instructions of the guest, by priority: the trap of a write that has just taken effect, INIT,
 * NMI, a physical interrupt, a virtual one (APM vol. 2, 15.13 and 15.21). Without GIF all but the trap wait.
 * @returns true when a #VMEXIT is on record
 */
export function externalEvent(guest: SvmGuest): boolean {
  const { words, trap } = guest;
  if (trap !== 0) {
    guest.trap = 0;
    calm(guest);
    return guest.record(ExitKind.CrAccess, trap, guest.trapValue, 0, 0, 0, 0);
  }
  if (guest.gif === 0) return false;
  const wanted = guest.intercepts.general1;
  if (guest.physicalInit && (wanted & (1 << General1.Init)) !== 0) {
    guest.physicalInit = false;
    calm(guest);
    return guest.record(ExitKind.Other, SvmExitCode.Init, 0, 0, 0, 0, 0);
  }
  if (words[State.NmiPending] !== 0 && words[State.NmiBlocked] === 0) {
    if ((wanted & (1 << General1.Nmi)) !== 0) {
      words[State.NmiPending] = 0;
      calm(guest);
      return guest.record(ExitKind.Other, SvmExitCode.Nmi, 0, 0, 0, 0, 0);
    }
    if ((words[State.InterruptShadow] & Shadow.MovSs) !== Shadow.MovSs) {
      words[State.NmiPending] = 0;
      words[State.NmiBlocked] = 1;
      return deliver(guest, EventKind.Nmi, VECTOR_NMI);
    }
  }
  if (physicalInterruptOpen(guest)) {
    const { physicalVector } = guest;
    const leaves = (wanted & (1 << General1.Intr)) !== 0;
    if (leaves || physicalVector >= 0) guest.physicalVector = -1;
    if (leaves) {
      calm(guest);
      return guest.record(ExitKind.ExternalInterrupt, SvmExitCode.Intr, 0, 0, 0, 0, 0);
    }
    if (physicalVector >= 0) return deliver(guest, EventKind.ExternalInterrupt, physicalVector);
  }
  if ((guest.vIntr & VIntrBit.Irq) === 0 || !virtualInterruptOpen(guest)) return false;
  if ((wanted & (1 << General1.VIntr)) !== 0) {
    // VMRUN looks for V_IRQ anew: without it, attention that is left would count as a physical interrupt.
    if (words[State.NmiPending] === 0 && guest.physicalVector < 0 && !guest.physicalInit)
      words[State.Attention] &= ~Attention.Interrupt;
    return guest.record(ExitKind.ExternalInterrupt, SvmExitCode.VIntr, 0, 0, 0, 0, 0);
  }
  guest.vIntr &= ~VIntrBit.Irq;
  return deliver(guest, EventKind.ExternalInterrupt, guest.vVector);
}

function deliver(guest: SvmGuest, kind: number, vector: number): boolean {
  calm(guest);
  guest.processor.deliverEvent(kind, vector, 0, false, 0);
  return guest.recorded;
}

/** Something waits: an NMI, INIT, a physical or a virtual interrupt. */
export function isWaiting({ words, physicalVector, physicalInit, vIntr }: SvmGuest): boolean {
  return words[State.NmiPending] !== 0 || physicalVector >= 0 || physicalInit || (vIntr & VIntrBit.Irq) !== 0;
}

/** Nothing is left to look for, unless it waits for something. */
function calm(guest: SvmGuest): void {
  if (!isWaiting(guest)) guest.words[State.Attention] &= ~Attention.Interrupt;
}

/**
 * A physical interrupt is due and not masked: by the host's RFLAGS.IF under V_INTR_MASKING, else by the guest's. Without
 * a vector, attention that nothing else accounts for counts as one.
 */
function physicalInterruptOpen({ words, vIntr, physicalVector, hostInterrupts }: SvmGuest): boolean {
  if (physicalVector < 0 && ((vIntr & VIntrBit.Irq) !== 0 || words[State.NmiPending] !== 0)) return false;
  if ((vIntr & VIntrBit.Masking) !== 0) return hostInterrupts;
  return (words[State.Flags] & Flag.If) !== 0 && words[State.InterruptShadow] === 0;
}

/** V_IRQ can be taken: RFLAGS.IF, no interrupt shadow, and a priority above the virtual TPR's. */
function virtualInterruptOpen({ words, vIntr }: SvmGuest): boolean {
  if ((words[State.Flags] & Flag.If) === 0 || words[State.InterruptShadow] !== 0) return false;
  if ((vIntr & VIntrBit.IgnoreTpr) !== 0) return true;
  const tpr = (vIntr & VIntrBit.Masking) !== 0 ? words[State.Cr8] : vIntr;
  return ((vIntr >>> VIntrBit.PriorityShift) & 15) > (tpr & VIntrBit.PriorityMask);
}
