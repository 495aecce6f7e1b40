import { Errno } from "../errno.js";
import { CONTEXT_DEFAULTS, type VcpuContext, type VcpuSegment } from "../host/vcpu-context.js";
import type { Vcpu } from "../vcpu.js";

/** Bytes of a `vcpu_hvm_context`. */
export const VCPU_HVM_CONTEXT_BYTES = 128;
const MODE_32B = 0;
const MODE_64B = 1;
const REGISTERS = 8;

// struct vcpu_hvm_x86_32, from the beginning of vcpu_hvm_context.
const EIP = 40;
const EFLAGS = 44;
const CR_32 = 48; // CR0, CR3, CR4
const PAD1 = 60;
const EFER_32 = 64;
const BASES = 72; // CS, DS, SS, ES, TR; limits and attributes follow in the same order
const LIMITS = 92;
const ATTRIBUTES = 112;
const PAD2 = 122;
// struct vcpu_hvm_x86_64, likewise.
const RIP = 72;
const RFLAGS = 80;
const CR_64 = 88; // CR0, CR3, CR4, EFER

const RFLAGS_ALL = 0x3f7fd5;
const RFLAGS_SET = 2;
const CR0_PG = 1 << 31;
const CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;

// Segment attributes.
const ACCESSED = 1;
const WRITABLE = 2; // of data; readable of code; busy of a TSS
const CODE = 8;
const NOT_SYSTEM = 0x10;
const PRESENT = 0x80;
const GRANULAR = 0x800;
const TYPE = 0xf;
const BUSY_TSS = 0xb;
const UNDEFINED = 0xf000;

const FLAT_LIMIT = 0xffffffff | 0;
const LONG_CODE: VcpuSegment = { selector: 0, base: 0, limit: FLAT_LIMIT, attributes: 0xa9b };
const LONG_DATA: VcpuSegment = { selector: 0, base: 0, limit: FLAT_LIMIT, attributes: 0xc93 };
const LONG_TSS: VcpuSegment = { selector: 0, base: 0, limit: 0x67, attributes: 0x8b };

/** `arch_initialise_vcpu`. @param view starts with a `vcpu_hvm_context` @returns 0, -EEXIST or -EINVAL */
export function loadContext(vcpu: Vcpu, view: DataView): number {
  if (vcpu.initialised) return -Errno.EEXIST;
  const context = hvmContext(view);
  const error = context === undefined ? -Errno.EINVAL : vcpu.runner.load(context);
  if (error === 0) vcpu.initialised = true;
  return error;
}

/**
 * Reads a `vcpu_hvm_context` (public/hvm/hvm_vcpu.h) and checks it as `arch_set_info_hvm_guest` does, but for CR4 and
 * EFER, whose bits depend on the domain's features.
 * @param view starts with the struct @returns undefined for -EINVAL
 */
export function hvmContext(view: DataView): VcpuContext | undefined {
  if (view.getUint32(4, true) !== 0) return undefined;
  switch (view.getUint32(0, true)) {
    case MODE_32B:
      return context32(view);
    case MODE_64B:
      return context64(view);
    default:
      return undefined;
  }
}

