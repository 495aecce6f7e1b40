import { EventKind } from "../virtualized-processor.js";
import {
  CAPABILITIES,
  EntryControl,
  ExitControl,
  PinControl,
  PrimaryControl,
  SecondaryControl,
  settingAllowed,
} from "./controls.js";
import {
  ActivityState,
  EntryFailureQualification,
  Interruptibility,
  InterruptionInfo,
} from "./exit-reason.js";
import { InstructionError } from "./instruction-error.js";
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
const RFLAGS_VM = 0x20000;
const RFLAGS_IF = 0x200;
const RFLAGS_DEFINED = 0x3f7fd7;
const AR_PRESENT = 0x80;
const AR_SYSTEM = 0x10; // S: code or data when set
const AR_LONG = 0x2000;
const AR_DEFAULT = 0x4000;
const AR_UNUSABLE = 0x10000;
const AR_RESERVED = ~0x1f0ff;

/*
 * Checks of VM entry (SDM vol. 3, chapter 27), in the order in which hardware reports them: controls, host state, guest
 * state. They run only when VMWRITE changed something since the last successful entry.
 */

/** 27.2.1: @returns a VM-instruction error number, 0 when the controls are good */
export function checkControls(vmcs: Vmcs, addressBits: number): number {
  return controlsConsistent(vmcs, addressBits)
    ? InstructionError.None
    : InstructionError.InvalidControlFields;
}

function controlsConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const pin = vmcs.read(VmcsField.PinBasedControls);
  const primary = vmcs.read(VmcsField.PrimaryControls);
  const secondary = primary < 0 ? vmcs.read(VmcsField.SecondaryControls) : 0;
  if (
    !settingAllowed(pin, CAPABILITIES.pin) ||
    !settingAllowed(primary, CAPABILITIES.primary) ||
    !settingAllowed(secondary, CAPABILITIES.secondary) ||
    !settingAllowed(vmcs.read(VmcsField.ExitControls), CAPABILITIES.exit) ||
    !settingAllowed(vmcs.read(VmcsField.EntryControls), CAPABILITIES.entry)
  )
    return false;
  if (vmcs.read(VmcsField.Cr3TargetCount) >>> 0 > 4) return false;
  const pageAt = (field: number): boolean => aligned(vmcs, field, 4096, addressBits);
  if (
    (primary & PrimaryControl.UseIoBitmaps) !== 0 &&
    !(pageAt(VmcsField.IoBitmapA) && pageAt(VmcsField.IoBitmapB))
  )
    return false;
  if ((primary & PrimaryControl.UseMsrBitmaps) !== 0 && !pageAt(VmcsField.MsrBitmap)) return false;
  const virtualNmis = (pin & PinControl.VirtualNmis) !== 0;
  if (virtualNmis && (pin & PinControl.NmiExiting) === 0) return false;
  if (!virtualNmis && (primary & PrimaryControl.NmiWindowExiting) !== 0) return false;
  if ((secondary & SecondaryControl.EnableVpid) !== 0 && vmcs.read(VmcsField.Vpid) === 0) return false;
  if ((secondary & SecondaryControl.EnableEpt) !== 0) {
    if (!eptPointerConsistent(vmcs, addressBits)) return false;
  } else if ((secondary & SecondaryControl.UnrestrictedGuest) !== 0) return false;
  for (const [address, count] of [
    [VmcsField.ExitMsrStoreAddress, VmcsField.ExitMsrStoreCount],
    [VmcsField.ExitMsrLoadAddress, VmcsField.ExitMsrLoadCount],
    [VmcsField.EntryMsrLoadAddress, VmcsField.EntryMsrLoadCount],
  ])
    if (vmcs.read(count) !== 0 && !aligned(vmcs, address, 16, addressBits)) return false;
  return true;
}

/** Write-back or uncacheable, four levels, no reserved bits (25.6.11). */
function eptPointerConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const lo = vmcs.read(VmcsField.EptPointer);
  const memoryType = lo & 7;
  if (memoryType !== 6 && memoryType !== 0) return false;
  if (((lo >>> 3) & 7) !== 3 || (lo & 0xf80) !== 0) return false;
  return vmcs.readHi(VmcsField.EptPointer) >>> 0 < 2 ** (addressBits - 32);
}

function aligned(vmcs: Vmcs, field: number, to: number, addressBits: number): boolean {
  return (vmcs.read(field) & (to - 1)) === 0 && vmcs.readHi(field) >>> 0 < 2 ** (addressBits - 32);
}

