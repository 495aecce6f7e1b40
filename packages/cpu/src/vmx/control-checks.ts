import { EventKind } from "../virtualized-processor.js";
import {
  CAPABILITIES,
  EntryControl,
  ExitControl,
  MAX_MSR_LIST,
  PinControl,
  PrimaryControl,
  SecondaryControl,
  settingAllowed,
} from "./controls.js";
import { InterruptionInfo, OTHER_EVENT } from "./exit-reason.js";
import { InstructionError } from "./instruction-error.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";

const MSR_BYTES = 16;
/** Controls that mean something under EPT only. */
const NEED_EPT =
  SecondaryControl.UnrestrictedGuest | SecondaryControl.EnablePml | SecondaryControl.ModeBasedExecute;

/*
 * Checks of VM entry on the VM-execution, VM-exit and VM-entry controls (SDM vol. 3, 27.2.1). They run only when VMWRITE
 * changed something since the last successful entry.
 */

/** @returns a VM-instruction error number, 0 when the controls are good */
export function checkControls(vmcs: Vmcs, addressBits: number): number {
  const good = executionConsistent(vmcs, addressBits) && transitionsConsistent(vmcs, addressBits);
  return good ? InstructionError.None : InstructionError.InvalidControlFields;
}

/** The secondary controls, which count as zero unless they are activated. */
export function secondaryControls(vmcs: Vmcs): number {
  return vmcs.read(VmcsField.PrimaryControls) < 0 ? vmcs.read(VmcsField.SecondaryControls) : 0;
}

/** 27.2.1.1 */
function executionConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const pin = vmcs.read(VmcsField.PinBasedControls);
  const primary = vmcs.read(VmcsField.PrimaryControls);
  const secondary = secondaryControls(vmcs);
  if (
    !settingAllowed(pin, CAPABILITIES.pin) ||
    !settingAllowed(primary, CAPABILITIES.primary) ||
    !settingAllowed(secondary, CAPABILITIES.secondary)
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
  if (
    (primary & PrimaryControl.TprShadow) !== 0 &&
    !(pageAt(VmcsField.VirtualApicAddress) && (vmcs.read(VmcsField.TprThreshold) & ~15) === 0)
  )
    return false;
  const virtualNmis = (pin & PinControl.VirtualNmis) !== 0;
  if (virtualNmis && (pin & PinControl.NmiExiting) === 0) return false;
  if (!virtualNmis && (primary & PrimaryControl.NmiWindowExiting) !== 0) return false;
  const scales = (secondary & SecondaryControl.UseTscScaling) !== 0;
  if (scales && (vmcs.read(VmcsField.TscMultiplier) | vmcs.readHi(VmcsField.TscMultiplier)) === 0)
    return false;
  if ((secondary & SecondaryControl.EnableVpid) !== 0 && vmcs.read(VmcsField.Vpid) === 0) return false;
  if ((secondary & SecondaryControl.EnableEpt) === 0) return (secondary & NEED_EPT) === 0;
  if ((secondary & SecondaryControl.EnablePml) !== 0 && !pageAt(VmcsField.PmlAddress)) return false;
  return eptPointerConsistent(vmcs, addressBits);
}

/** Write-back or uncacheable, four levels, no reserved bits (25.6.11). */
function eptPointerConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const lo = vmcs.read(VmcsField.EptPointer);
  const memoryType = lo & 7;
  if (memoryType !== 6 && memoryType !== 0) return false;
  if (((lo >>> 3) & 7) !== 3 || (lo & 0xf80) !== 0) return false;
  return vmcs.readHi(VmcsField.EptPointer) >>> 0 < 2 ** (addressBits - 32);
}

/** 27.2.1.2 and 27.2.1.3, without the event */
function transitionsConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const exit = vmcs.read(VmcsField.ExitControls);
  const entry = vmcs.read(VmcsField.EntryControls);
  if (!settingAllowed(exit, CAPABILITIES.exit) || !settingAllowed(entry, CAPABILITIES.entry)) return false;
  const timer = (vmcs.read(VmcsField.PinBasedControls) & PinControl.PreemptionTimer) !== 0;
  if (!timer && (exit & ExitControl.SavePreemptionTimer) !== 0) return false;
  // Both belong to system-management mode.
  if ((entry & (EntryControl.EntryToSmm | EntryControl.DeactivateDualMonitor)) !== 0) return false;
  return (
    listConsistent(vmcs, VmcsField.ExitMsrStoreAddress, VmcsField.ExitMsrStoreCount, addressBits) &&
    listConsistent(vmcs, VmcsField.ExitMsrLoadAddress, VmcsField.ExitMsrLoadCount, addressBits) &&
    listConsistent(vmcs, VmcsField.EntryMsrLoadAddress, VmcsField.EntryMsrLoadCount, addressBits)
  );
}

/** What lists beyond the maximum do is undefined (27.4): here they are refused. */
function listConsistent(vmcs: Vmcs, field: number, countField: number, addressBits: number): boolean {
  const count = vmcs.read(countField) >>> 0;
  if (count === 0) return true;
  if (count > MAX_MSR_LIST || !aligned(vmcs, field, MSR_BYTES, addressBits)) return false;
  const address = (vmcs.read(field) >>> 0) + (vmcs.readHi(field) >>> 0) * 0x100000000;
  return address + MSR_BYTES * count <= 2 ** addressBits;
}

function aligned(vmcs: Vmcs, field: number, to: number, addressBits: number): boolean {
  return (vmcs.read(field) & (to - 1)) === 0 && vmcs.readHi(field) >>> 0 < 2 ** (addressBits - 32);
}

/**
 * 27.2.1.3: the event to inject; part of the control checks, but the field is new at every entry.
 * @param real the guest has CR0.PE = 0, where no event has an error code
 */
export function eventConsistent(info: number, length: number, errorCode: number, real: boolean): boolean {
  if ((info & InterruptionInfo.Valid) === 0) return true;
  if ((info & 0x7ffff000) !== 0) return false;
  const vector = info & 0xff;
  const kind = (info >>> InterruptionInfo.KindShift) & 7;
  const hasCode = (info & InterruptionInfo.ErrorCodeValid) !== 0;
  if (kind === 1 || (kind === OTHER_EVENT && vector !== 0)) return false;
  if (kind === EventKind.Nmi && vector !== 2) return false;
  if (kind === EventKind.HardwareException && vector > 31) return false;
  const pushes =
    kind === EventKind.HardwareException && (vector === 8 || (vector >= 10 && vector <= 14) || vector === 17);
  if (hasCode !== (pushes && !real)) return false;
  if (hasCode && errorCode >>> 16 !== 0) return false;
  const software = kind >= EventKind.SoftwareInterrupt && kind !== OTHER_EVENT;
  return !software || (length >= 1 && length <= 15);
}
