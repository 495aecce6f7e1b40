import { Cause, PagingMode } from "@hyperwalk/mmu";
import { Attention, Flag, Shadow, State } from "../cpu-state.js";
import type { GuestMode } from "../guest-mode.js";
import { unscale } from "../timestamp.js";
import { checkControls, eventConsistent } from "./control-checks.js";
import { PrimaryControl, SecondaryControl } from "./controls.js";
import { injectEvent } from "./events.js";
import { failEntry, failInstruction } from "./exit.js";
import { Interruptibility, PendingDebug, VmxExitReason } from "./exit-reason.js";
import { checkGuestState } from "./guest-checks.js";
import { checkHostState } from "./host-checks.js";
import { InstructionError } from "./instruction-error.js";
import { startPreemptionTimer } from "./preemption-timer.js";
import { loadVirtualTpr } from "./virtual-tpr.js";
import { VmcsField } from "./vmcs-fields.js";
import { FieldGroup, wordOf } from "./vmcs-layout.js";
import type { VmxGuest } from "./vmx-guest.js";

const RIP = wordOf(VmcsField.GuestRip);
const RSP = wordOf(VmcsField.GuestRsp);
const RFLAGS = wordOf(VmcsField.GuestRflags);
const INTERRUPTIBILITY = wordOf(VmcsField.GuestInterruptibility);
const ACTIVITY = wordOf(VmcsField.GuestActivityState);
const ENTRY_INFO = wordOf(VmcsField.EntryInterruptionInfo);
const ENTRY_ERROR = wordOf(VmcsField.EntryExceptionErrorCode);
const ENTRY_LENGTH = wordOf(VmcsField.EntryInstructionLength);
const PDPTE = wordOf(VmcsField.GuestPdpte0);

const G_CHECKED = FieldGroup.All & ~FieldGroup.Host;
const G_TRANSLATION = FieldGroup.Controls | FieldGroup.ControlRegisters | FieldGroup.Segments;
const RFLAGS_RESERVED = ~0x3f7fd7;
const BLOCKED = Interruptibility.BySti | Interruptibility.ByMovSs;

/** VMLAUNCH or VMRESUME up to the guest's first instruction. @returns false when the entry failed */
export function vmentry(guest: VmxGuest, hooks: GuestMode): boolean {
  const { processor, words, i32, at, context, vmcs } = guest;
  const { ledger, mmu } = processor;
  ledger.enter(guest.entryPhase);
  ledger.charge(Cause.EntryHardware, guest.entryTicks);
  const resident = guest.loaded && words[State.ResidentGuest] === guest.residence;
  const written = resident ? vmcs.written : FieldGroup.All;
  if (mmu.context !== guest.host) mmu.activate(guest.host);
  guest.transfer.readLines(written !== 0);
  const event = i32[at + ENTRY_INFO];
  const error = takeControls(guest, written, event);
  if (error !== InstructionError.None) return failInstruction(guest, error);
  const qualification = checkGuest(guest, written, event);
  if (qualification >= 0) return failEntry(guest, VmxExitReason.InvalidGuestState, qualification);
  if (written !== 0) guest.transfer.load(written, guest.entryControls);
  if ((written & FieldGroup.Controls) !== 0) loadPendingDebug(guest);
  const rflags = i32[at + RFLAGS];
  words[State.RipLo] = i32[at + RIP];
  words[State.RipHi] = i32[at + RIP + 1];
  words[State.Gpr + 8] = i32[at + RSP];
  words[State.Gpr + 9] = i32[at + RSP + 1];
  if (!resident || rflags !== guest.savedRflags) processor.engine.setRflags(rflags);
  const blocking = i32[at + INTERRUPTIBILITY] & BLOCKED;
  words[State.InterruptShadow] =
    blocking === 0 ? Shadow.None : (blocking & Interruptibility.ByMovSs) !== 0 ? Shadow.MovSs : Shadow.Sti;
  words[State.NmiBlocked] = (i32[at + INTERRUPTIBILITY] & Interruptibility.ByNmi) === 0 ? 0 : 1;
  words[State.Dirty] = 0;
  if (guest.entryLoads !== 0) {
    const failed = guest.msrLists.load(guest.address(VmcsField.EntryMsrLoadAddress), guest.entryLoads);
    if (failed !== 0) return failEntry(guest, VmxExitReason.MsrLoading, failed);
  }
  words[State.ResidentGuest] = guest.residence;
  guest.loaded = true;
  vmcs.written = 0;
  vmcs.launched = true;
  if (!guest.usesVpid) mmu.invalidateAsid(0, false);
  guest.halted = false;
  startPreemptionTimer(guest);
  guest.resume(hooks);
  if ((written & G_TRANSLATION) !== 0 || context.ac !== ((rflags & Flag.Ac) !== 0))
    followControlRegisters(guest, (written & FieldGroup.ControlRegisters) !== 0);
  if (pdptesInMemory(guest)) mmu.loadPdptes(words[State.Cr3Lo]);
  if (event < 0 && !guest.recorded) injectEvent(guest, event);
  ledger.leave();
  return true;
}

