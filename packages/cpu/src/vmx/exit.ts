import { Cause } from "@hyperwalk/mmu";
import { Shadow, State } from "../cpu-state.js";
import { ExitKind } from "../hardware-virtualization.js";
import { EventKind } from "../virtualized-processor.js";
import {
  ActivityState,
  ENTRY_FAILURE,
  Interruptibility,
  InterruptionInfo,
  PendingDebug,
} from "./exit-reason.js";
import { loadHostState } from "./host-state.js";
import { savePreemptionTimer } from "./preemption-timer.js";
import { VmcsField } from "./vmcs-fields.js";
import { wordOf } from "./vmcs-layout.js";
import type { VmxGuest } from "./vmx-guest.js";

const RIP = wordOf(VmcsField.GuestRip);
const RSP = wordOf(VmcsField.GuestRsp);
const RFLAGS = wordOf(VmcsField.GuestRflags);
const INTERRUPTIBILITY = wordOf(VmcsField.GuestInterruptibility);
const ENTRY_INFO = wordOf(VmcsField.EntryInterruptionInfo);
const ENTRY_CONTROLS = wordOf(VmcsField.EntryControls);
const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const PENDING_DEBUG = wordOf(VmcsField.GuestPendingDebugExceptions);
const PML_INDEX = wordOf(VmcsField.PmlIndex);
const INSTRUCTION_INFO = wordOf(VmcsField.ExitInstructionInfo);
const REASON = wordOf(VmcsField.ExitReason);
const LENGTH = wordOf(VmcsField.ExitInstructionLength);
const QUALIFICATION = wordOf(VmcsField.ExitQualification);
const GPA = wordOf(VmcsField.GuestPhysicalAddress);
const LINEAR = wordOf(VmcsField.GuestLinearAddress);
const EXIT_INFO = wordOf(VmcsField.ExitInterruptionInfo);
const EXIT_ERROR = wordOf(VmcsField.ExitInterruptionErrorCode);
const VECTORING = wordOf(VmcsField.IdtVectoringInfo);
const VECTORING_ERROR = wordOf(VmcsField.IdtVectoringErrorCode);

const BLOCKED = Interruptibility.BySti | Interruptibility.ByMovSs | Interruptibility.ByNmi;
const NMI_SHIFT = 3;

/** VM exit: exit information and guest state to the VMCS, host state to the processor. */
export function vmexit(guest: VmxGuest): void {
  const { processor, words, i32, at } = guest;
  const { ledger } = processor;
  ledger.enter(guest.exitPhase);
  ledger.charge(Cause.ExitHardware, guest.exitTicks);
  const rflags = processor.engine.rflags();
  guest.leave();
  guest.lines.write(0);
  guest.lines.write(64);
  guest.transfer.saveChangedState(guest.exitControls, guest.context);
  guest.entryControls = i32[at + ENTRY_CONTROLS];
  i32[at + RIP] = words[State.RipLo];
  i32[at + RIP + 1] = words[State.RipHi];
  i32[at + RSP] = words[State.Gpr + 8];
  i32[at + RSP + 1] = words[State.Gpr + 9];
  i32[at + RFLAGS] = rflags;
  i32[at + RFLAGS + 1] = 0;
  guest.savedRflags = rflags;
  const shadow =
    words[State.InterruptShadow] === 0
      ? 0
      : (words[State.InterruptShadow] & Shadow.MovSs) === Shadow.MovSs
        ? Interruptibility.ByMovSs
        : Interruptibility.BySti;
  i32[at + INTERRUPTIBILITY] =
    (i32[at + INTERRUPTIBILITY] & ~BLOCKED) | shadow | (words[State.NmiBlocked] << NMI_SHIFT);
  if (guest.halted) i32[at + ACTIVITY] = ActivityState.Hlt;
  savePendingDebug(guest);
  if (guest.ept.modificationLog) i32[at + PML_INDEX] = guest.modificationLog.index & 0xffff;
  savePreemptionTimer(guest);
  storeExit(guest, guest.exit.code);
  if (guest.exitStores !== 0)
    guest.msrLists.store(guest.address(VmcsField.ExitMsrStoreAddress), guest.exitStores);
  returnToHost(guest);
  ledger.leave();
}

