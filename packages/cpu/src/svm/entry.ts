import { Cause, MAX_ENCRYPTION_KEY, PagingMode } from "@hyperwalk/mmu";
import { Attention, Flag, State } from "../cpu-state.js";
import type { GuestMode } from "../guest-mode.js";
import {
  asidConsistent,
  eventConsistent,
  stateConsistent,
  tlbControlConsistent,
} from "./consistency-checks.js";
import { injectEvent } from "./events.js";
import { refuse } from "./exit.js";
import { General2, NestedControl, TlbControl, VIntrBit } from "./exit-code.js";
import { loadGuestState } from "./save-area.js";
import { SvmFeature, type SvmGuest } from "./svm-guest.js";
import { CleanBit, VmcbOffset } from "./vmcb-fields.js";

const TSC_OFFSET = VmcbOffset.TscOffset >>> 2;
const ASID = VmcbOffset.Asid >>> 2;
const TLB_CONTROL = VmcbOffset.TlbControl >>> 2;
const V_INTR = VmcbOffset.VIntr >>> 2;
const SHADOW = VmcbOffset.InterruptShadow >>> 2;
const NESTED_CONTROL = VmcbOffset.NestedControl >>> 2;
const EVENT_INJ = VmcbOffset.EventInj >>> 2;
const N_CR3 = VmcbOffset.NCr3 >>> 2;
const CLEAN = VmcbOffset.CleanBits >>> 2;
const RFLAGS = VmcbOffset.Rflags >>> 2;
const RIP = VmcbOffset.Rip >>> 2;
const RSP = VmcbOffset.Rsp >>> 2;
const RAX = VmcbOffset.Rax >>> 2;
const G_PAT = VmcbOffset.GPat >>> 2;

const TRANSLATION_GROUPS = CleanBit.ControlRegisters | CleanBit.Segments;

/** VMRUN up to the guest's first instruction. @returns false when it failed with VMEXIT_INVALID */
export function vmrun(guest: SvmGuest, hooks: GuestMode): boolean {
  const { processor, words, i32, at, context } = guest;
  const { ledger, mmu } = processor;
  ledger.enter(guest.entryPhase);
  ledger.charge(Cause.EntryHardware, guest.entryTicks);
  const resident = guest.loaded && words[State.ResidentGuest] === guest.residence;
  const cached = resident && (guest.features & SvmFeature.CleanBits) !== 0;
  const clean = cached ? i32[at + CLEAN] : 0;
  if (mmu.context !== guest.host) mmu.activate(guest.host);
  guest.transfer.readLines(clean);
  if (guest.hostSave !== undefined) {
    const rflags = processor.engine.rflags();
    guest.hostSave.save(words, rflags);
    guest.hostInterrupts = (rflags & Flag.If) !== 0;
    guest.hostTpr = words[State.Cr8];
  }
  // With every group in the processor's copy only what no clean bit covers is left.
  const accepted =
    clean === CleanBit.All
      ? loadRest(guest)
      : loadControls(guest, clean) && stateConsistent(i32, at, clean, guest.addressBits);
  if (!accepted) {
    guest.forget();
    ledger.leave();
    refuse(guest);
    return false;
  }
  if (clean !== CleanBit.All) loadGuestState(i32, at, words, clean);
  if (guest.hostSave !== undefined && (guest.vIntr & VIntrBit.Masking) !== 0)
    words[State.Cr8] = guest.vIntr & VIntrBit.PriorityMask;
  const rflags = i32[at + RFLAGS];
  words[State.RipLo] = i32[at + RIP];
  words[State.RipHi] = i32[at + RIP + 1];
  words[State.Gpr] = i32[at + RAX];
  words[State.Gpr + 1] = i32[at + RAX + 1];
  words[State.Gpr + 8] = i32[at + RSP];
  words[State.Gpr + 9] = i32[at + RSP + 1];
  // Between #VMEXIT and VMRUN the registers still hold the flags that were saved.
  if (!resident || rflags !== guest.savedRflags) processor.engine.setRflags(rflags);
  words[State.InterruptShadow] = i32[at + SHADOW] & 1;
  words[State.Dirty] = 0;
  words[State.ResidentGuest] = guest.residence;
  guest.loaded = true;
  guest.gif = 1;
  guest.resume(hooks);
  if ((clean & TRANSLATION_GROUPS) !== TRANSLATION_GROUPS || context.ac !== ((rflags & Flag.Ac) !== 0))
    followControlRegisters(guest, hooks, (clean & CleanBit.ControlRegisters) === 0);
  const event = i32[at + EVENT_INJ];
  if (event < 0 && !guest.recorded) injectEvent(guest, event, i32[at + EVENT_INJ + 1]);
  ledger.leave();
  return true;
}

