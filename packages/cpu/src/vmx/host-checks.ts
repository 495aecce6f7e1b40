import { ExitControl } from "./controls.js";
import { InstructionError } from "./instruction-error.js";
import { canonical, patConsistent } from "./register-checks.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";

const CR0_PE = 1;
const CR0_NE = 0x20;
const CR0_PG = 1 << 31;
const CR0_REQUIRED = CR0_PG | CR0_NE | CR0_PE;
const CR4_PAE = 0x20;
const CR4_VMXE = 0x2000;
const EFER_LONG = 0x500;
const EFER_DEFINED = 0xd01;

const SELECTORS: readonly number[] = [
  VmcsField.HostEsSelector,
  VmcsField.HostCsSelector,
  VmcsField.HostSsSelector,
  VmcsField.HostDsSelector,
  VmcsField.HostFsSelector,
  VmcsField.HostGsSelector,
  VmcsField.HostTrSelector,
];
const CANONICAL: readonly number[] = [
  VmcsField.HostFsBase,
  VmcsField.HostGsBase,
  VmcsField.HostGdtrBase,
  VmcsField.HostIdtrBase,
  VmcsField.HostTrBase,
  VmcsField.HostRip,
  VmcsField.HostSysenterEsp,
  VmcsField.HostSysenterEip,
];

/**
 * Checks of VM entry on the host-state area (SDM vol. 3, 27.2.2 to 27.2.4).
 * @returns a VM-instruction error number, 0 when the host state is good
 */
export function checkHostState(vmcs: Vmcs, addressBits: number): number {
  return hostConsistent(vmcs, addressBits) ? InstructionError.None : InstructionError.InvalidHostState;
}

function hostConsistent(vmcs: Vmcs, addressBits: number): boolean {
  const cr4 = vmcs.read(VmcsField.HostCr4);
  const exit = vmcs.read(VmcsField.ExitControls);
  if ((vmcs.read(VmcsField.HostCr0) & CR0_REQUIRED) !== CR0_REQUIRED || vmcs.readHi(VmcsField.HostCr0) !== 0)
    return false;
  if ((cr4 & CR4_VMXE) === 0 || (cr4 & CR4_PAE) === 0 || vmcs.readHi(VmcsField.HostCr4) !== 0) return false;
  if (vmcs.readHi(VmcsField.HostCr3) >>> 0 >= 2 ** (addressBits - 32)) return false;
  // Hosts are 64-bit: outside IA-32e mode a guest could not be left for one, inside none else is allowed.
  if ((exit & ExitControl.HostAddressSpaceSize) === 0) return false;
  if ((exit & ExitControl.LoadPat) !== 0 && !patConsistent(vmcs, VmcsField.HostPat)) return false;
  if ((exit & ExitControl.LoadEfer) !== 0) {
    const efer = vmcs.read(VmcsField.HostEfer);
    if ((efer & ~EFER_DEFINED) !== 0 || vmcs.readHi(VmcsField.HostEfer) !== 0) return false;
    if ((efer & EFER_LONG) !== EFER_LONG) return false;
  }
  if (SELECTORS.some((field) => (vmcs.read(field) & 7) !== 0)) return false;
  if (vmcs.read(VmcsField.HostCsSelector) === 0 || vmcs.read(VmcsField.HostTrSelector) === 0) return false;
  return CANONICAL.every((field) => canonical(vmcs.readHi(field)));
}
