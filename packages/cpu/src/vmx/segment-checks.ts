import { canonical } from "./register-checks.js";
import type { Vmcs } from "./vmcs.js";
import { VmcsField } from "./vmcs-fields.js";

const CR0_PE = 1;
const RFLAGS_VM = 0x20000;
const AR_PRESENT = 0x80;
const AR_CODE_OR_DATA = 0x10; // S
const AR_LONG = 0x2000;
const AR_DEFAULT = 0x4000;
const AR_GRANULARITY = 0x8000;
const AR_UNUSABLE = 0x10000;
const AR_RESERVED = ~0x1f0ff;
const ACCESSED_CODE = 0xaa00; // types 9, 11, 13, 15
const VIRTUAL_8086 = 0xf3;

// Numbers of the segment families, whose fields lie two apart.
const ES = 0;
const CS = 1;
const SS = 2;
const DS = 3;
const FS = 4;
const GS = 5;
const LDTR = 6;
const TR = 7;

function selector(vmcs: Vmcs, segment: number): number {
  return vmcs.read(VmcsField.GuestEsSelector + 2 * segment);
}

function rights(vmcs: Vmcs, segment: number): number {
  return vmcs.read(VmcsField.GuestEsAccessRights + 2 * segment);
}

function limit(vmcs: Vmcs, segment: number): number {
  return vmcs.read(VmcsField.GuestEsLimit + 2 * segment);
}

function baseHi(vmcs: Vmcs, segment: number): number {
  return vmcs.readHi(VmcsField.GuestEsBase + 2 * segment);
}

function usable(vmcs: Vmcs, segment: number): boolean {
  return (rights(vmcs, segment) & AR_UNUSABLE) === 0;
}

/**
 * Checks of VM entry on the segment registers (SDM vol. 3, 27.3.1.2).
 * @param long the guest enters IA-32e mode
 */
export function segmentsConsistent(vmcs: Vmcs, long: boolean, unrestricted: boolean): boolean {
  if ((selector(vmcs, TR) & 4) !== 0) return false;
  if (usable(vmcs, LDTR) && (selector(vmcs, LDTR) & 4) !== 0) return false;
  if (!canonical(baseHi(vmcs, TR)) || !canonical(baseHi(vmcs, FS)) || !canonical(baseHi(vmcs, GS)))
    return false;
  if (usable(vmcs, LDTR) && !canonical(baseHi(vmcs, LDTR))) return false;
  if (baseHi(vmcs, CS) !== 0) return false;
  for (const segment of [SS, DS, ES]) if (usable(vmcs, segment) && baseHi(vmcs, segment) !== 0) return false;
  const flagsVm = (vmcs.read(VmcsField.GuestRflags) & RFLAGS_VM) !== 0;
  const flat = flagsVm
    ? virtual8086Consistent(vmcs)
    : codeConsistent(vmcs, long, unrestricted) &&
      stackConsistent(vmcs, unrestricted) &&
      [DS, ES, FS, GS].every((segment) => dataConsistent(vmcs, segment, unrestricted));
  return flat && systemConsistent(vmcs, long);
}

function virtual8086Consistent(vmcs: Vmcs): boolean {
  for (let segment = ES; segment <= GS; segment++) {
    const base = vmcs.read(VmcsField.GuestEsBase + 2 * segment);
    if (base !== selector(vmcs, segment) << 4 || baseHi(vmcs, segment) !== 0) return false;
    if (limit(vmcs, segment) !== 0xffff || rights(vmcs, segment) !== VIRTUAL_8086) return false;
  }
  return true;
}

/** Present, code or data, no reserved bits, a granularity that fits the limit. */
function shapeConsistent(vmcs: Vmcs, segment: number): boolean {
  const access = rights(vmcs, segment);
  if ((access & (AR_CODE_OR_DATA | AR_PRESENT)) !== (AR_CODE_OR_DATA | AR_PRESENT)) return false;
  return (access & AR_RESERVED) === 0 && granularityFits(access, limit(vmcs, segment));
}

function granularityFits(access: number, bytes: number): boolean {
  const byPages = (access & AR_GRANULARITY) !== 0;
  if ((bytes & 0xfff) !== 0xfff && byPages) return false;
  return bytes >>> 20 === 0 || byPages;
}

function codeConsistent(vmcs: Vmcs, long: boolean, unrestricted: boolean): boolean {
  const access = rights(vmcs, CS);
  const type = access & 15;
  const level = (access >>> 5) & 3;
  const stack = (rights(vmcs, SS) >>> 5) & 3;
  if ((access & AR_UNUSABLE) !== 0 || !shapeConsistent(vmcs, CS)) return false;
  if (type === 3) {
    if (!unrestricted || level !== 0) return false;
  } else if (((ACCESSED_CODE >>> type) & 1) === 0) return false;
  else if ((type & 4) !== 0 ? level > stack : level !== stack) return false;
  return !(long && (access & AR_LONG) !== 0 && (access & AR_DEFAULT) !== 0);
}

function stackConsistent(vmcs: Vmcs, unrestricted: boolean): boolean {
  const access = rights(vmcs, SS);
  const level = (access >>> 5) & 3;
  if (!unrestricted) {
    if ((selector(vmcs, SS) & 3) !== (selector(vmcs, CS) & 3)) return false;
    if (level !== (selector(vmcs, SS) & 3)) return false;
  }
  const real = (vmcs.read(VmcsField.GuestCr0) & CR0_PE) === 0;
  if (((rights(vmcs, CS) & 15) === 3 || real) && level !== 0) return false;
  if ((access & AR_UNUSABLE) !== 0) return true;
  const type = access & 15;
  return (type === 3 || type === 7) && shapeConsistent(vmcs, SS);
}

function dataConsistent(vmcs: Vmcs, segment: number, unrestricted: boolean): boolean {
  const access = rights(vmcs, segment);
  if ((access & AR_UNUSABLE) !== 0) return true;
  const type = access & 15;
  if ((type & 1) === 0 || (type & 10) === 8 || !shapeConsistent(vmcs, segment)) return false;
  if (unrestricted || type >= 12) return true;
  return ((access >>> 5) & 3) >= (selector(vmcs, segment) & 3);
}

function systemConsistent(vmcs: Vmcs, long: boolean): boolean {
  const task = rights(vmcs, TR);
  const type = task & 15;
  if ((task & AR_UNUSABLE) !== 0 || !isSystem(vmcs, TR)) return false;
  if (type !== 11 && (type !== 3 || long)) return false;
  if (!usable(vmcs, LDTR)) return true;
  return (rights(vmcs, LDTR) & 15) === 2 && isSystem(vmcs, LDTR);
}

function isSystem(vmcs: Vmcs, segment: number): boolean {
  const access = rights(vmcs, segment);
  if ((access & (AR_CODE_OR_DATA | AR_PRESENT)) !== AR_PRESENT || (access & AR_RESERVED) !== 0) return false;
  return granularityFits(access, limit(vmcs, segment));
}

/** 27.3.1.3 */
export function descriptorTablesConsistent(vmcs: Vmcs): boolean {
  return (
    canonical(vmcs.readHi(VmcsField.GuestGdtrBase)) &&
    canonical(vmcs.readHi(VmcsField.GuestIdtrBase)) &&
    vmcs.read(VmcsField.GuestGdtrLimit) >>> 16 === 0 &&
    vmcs.read(VmcsField.GuestIdtrLimit) >>> 16 === 0
  );
}