/** 27.2.1.3: the event to inject; part of the control checks, but the field is new at every entry. */
export function eventConsistent(info: number, length: number, unrestricted: boolean): boolean {
  if ((info & InterruptionInfo.Valid) === 0) return true;
  if ((info & 0x7ffff000) !== 0) return false;
  const vector = info & 0xff;
  const kind = (info >>> InterruptionInfo.KindShift) & 7;
  const hasCode = (info & InterruptionInfo.ErrorCodeValid) !== 0;
  if (kind === 1 || kind === 7) return false;
  if (kind === EventKind.Nmi && vector !== 2) return false;
  if (kind === EventKind.HardwareException && vector > 31) return false;
  const pushes =
    kind === EventKind.HardwareException && (vector === 8 || (vector >= 10 && vector <= 14) || vector === 17);
  if (hasCode && !pushes) return false;
  if (!hasCode && pushes && !unrestricted) return false;
  return kind < EventKind.SoftwareInterrupt || (length >= 1 && length <= 15);
}

/** 27.2.2 to 27.2.4: @returns a VM-instruction error number, 0 when the host state is good */
export function checkHostState(vmcs: Vmcs, addressBits: number): number {
  return hostConsistent(vmcs, addressBits) ? InstructionError.None : InstructionError.InvalidHostState;
}

function hostConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const cr0 = vmcs.read(VmcsField.HostCr0);
  const cr4 = vmcs.read(VmcsField.HostCr4);
  if ((cr0 & (CR0_PG | CR0_NE | CR0_PE)) !== (CR0_PG | CR0_NE | CR0_PE)) return false;
  if ((cr4 & CR4_VMXE) === 0 || (cr4 & CR4_PAE) === 0) return false;
  if (vmcs.readHi(VmcsField.HostCr3) >>> 0 >= 2 ** (addressBits - 32)) return false;
  if ((vmcs.read(VmcsField.ExitControls) & ExitControl.HostAddressSpaceSize) === 0) return false;
  const selectors = [
    VmcsField.HostEsSelector,
    VmcsField.HostCsSelector,
    VmcsField.HostSsSelector,
    VmcsField.HostDsSelector,
    VmcsField.HostFsSelector,
    VmcsField.HostGsSelector,
    VmcsField.HostTrSelector,
  ];
  if (selectors.some((field) => (vmcs.read(field) & 7) !== 0)) return false;
  if (vmcs.read(VmcsField.HostCsSelector) === 0 || vmcs.read(VmcsField.HostTrSelector) === 0) return false;
  return [
    VmcsField.HostFsBase,
    VmcsField.HostGsBase,
    VmcsField.HostGdtrBase,
    VmcsField.HostIdtrBase,
    VmcsField.HostTrBase,
    VmcsField.HostRip,
    VmcsField.HostSysenterEsp,
    VmcsField.HostSysenterEip,
  ].every((field) => canonical(vmcs.readHi(field)));
}

/** 48-bit canonical form of an address with that high word. */
function canonical(hi: number): boolean {
  return hi >> 15 === 0 || hi >> 15 === -1;
}

/** 27.3.1: @returns -1 when the guest state is good, else the exit qualification of the entry failure */
export function checkGuestState(vmcs: Vmcs, addressBits: number): number {
  if (!controlRegistersConsistent(vmcs, addressBits)) return EntryFailureQualification.Other;
  if (!segmentsConsistent(vmcs)) return EntryFailureQualification.Other;
  if (!executionStateConsistent(vmcs)) return EntryFailureQualification.Other;
  if (vmcs.read(VmcsField.VmcsLinkPointer) !== -1 || vmcs.readHi(VmcsField.VmcsLinkPointer) !== -1)
    return EntryFailureQualification.LinkPointer;
  return -1;
}

function isLong(vmcs: Vmcs): boolean {
  return (vmcs.read(VmcsField.EntryControls) & EntryControl.Ia32eModeGuest) !== 0;
}

function isUnrestricted(vmcs: Vmcs): boolean {
  const secondary = vmcs.read(VmcsField.PrimaryControls) < 0 ? vmcs.read(VmcsField.SecondaryControls) : 0;
  return (secondary & SecondaryControl.UnrestrictedGuest) !== 0;
}

function controlRegistersConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const cr0 = vmcs.read(VmcsField.GuestCr0);
  const cr4 = vmcs.read(VmcsField.GuestCr4);
  const long = isLong(vmcs);
  const required = isUnrestricted(vmcs) ? CR0_NE : CR0_NE | CR0_PE | CR0_PG;
  if ((cr0 & required) !== required || (cr4 & CR4_VMXE) === 0) return false;
  if ((cr0 & CR0_PG) !== 0 && (cr0 & CR0_PE) === 0) return false;
  if (long && ((cr0 & CR0_PG) === 0 || (cr4 & CR4_PAE) === 0)) return false;
  if (!long && (cr4 & CR4_PCIDE) !== 0) return false;
  if (vmcs.readHi(VmcsField.GuestCr3) >>> 0 >= 2 ** (addressBits - 32)) return false;
  if (vmcs.readHi(VmcsField.GuestDr7) !== 0) return false;
  if ((vmcs.read(VmcsField.EntryControls) & EntryControl.LoadEfer) !== 0) {
    const efer = vmcs.read(VmcsField.GuestEfer);
    if ((efer & ~EFER_DEFINED) !== 0 || vmcs.readHi(VmcsField.GuestEfer) !== 0) return false;
    if (((efer & EFER_LMA) !== 0) !== long) return false;
    if ((cr0 & CR0_PG) !== 0 && ((efer & EFER_LME) !== 0) !== long) return false;
  }
  return (
    canonical(vmcs.readHi(VmcsField.GuestSysenterEsp)) && canonical(vmcs.readHi(VmcsField.GuestSysenterEip))
  );
}