/** Debug traps that the guest has not taken yet: held back by MOV SS, or after a monitor trap. */
function savePendingDebug(guest: VmxGuest): void {
  const { i32, at, words } = guest;
  const pending = words[State.PendingDebug];
  if (pending === 0 && i32[at + PENDING_DEBUG] === 0) return;
  i32[at + PENDING_DEBUG] = pending | ((pending & 15) === 0 ? 0 : PendingDebug.EnabledBreakpoint);
  i32[at + PENDING_DEBUG + 1] = 0;
}

function returnToHost(guest: VmxGuest): void {
  const { processor, words } = guest;
  if (!guest.usesVpid) processor.mmu.invalidateAsid(0, false);
  if (guest.hostExecutes) {
    loadHostState(guest.vmcs, words);
    processor.engine.setRflags(2);
    words[State.ResidentGuest] = 0;
    words[State.PendingDebug] = 0;
    // An NMI exit leaves NMIs blocked, any other leaves them open.
    words[State.NmiBlocked] = (guest.exit.code & 0xffff) === 0 && isNmi(guest) ? 1 : 0;
    processor.syncTranslation();
  }
  if (guest.exitLoads !== 0)
    guest.msrLists.load(guest.address(VmcsField.ExitMsrLoadAddress), guest.exitLoads);
}

function isNmi({ i32, at }: VmxGuest): boolean {
  return (
    ((i32[at + EXIT_INFO] >>> InterruptionInfo.KindShift) & 7) === EventKind.Nmi && i32[at + EXIT_INFO] < 0
  );
}

/** Exit-information fields; the valid bit of the injected event is cleared. */
function storeExit(guest: VmxGuest, reason: number): void {
  const { i32, at, exit } = guest;
  const event = guest.processor.eventInDelivery;
  i32[at + REASON] = reason;
  i32[at + LENGTH] = exit.instructionLength === 0 ? event.length : exit.instructionLength;
  i32[at + QUALIFICATION] = exit.info1Lo;
  i32[at + QUALIFICATION + 1] = exit.info1Hi;
  i32[at + GPA] = exit.info2Lo;
  i32[at + GPA + 1] = exit.info2Hi;
  i32[at + LINEAR] = guest.linearLo;
  i32[at + LINEAR + 1] = guest.linearHi;
  i32[at + EXIT_INFO] = guest.exitInfo;
  i32[at + EXIT_ERROR] = guest.exitError;
  i32[at + VECTORING] = event.info;
  i32[at + VECTORING_ERROR] = event.errorCode;
  if (event.info !== 0) event.clear();
  i32[at + ENTRY_INFO] &= ~InterruptionInfo.Valid;
  if (guest.instructionInfo !== 0) {
    i32[at + INSTRUCTION_INFO] = guest.instructionInfo;
    guest.instructionInfo = 0;
  }
  guest.exitInfo = guest.exitError = guest.linearLo = guest.linearHi = 0;
}

/** VMfail: the entry instruction completed with an error and no VM exit. */
export function failInstruction(guest: VmxGuest, error: number): boolean {
  const { ledger } = guest.processor;
  guest.vmcs.fail(error);
  ledger.leave();
  guest.record(ExitKind.InvalidState, -1, error, 0, 0, 0, 0);
  return false;
}

/** VM-entry failure during or after loading guest state (27.8 of SDM vol. 3): a VM exit that saves no guest state. */
export function failEntry(guest: VmxGuest, reason: number, qualification: number): boolean {
  const { ledger } = guest.processor;
  ledger.leave();
  ledger.enter(guest.exitPhase);
  ledger.charge(Cause.ExitHardware, guest.exitTicks);
  guest.loaded = false;
  guest.words[State.ResidentGuest] = 0;
  guest.record(ExitKind.InvalidState, reason, qualification, 0, 0, 0, 0);
  guest.lines.write(0);
  guest.lines.write(64);
  const event = guest.i32[guest.at + ENTRY_INFO];
  storeExit(guest, reason | ENTRY_FAILURE);
  guest.i32[guest.at + ENTRY_INFO] = event; // stays valid: nothing was injected
  returnToHost(guest);
  ledger.leave();
  return false;
}
