import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import { EventKind } from "../virtualized-processor.js";
import { secondaryControls } from "./control-checks.js";
import { EntryControl, PinControl, SecondaryControl } from "./controls.js";
import {
  ActivityState,
  EntryFailureQualification,
  Interruptibility,
  InterruptionInfo,
  OTHER_EVENT,
  PendingDebug,
} from "./exit-reason.js";
import { canonical, patConsistent } from "./register-checks.js";
import { descriptorTablesConsistent, segmentsConsistent } from "./segment-checks.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";

const CR0_PE = 1;
const CR0_NE = 0x20;
const CR0_PG = 1 << 31;
const CR4_PAE = 0x20;
const CR4_VMXE = 0x2000;
const CR4_PCIDE = 0x20000;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const EFER_DEFINED = 0xd01;
const RFLAGS_TF = 0x100;
const RFLAGS_IF = 0x200;
const RFLAGS_VM = 0x20000;
const RFLAGS_DEFINED = 0x3f7fd7;
const AR_LONG = 0x2000;
const DEBUGCTL_BTF = 2;
/** LBR, BTF, TR, BTS, BTINT, BTS_OFF_OS, BTS_OFF_USR and the freeze bits (SDM vol. 3, 18.4.1). */
const DEBUGCTL_DEFINED = 0x7fc3;
const PENDING_DEFINED = PendingDebug.Reported | PendingDebug.EnabledBreakpoint;
const PDPTE_RESERVED = 0x1e6;
const VECTOR_DB = 1;
const VECTOR_MC = 18;

/**
 * Checks of VM entry on the guest-state area (SDM vol. 3, 27.3.1).
 * @param memory where the PDPTEs of a guest with PAE paging are, without EPT
 * @returns -1 when the guest state is good, else the exit qualification of the entry failure
 */
export function checkGuestState(vmcs: Vmcs, addressBits: number, memory: PhysicalMemory): number {
  if (!controlRegistersConsistent(vmcs, addressBits) || !registersConsistent(vmcs))
    return EntryFailureQualification.Other;
  if (!segmentsConsistent(vmcs, isLong(vmcs), isUnrestricted(vmcs)) || !descriptorTablesConsistent(vmcs))
    return EntryFailureQualification.Other;
  if (!ripAndFlagsConsistent(vmcs) || !nonRegisterStateConsistent(vmcs))
    return EntryFailureQualification.Other;
  if (vmcs.read(VmcsField.VmcsLinkPointer) !== -1 || vmcs.readHi(VmcsField.VmcsLinkPointer) !== -1)
    return EntryFailureQualification.LinkPointer;
  return pdptesConsistent(vmcs, addressBits, memory) ? -1 : EntryFailureQualification.Pdpte;
}

function isLong(vmcs: Vmcs): boolean {
  return (vmcs.read(VmcsField.EntryControls) & EntryControl.Ia32eModeGuest) !== 0;
}

function isUnrestricted(vmcs: Vmcs): boolean {
  return (secondaryControls(vmcs) & SecondaryControl.UnrestrictedGuest) !== 0;
}

/** 27.3.1.1, control registers and EFER */
function controlRegistersConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const cr0 = vmcs.read(VmcsField.GuestCr0);
  const cr4 = vmcs.read(VmcsField.GuestCr4);
  const long = isLong(vmcs);
  const required = isUnrestricted(vmcs) ? CR0_NE : CR0_NE | CR0_PE | CR0_PG;
  if ((cr0 & required) !== required || (cr4 & CR4_VMXE) === 0) return false;
  if (vmcs.readHi(VmcsField.GuestCr0) !== 0 || vmcs.readHi(VmcsField.GuestCr4) !== 0) return false;
  if ((cr0 & CR0_PG) !== 0 && (cr0 & CR0_PE) === 0) return false;
  if (long && ((cr0 & CR0_PG) === 0 || (cr4 & CR4_PAE) === 0)) return false;
  if (!long && (cr4 & CR4_PCIDE) !== 0) return false;
  if (vmcs.readHi(VmcsField.GuestCr3) >>> 0 >= 2 ** (addressBits - 32)) return false;
  if ((vmcs.read(VmcsField.EntryControls) & EntryControl.LoadEfer) === 0) return true;
  const efer = vmcs.read(VmcsField.GuestEfer);
  if ((efer & ~EFER_DEFINED) !== 0 || vmcs.readHi(VmcsField.GuestEfer) !== 0) return false;
  if (((efer & EFER_LMA) !== 0) !== long) return false;
  return (cr0 & CR0_PG) === 0 || ((efer & EFER_LME) !== 0) === long;
}

/** 27.3.1.1, debug registers and MSRs */
function registersConsistent(vmcs: Vmcs): boolean {
  const entry = vmcs.read(VmcsField.EntryControls);
  if ((entry & EntryControl.LoadDebugControls) !== 0) {
    if (vmcs.readHi(VmcsField.GuestDr7) !== 0) return false;
    if ((vmcs.read(VmcsField.GuestDebugCtl) & ~DEBUGCTL_DEFINED) !== 0) return false;
    if (vmcs.readHi(VmcsField.GuestDebugCtl) !== 0) return false;
  }
  if ((entry & EntryControl.LoadPat) !== 0 && !patConsistent(vmcs, VmcsField.GuestPat)) return false;
  return (
    canonical(vmcs.readHi(VmcsField.GuestSysenterEsp)) && canonical(vmcs.readHi(VmcsField.GuestSysenterEip))
  );
}