function segmentsConsistent(vmcs: Vmcs): boolean {
  const long = isLong(vmcs);
  const unrestricted = isUnrestricted(vmcs);
  const virtual8086 = (vmcs.read(VmcsField.GuestRflags) & RFLAGS_VM) !== 0;
  const cs = vmcs.read(VmcsField.GuestCsAccessRights);
  const tr = vmcs.read(VmcsField.GuestTrAccessRights);
  const ldtr = vmcs.read(VmcsField.GuestLdtrAccessRights);
  if (!virtual8086) {
    const type = cs & 15;
    if (!(type === 9 || type === 11 || type === 13 || type === 15 || (type === 3 && unrestricted)))
      return false;
    if ((cs & (AR_SYSTEM | AR_PRESENT | AR_UNUSABLE)) !== (AR_SYSTEM | AR_PRESENT)) return false;
    if ((cs & AR_RESERVED) !== 0) return false;
    if (long && (cs & AR_LONG) !== 0 && (cs & AR_DEFAULT) !== 0) return false;
    for (const field of [
      VmcsField.GuestSsAccessRights,
      VmcsField.GuestDsAccessRights,
      VmcsField.GuestEsAccessRights,
      VmcsField.GuestFsAccessRights,
      VmcsField.GuestGsAccessRights,
    ]) {
      const rights = vmcs.read(field);
      if ((rights & AR_UNUSABLE) !== 0) continue;
      const accessed = (rights & 1) !== 0;
      if (!accessed || (rights & (AR_SYSTEM | AR_PRESENT)) !== (AR_SYSTEM | AR_PRESENT)) return false;
      if (field === VmcsField.GuestSsAccessRights && (rights & 15) !== 3 && (rights & 15) !== 7) return false;
    }
  }
  const trType = tr & 15;
  if ((tr & AR_UNUSABLE) !== 0 || (tr & AR_SYSTEM) !== 0 || (tr & AR_PRESENT) === 0) return false;
  if (trType !== 11 && (trType !== 3 || long)) return false;
  if ((vmcs.read(VmcsField.GuestTrSelector) & 4) !== 0) return false;
  if (
    (ldtr & AR_UNUSABLE) === 0 &&
    ((ldtr & 15) !== 2 || (ldtr & AR_SYSTEM) !== 0 || (ldtr & AR_PRESENT) === 0)
  )
    return false;
  return vmcs.read(VmcsField.GuestGdtrLimit) >>> 16 === 0 && vmcs.read(VmcsField.GuestIdtrLimit) >>> 16 === 0;
}

function executionStateConsistent(vmcs: Vmcs): boolean {
  const rflags = vmcs.read(VmcsField.GuestRflags);
  const long = isLong(vmcs);
  if ((rflags & 2) === 0 || (rflags & ~RFLAGS_DEFINED) !== 0 || vmcs.readHi(VmcsField.GuestRflags) !== 0)
    return false;
  if ((rflags & RFLAGS_VM) !== 0 && (long || (vmcs.read(VmcsField.GuestCr0) & CR0_PE) === 0)) return false;
  const in64 = long && (vmcs.read(VmcsField.GuestCsAccessRights) & AR_LONG) !== 0;
  const ripHi = vmcs.readHi(VmcsField.GuestRip);
  if (in64 ? !canonical(ripHi) : ripHi !== 0) return false;
  const event = vmcs.read(VmcsField.EntryInterruptionInfo);
  const kind = (event >>> InterruptionInfo.KindShift) & 7;
  const injects = (event & InterruptionInfo.Valid) !== 0;
  if (injects && kind === EventKind.ExternalInterrupt && (rflags & RFLAGS_IF) === 0) return false;
  const activity = vmcs.read(VmcsField.GuestActivityState);
  if (activity >>> 0 > ActivityState.WaitForSipi) return false;
  const blocking = vmcs.read(VmcsField.GuestInterruptibility);
  if ((blocking & ~0x1f) !== 0) return false;
  const both = Interruptibility.BySti | Interruptibility.ByMovSs;
  if ((blocking & both) === both) return false;
  if ((blocking & both) !== 0 && activity === ActivityState.Hlt) return false;
  if ((blocking & Interruptibility.BySti) !== 0 && (rflags & RFLAGS_IF) === 0) return false;
  if (injects && kind === EventKind.ExternalInterrupt && (blocking & both) !== 0) return false;
  return !(injects && kind === EventKind.Nmi && (blocking & Interruptibility.ByMovSs) !== 0);
}