/** Control area: what VMRUN must refuse, and copies of what the running guest is steered by. */
function loadControls(guest: SvmGuest, clean: number): boolean {
  const { i32, at, words, intercepts, context, nested } = guest;
  if ((clean & CleanBit.Intercepts) === 0) {
    intercepts.loadVectors(i32, at);
    guest.run = intercepts.run;
    // Exact up to 2^53 cycles either way.
    guest.tscOffset = (i32[at + TSC_OFFSET] >>> 0) + i32[at + TSC_OFFSET + 1] * 0x100000000;
  }
  if ((intercepts.general2 & (1 << General2.Vmrun)) === 0) return false;
  if ((clean & CleanBit.Iopm) === 0) intercepts.loadMaps(i32, at);
  if ((clean & CleanBit.Asid) === 0) context.asid = i32[at + ASID];
  if (!asidConsistent(context.asid, guest.asids)) return false;
  if ((clean & CleanBit.NestedPaging) === 0) {
    const control = i32[at + NESTED_CONTROL];
    const enabled = (control & NestedControl.NpEnable) !== 0;
    if (!loadEncryption(guest, control)) return false;
    nested.rootFrame = ((i32[at + N_CR3] >>> 12) + (i32[at + N_CR3 + 1] >>> 0) * 0x100000) % 2 ** 40;
    context.secondStage = enabled ? nested : null;
    if (enabled) {
      words[State.PatLo] = i32[at + G_PAT];
      words[State.PatHi] = i32[at + G_PAT + 1];
    }
  }
  if ((clean & CleanBit.Tpr) === 0) {
    guest.vIntr = i32[at + V_INTR];
    guest.vVector = i32[at + V_INTR + 1] & 0xff;
    if ((guest.vIntr & VIntrBit.Masking) !== 0) words[State.Cr8] = guest.vIntr & VIntrBit.PriorityMask;
  }
  return loadRest(guest);
}

/** SEV wants nested paging and an ASID that has a key, SEV-ES wants SEV (APM vol. 2, 15.34.3 and 15.35.3). */
function loadEncryption(guest: SvmGuest, control: number): boolean {
  const { NpEnable, SevEnable, SevEsEnable } = NestedControl;
  const { context, nested, encryptedState } = guest;
  const wanted = control & (NpEnable | SevEnable | SevEsEnable);
  nested.encryptionKey = 0;
  if (((wanted & SevEsEnable) !== 0) !== (encryptedState !== undefined)) return false;
  if ((wanted & (SevEnable | SevEsEnable)) === 0) return true;
  if ((wanted & NpEnable) === 0 || (wanted & SevEnable) === 0) return false;
  if (!guest.processor.memory.encryptsMemory || context.asid >>> 0 > MAX_ENCRYPTION_KEY) return false;
  nested.encryptionKey = context.asid;
  return true;
}

/** What VMRUN reads from the control area each time. */
function loadRest(guest: SvmGuest): boolean {
  const { i32, at, words, context } = guest;
  const { mmu } = guest.processor;
  guest.intercepts.startPauseFilter();
  if ((guest.vIntr & VIntrBit.Irq) !== 0) words[State.Attention] |= Attention.Interrupt;
  const flush = i32[at + TLB_CONTROL] & 0xff;
  if (!tlbControlConsistent(flush)) return false;
  if (flush === TlbControl.FlushAll || (flush !== 0 && (guest.features & SvmFeature.FlushByAsid) === 0))
    mmu.invalidateAll();
  else if (flush !== 0) mmu.invalidateAsid(context.asid, flush === TlbControl.FlushAsidNonGlobal);
  return eventConsistent(i32[at + EVENT_INJ]);
}

function followControlRegisters(guest: SvmGuest, hooks: GuestMode, cr3Loaded: boolean): void {
  const { processor, context, words } = guest;
  processor.syncTranslation();
  if (!cr3Loaded || context.paging !== PagingMode.Pae) return;
  if (processor.mmu.loadPdptes(words[State.Cr3Lo]) < 0) hooks.secondStageFault();
}