/** 27.3.1.4 */
function ripAndFlagsConsistent(vmcs: Vmcs): boolean {
  const rflags = vmcs.read(VmcsField.GuestRflags);
  const long = isLong(vmcs);
  if ((rflags & 2) === 0 || (rflags & ~RFLAGS_DEFINED) !== 0 || vmcs.readHi(VmcsField.GuestRflags) !== 0)
    return false;
  if ((rflags & RFLAGS_VM) !== 0 && (long || (vmcs.read(VmcsField.GuestCr0) & CR0_PE) === 0)) return false;
  const in64 = long && (vmcs.read(VmcsField.GuestCsAccessRights) & AR_LONG) !== 0;
  const ripHi = vmcs.readHi(VmcsField.GuestRip);
  if (in64 ? !canonical(ripHi) : ripHi !== 0) return false;
  const event = vmcs.read(VmcsField.EntryInterruptionInfo);
  const external = event < 0 && kindOf(event) === EventKind.ExternalInterrupt;
  return !external || (rflags & RFLAGS_IF) !== 0;
}

function kindOf(event: number): number {
  return (event >>> InterruptionInfo.KindShift) & 7;
}

/** 27.3.1.5: activity, interruptibility, pending debug exceptions */
function nonRegisterStateConsistent(vmcs: Vmcs): boolean {
  const event = vmcs.read(VmcsField.EntryInterruptionInfo);
  const rflags = vmcs.read(VmcsField.GuestRflags);
  const activity = vmcs.read(VmcsField.GuestActivityState);
  const blocking = vmcs.read(VmcsField.GuestInterruptibility);
  const shadow = blocking & (Interruptibility.BySti | Interruptibility.ByMovSs);
  if (activity >>> 0 > ActivityState.WaitForSipi) return false;
  const ring = (vmcs.read(VmcsField.GuestSsAccessRights) >>> 5) & 3;
  if (activity === ActivityState.Hlt && ring !== 0) return false;
  if (activity !== ActivityState.Active && shadow !== 0) return false;
  if (event < 0 && !wakesBy(activity, kindOf(event), event & 0xff)) return false;
  if ((blocking & ~0xf) !== 0 || (blocking & Interruptibility.BySmi) !== 0) return false;
  if (shadow === (Interruptibility.BySti | Interruptibility.ByMovSs)) return false;
  if ((shadow & Interruptibility.BySti) !== 0 && (rflags & RFLAGS_IF) === 0) return false;
  if (event < 0) {
    const kind = kindOf(event);
    if (kind === EventKind.ExternalInterrupt && shadow !== 0) return false;
    if (kind === EventKind.Nmi) {
      if ((shadow & Interruptibility.ByMovSs) !== 0) return false;
      const virtualNmis = (vmcs.read(VmcsField.PinBasedControls) & PinControl.VirtualNmis) !== 0;
      if (virtualNmis && (blocking & Interruptibility.ByNmi) !== 0) return false;
    }
  }
  const pending = vmcs.read(VmcsField.GuestPendingDebugExceptions);
  if ((pending & ~PENDING_DEFINED) !== 0 || vmcs.readHi(VmcsField.GuestPendingDebugExceptions) !== 0)
    return false;
  if (shadow === 0 && activity !== ActivityState.Hlt) return true;
  const steps = (rflags & RFLAGS_TF) !== 0 && (vmcs.read(VmcsField.GuestDebugCtl) & DEBUGCTL_BTF) === 0;
  return ((pending & PendingDebug.SingleStep) !== 0) === steps;
}

/** Whether a guest that is not active may be sent that event. */
function wakesBy(activity: number, kind: number, vector: number): boolean {
  switch (activity) {
    case ActivityState.Active:
      return true;
    case ActivityState.Hlt:
      if (kind === EventKind.HardwareException) return vector === VECTOR_DB || vector === VECTOR_MC;
      return kind === EventKind.ExternalInterrupt || kind === EventKind.Nmi || kind === OTHER_EVENT;
    case ActivityState.Shutdown:
      return kind === EventKind.Nmi || (kind === EventKind.HardwareException && vector === VECTOR_MC);
    default:
      return false;
  }
}

/** 27.3.1.6: the PDPTEs that a guest with PAE paging starts with, those of the VMCS under EPT, else what CR3 points to */
function pdptesConsistent(vmcs: Vmcs, addressBits: number, memory: PhysicalMemory): boolean {
  const paging = vmcs.read(VmcsField.GuestCr0) < 0 && (vmcs.read(VmcsField.GuestCr4) & CR4_PAE) !== 0;
  if (!paging || isLong(vmcs)) return true;
  const good = (lo: number, hi: number) =>
    (lo & 1) === 0 || ((lo & PDPTE_RESERVED) === 0 && hi >>> 0 < 2 ** (addressBits - 32));
  if ((secondaryControls(vmcs) & SecondaryControl.EnableEpt) === 0) {
    const cr3 = vmcs.read(VmcsField.GuestCr3);
    if (memory.frameOffset(cr3 >>> 12) < 0) return false;
    const at = (cr3 >>> 12) * FRAME_BYTES + (cr3 & 0xfe0);
    for (let i = 0; i < 32; i += 8)
      if (!good(memory.readU32(at + i), memory.readU32(at + i + 4))) return false;
    return true;
  }
  for (let field = VmcsField.GuestPdpte0; field <= VmcsField.GuestPdpte3; field += 2)
    if (!good(vmcs.read(field), vmcs.readHi(field))) return false;
  return true;
}
