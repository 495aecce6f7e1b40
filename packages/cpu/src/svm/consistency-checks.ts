import { EventKind } from "../virtualized-processor.js";
import { EventInfo, TlbControl } from "./exit-code.js";
import { CleanBit, VmcbOffset } from "./vmcb-fields.js";

const CR0_CD = 1 << 30;
const CR0_NW = 1 << 29;
const CR0_PG = 1 << 31;
const CR0_PE = 1;
const CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_SVME = 0x1000;
/** VME to LA57, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP, PKE, CET. */
const CR4_DEFINED = 0x00f71fff;
/** SCE, LME, LMA, NXE, SVME, LMSLE, FFXSR, TCE, MCOMMIT, INTWB, UAIE, AIBRSE. */
const EFER_DEFINED = 0x0036fd01;
const CS_LONG = 0x200;
const CS_DEFAULT = 0x400;

/*
 * The checks of VMRUN (APM vol. 2, 15.5.1, "canonicalization and consistency checks"), a function for each group that
 * a clean bit can hide. `memory[at]` is the VMCB's first word. Each answers whether VMRUN may go on.
 */

function controlRegistersConsistent(memory: Int32Array, at: number, addressBits: number): boolean {
  const cr0 = memory[at + (VmcbOffset.Cr0 >>> 2)];
  const cr4 = memory[at + (VmcbOffset.Cr4 >>> 2)];
  const efer = memory[at + (VmcbOffset.Efer >>> 2)];
  const cr3Hi = memory[at + (VmcbOffset.Cr3 >>> 2) + 1] >>> 0;
  if ((efer & EFER_SVME) === 0 || (efer & ~EFER_DEFINED) !== 0) return false;
  if (memory[at + (VmcbOffset.Efer >>> 2) + 1] !== 0) return false;
  if ((cr0 & CR0_CD) === 0 && (cr0 & CR0_NW) !== 0) return false;
  if (memory[at + (VmcbOffset.Cr0 >>> 2) + 1] !== 0) return false;
  if ((cr4 & ~CR4_DEFINED) !== 0 || memory[at + (VmcbOffset.Cr4 >>> 2) + 1] !== 0) return false;
  if (cr3Hi >= 2 ** (addressBits - 32)) return false;
  if ((efer & EFER_LME) !== 0 && (cr0 & CR0_PG) !== 0) {
    if ((cr4 & CR4_PAE) === 0 || (cr0 & CR0_PE) === 0) return false;
    const cs = memory[at + (VmcbOffset.Cs >>> 2)] >>> 16;
    if ((cs & CS_LONG) !== 0 && (cs & CS_DEFAULT) !== 0) return false;
  }
  return true;
}

function debugRegistersConsistent(memory: Int32Array, at: number): boolean {
  return memory[at + (VmcbOffset.Dr6 >>> 2) + 1] === 0 && memory[at + (VmcbOffset.Dr7 >>> 2) + 1] === 0;
}

/** ASID 0 is the host's; `asids` is what CPUID 8000000A EBX reports. */
export function asidConsistent(asid: number, asids: number): boolean {
  return asid !== 0 && asid >>> 0 < asids;
}

export function tlbControlConsistent(control: number): boolean {
  return (
    control === TlbControl.Nothing ||
    control === TlbControl.FlushAll ||
    control === TlbControl.FlushAsid ||
    control === TlbControl.FlushAsidNonGlobal
  );
}

/** The tables must lie below the end of the physical address space. */
function permissionMapConsistent(baseHi: number, addressBits: number): boolean {
  return baseHi >>> 0 < 2 ** (addressBits - 32);
}

/** #DE to #XF, #CP, #HV, #VC and #SX: vectors below 32 that are exceptions. */
const EXCEPTIONS = 0x702f7dfb;

/** EVENTINJ: reserved kinds, and vectors that no exception has, among them that of NMI (APM vol. 2, 15.20). */
export function eventConsistent(info: number): boolean {
  if ((info & EventInfo.Valid) === 0) return true;
  const kind = (info >>> EventInfo.KindShift) & 7;
  const vector = info & 0xff;
  if (kind === EventKind.HardwareException) return vector < 32 && ((EXCEPTIONS >>> vector) & 1) !== 0;
  return (
    kind === EventKind.ExternalInterrupt || kind === EventKind.Nmi || kind === EventKind.SoftwareInterrupt
  );
}

/** The checks of every group that is not in the processor's copy already. */
export function stateConsistent(memory: Int32Array, at: number, clean: number, addressBits: number): boolean {
  if ((clean & CleanBit.ControlRegisters) === 0 && !controlRegistersConsistent(memory, at, addressBits))
    return false;
  if ((clean & CleanBit.DebugRegisters) === 0 && !debugRegistersConsistent(memory, at)) return false;
  if ((clean & CleanBit.Iopm) !== 0) return true;
  return (
    permissionMapConsistent(memory[at + (VmcbOffset.IopmBase >>> 2) + 1], addressBits) &&
    permissionMapConsistent(memory[at + (VmcbOffset.MsrpmBase >>> 2) + 1], addressBits)
  );
}