function context32(view: DataView): VcpuContext | undefined {
  const word = (at: number): readonly [number, number] => [view.getInt32(at, true), 0];
  if (view.getUint32(PAD1, true) !== 0) return undefined;
  for (let at = PAD2; at < PAD2 + 6; at++) if (view.getUint8(at) !== 0) return undefined;
  const [cs, ds, ss, es, tr] = [0, 1, 2, 3, 4].map((n): VcpuSegment => {
    const attributes = view.getUint16(ATTRIBUTES + 2 * n, true);
    const set = n === 4 ? WRITABLE : (attributes & PRESENT) !== 0 ? ACCESSED : 0;
    return {
      selector: 0,
      base: view.getInt32(BASES + 4 * n, true),
      limit: view.getInt32(LIMITS + 4 * n, true),
      attributes: attributes | set,
    };
  });
  if (!isCode(cs) || !isData(ds) || !isStack(ss) || !isData(es) || !isTask(tr)) return undefined;
  const limit = (cs.attributes & GRANULAR) !== 0 ? (cs.limit << 12) | 0xfff : cs.limit;
  if (view.getUint32(EIP, true) > limit >>> 0) return undefined;
  const dpl = ({ attributes }: VcpuSegment) => (attributes >>> 5) & 3;
  const reaches = (segment: VcpuSegment) => (segment.attributes & PRESENT) === 0 || dpl(segment) <= dpl(cs);
  if (dpl(ss) !== dpl(cs) || !reaches(ds) || !reaches(es)) return undefined;
  const efer = view.getInt32(EFER_32, true);
  if ((efer & EFER_LMA) !== 0 && (efer & EFER_LME) === 0) return undefined;
  return {
    ...CONTEXT_DEFAULTS,
    registers: Array.from({ length: REGISTERS }, (_, i) => word(8 + 4 * i)),
    rip: word(EIP),
    rflags: flags(view.getInt32(EFLAGS, true)),
    cr0: word(CR_32),
    cr3: word(CR_32 + 4),
    cr4: word(CR_32 + 8),
    efer: longMode(efer, view.getInt32(EFER_32 + 4, true)),
    cs,
    ds,
    es,
    ss,
    tr,
  };
}

function context64(view: DataView): VcpuContext | undefined {
  const pair = (at: number): readonly [number, number] => [
    view.getInt32(at, true),
    view.getInt32(at + 4, true),
  ];
  const rip = pair(RIP);
  const cr0 = pair(CR_64);
  const cr4 = pair(CR_64 + 16);
  const efer = pair(CR_64 + 24);
  if (rip[1] >> 15 !== rip[1] >> 31) return undefined;
  if ((cr0[0] & CR0_PG) === 0 || (cr4[0] & CR4_PAE) === 0 || (efer[0] & EFER_LME) === 0) return undefined;
  return {
    ...CONTEXT_DEFAULTS,
    registers: Array.from({ length: REGISTERS }, (_, i) => pair(8 + 8 * i)),
    rip,
    rflags: flags(view.getInt32(RFLAGS, true)),
    cr0,
    cr3: pair(CR_64 + 8),
    cr4,
    efer: longMode(...efer),
    cs: LONG_CODE,
    ds: LONG_DATA,
    es: LONG_DATA,
    ss: LONG_DATA,
    tr: LONG_TSS,
  };
}

function flags(value: number): readonly [number, number] {
  return [(value & RFLAGS_ALL) | RFLAGS_SET, 0];
}

function longMode(lo: number, hi: number): readonly [number, number] {
  return [(lo & EFER_LME) !== 0 ? lo | EFER_LMA : lo, hi];
}

// `check_segment`

function isUsable({ attributes }: VcpuSegment): boolean {
  return (attributes & UNDEFINED) === 0 && (attributes & NOT_SYSTEM) !== 0 && (attributes & PRESENT) !== 0;
}

function isCode(segment: VcpuSegment): boolean {
  return isUsable(segment) && (segment.attributes & CODE) !== 0;
}

function isStack(segment: VcpuSegment): boolean {
  return isUsable(segment) && (segment.attributes & (CODE | WRITABLE)) === WRITABLE;
}

/** DS and ES may be null. */
function isData(segment: VcpuSegment): boolean {
  if (segment.attributes === 0) return true;
  return isUsable(segment) && (segment.attributes & (CODE | WRITABLE)) !== CODE;
}

function isTask({ attributes }: VcpuSegment): boolean {
  const defined = (attributes & (UNDEFINED | NOT_SYSTEM)) === 0;
  return defined && (attributes & TYPE) === BUSY_TSS && (attributes & PRESENT) !== 0;
}
