/** One segment register. */
export interface VcpuSegment {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  /** Type, S, DPL and P in bits 7:0, AVL, L, D/B and G in bits 11:8, as in a VMCB; 0 for one that cannot be used. */
  readonly attributes: number;
}

/** Registers with which a vCPU starts that has not run yet, or that INIT has reset. 64-bit values are [low, high]. */
export interface VcpuContext {
  /** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI; the others are 0. */
  readonly registers: readonly (readonly [number, number])[];
  readonly rip: readonly [number, number];
  readonly rflags: readonly [number, number];
  readonly cr0: readonly [number, number];
  readonly cr3: readonly [number, number];
  readonly cr4: readonly [number, number];
  readonly efer: readonly [number, number];
  readonly cs: VcpuSegment;
  readonly ds: VcpuSegment;
  readonly es: VcpuSegment;
  readonly ss: VcpuSegment;
  /** FS and GS. */
  readonly further: VcpuSegment;
  readonly ldtr: VcpuSegment;
  readonly tr: VcpuSegment;
  /** Limit of GDTR and IDTR, whose base is 0. */
  readonly tableLimit: number;
}

const NULL_SEGMENT: VcpuSegment = { selector: 0, base: 0, limit: 0, attributes: 0 };
const ZERO: readonly [number, number] = [0, 0];
const REAL_LIMIT = 0xffff;
const CR0_ET = 0x10;
const RFLAGS_SET = 2;

/** What a context leaves open: no FS, GS and LDTR, and tables that are empty. */
export const CONTEXT_DEFAULTS: Pick<VcpuContext, "further" | "ldtr" | "tableLimit"> = {
  further: NULL_SEGMENT,
  ldtr: NULL_SEGMENT,
  tableLimit: 0,
};

/** `hvm_vcpu_reset_state`: real mode, at the page that a SIPI's vector names. @param vector 0 to 255 */
export function startUpContext(vector: number): VcpuContext {
  const real = (attributes: number): VcpuSegment => ({ selector: 0, base: 0, limit: REAL_LIMIT, attributes });
  const data = real(0x93);
  return {
    registers: [ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO], // `arch_vcpu_regs_init`: no signature in EDX
    rip: ZERO,
    rflags: [RFLAGS_SET, 0],
    cr0: [CR0_ET, 0],
    cr3: ZERO,
    cr4: ZERO,
    efer: ZERO,
    cs: { ...real(0x9b), selector: vector << 8, base: vector << 12 },
    ds: data,
    es: data,
    ss: data,
    further: data,
    ldtr: real(0x82),
    tr: real(0x8b),
    tableLimit: REAL_LIMIT,
  };
}