/** Takes over controls that changed. @returns a VM-instruction error number */
export function takeControls(guest: VmxGuest, written: number, event: number): number {
  const { vmcs, i32, at, addressBits, intercepts, context, words } = guest;
  if ((written & FieldGroup.Controls) !== 0) {
    const error = checkControls(vmcs, addressBits);
    if (error !== InstructionError.None) return error;
    intercepts.load(i32, at);
    guest.pin = vmcs.read(VmcsField.PinBasedControls);
    guest.exitControls = vmcs.read(VmcsField.ExitControls);
    guest.entryControls = vmcs.read(VmcsField.EntryControls);
    guest.exceptions = vmcs.read(VmcsField.ExceptionBitmap);
    guest.faultMask = vmcs.read(VmcsField.PageFaultErrorCodeMask);
    guest.faultMatch = vmcs.read(VmcsField.PageFaultErrorCodeMatch);
    guest.entryLoads = vmcs.read(VmcsField.EntryMsrLoadCount);
    guest.exitStores = vmcs.read(VmcsField.ExitMsrStoreCount);
    guest.exitLoads = vmcs.read(VmcsField.ExitMsrLoadCount);
    guest.tscOffset =
      (intercepts.primary & PrimaryControl.TscOffsetting) === 0
        ? 0
        : (vmcs.read(VmcsField.TscOffset) >>> 0) + vmcs.readHi(VmcsField.TscOffset) * 0x100000000;
    takeTscMultiplier(guest);
    guest.run = intercepts.run;
    guest.usesVpid = (intercepts.secondary & SecondaryControl.EnableVpid) !== 0;
    context.asid = guest.usesVpid ? vmcs.read(VmcsField.Vpid) : 0;
    takeEptPointer(guest, (intercepts.secondary & SecondaryControl.EnableEpt) !== 0);
  }
  if ((intercepts.primary & PrimaryControl.TprShadow) !== 0 && !loadVirtualTpr(guest))
    return InstructionError.InvalidControlFields;
  if ((written & FieldGroup.Host) !== 0) {
    const error = checkHostState(vmcs, addressBits);
    if (error !== InstructionError.None) return error;
  }
  if ((intercepts.primary & (PrimaryControl.InterruptWindowExiting | PrimaryControl.NmiWindowExiting)) !== 0)
    words[State.Attention] |= Attention.Interrupt;
  if (event >= 0) return InstructionError.None;
  const unrestricted = (intercepts.secondary & SecondaryControl.UnrestrictedGuest) !== 0;
  const real = unrestricted && (vmcs.read(VmcsField.GuestCr0) & 1) === 0;
  return eventConsistent(event, i32[at + ENTRY_LENGTH], i32[at + ENTRY_ERROR], real)
    ? InstructionError.None
    : InstructionError.InvalidControlFields;
}

/** The multiplier counts with TSC offsetting only (SDM vol. 3, 25.6.5). */
function takeTscMultiplier({ vmcs, words, intercepts }: VmxGuest): void {
  const scales =
    (intercepts.primary & PrimaryControl.TscOffsetting) !== 0 &&
    (intercepts.secondary & SecondaryControl.UseTscScaling) !== 0;
  if (!scales) {
    unscale(words, false);
    return;
  }
  words[State.TscRatioLo] = vmcs.read(VmcsField.TscMultiplier);
  words[State.TscRatioHi] = vmcs.readHi(VmcsField.TscMultiplier);
}

/** Debug exceptions that the field marks as enabled, or a single step, come before the guest's first instruction. */
function loadPendingDebug(guest: VmxGuest): void {
  const { words } = guest;
  const pending = guest.vmcs.read(VmcsField.GuestPendingDebugExceptions);
  words[State.PendingDebug] = (pending & PendingDebug.Any) === 0 ? 0 : pending & PendingDebug.Reported;
  if (words[State.PendingDebug] !== 0) words[State.Attention] |= Attention.Debug;
}

function takeEptPointer(guest: VmxGuest, enabled: boolean): void {
  const { vmcs, ept, context } = guest;
  context.secondStage = enabled ? ept : null;
  if (!enabled) return;
  const lo = vmcs.read(VmcsField.EptPointer);
  ept.rootFrame = (lo >>> 12) + (vmcs.readHi(VmcsField.EptPointer) >>> 0) * 0x100000;
  ept.accessDirty = (lo & 0x40) !== 0;
  const { secondary } = guest.intercepts;
  ept.modeBasedExecute = (secondary & SecondaryControl.ModeBasedExecute) !== 0;
  ept.modificationLog = null;
  if ((secondary & SecondaryControl.EnablePml) !== 0) {
    const log = guest.modificationLog;
    log.frame =
      (vmcs.read(VmcsField.PmlAddress) >>> 12) + (vmcs.readHi(VmcsField.PmlAddress) >>> 0) * 0x100000;
    log.index = vmcs.read(VmcsField.PmlIndex) & 0xffff;
    ept.modificationLog = log;
  }
  ept.tag = guest.eptTags.tagOf(ept.rootFrame);
}

/** @returns -1, or the qualification of an entry failure */
function checkGuest(guest: VmxGuest, written: number, event: number): number {
  const { i32, at } = guest;
  if (
    (written & G_CHECKED) === 0 &&
    !pdptesInMemory(guest) &&
    event >= 0 &&
    i32[at + INTERRUPTIBILITY] === 0 &&
    i32[at + ACTIVITY] === 0 &&
    i32[at + RIP + 1] === 0 &&
    (i32[at + RFLAGS] & (RFLAGS_RESERVED | Flag.Vm | 2)) === 2
  )
    return -1;
  return checkGuestState(guest.vmcs, guest.addressBits, guest.processor.memory);
}

function followControlRegisters(guest: VmxGuest, cr3Loaded: boolean): void {
  const { processor, context, i32, at } = guest;
  processor.syncTranslation();
  if (!cr3Loaded || context.paging !== PagingMode.Pae || context.secondStage === null) return;
  // With EPT the PDPTEs come from the VMCS (27.3.2.4 of SDM vol. 3).
  for (let i = 0; i < 4; i++)
    context.pdpte[i] = (i32[at + PDPTE + 2 * i] >>> 0) + (i32[at + PDPTE + 2 * i + 1] >>> 0) * 0x100000000;
  processor.mmu.reload();
}

/** PAE paging without EPT: each VM entry loads the PDPTEs from where CR3 points (SDM vol. 3, 27.3.2.4). */
function pdptesInMemory({ context }: VmxGuest): boolean {
  return context.secondStage === null && context.paging === PagingMode.Pae;
}
