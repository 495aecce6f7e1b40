/** Registers of CPUID that carry feature bits. */
export type ImplementedRegister =
  | "leaf1Edx"
  | "leaf1Ecx"
  | "leaf7Ebx"
  | "leaf7Ecx"
  | "leaf13Eax"
  | "leaf13Sub1Eax"
  | "extended1Edx"
  | "extended1Ecx"
  | "extended7Edx"
  | "extended8Ebx"
  | "svmEdx";

/**
 * Feature bits that the simulated processor implements. A profile keeps the register values of the real part and
 * shows the intersection, so that no guest is promised an instruction that the engine cannot execute.
 */
export const Implemented: Readonly<Record<ImplementedRegister, number>> = {
  /** FPU, DE, PSE, TSC, MSR, PAE, CX8, APIC, SEP, PGE, CMOV, PAT, PSE-36, CLFSH, MMX, FXSR, SSE, SSE2. */
  leaf1Edx: bits(0, 2, 3, 4, 5, 6, 8, 9, 11, 13, 15, 16, 17, 19, 23, 24, 25, 26),
  /** SSE3, PCLMULQDQ, VMX, SSSE3, CX16, PCID, SSE4.1, SSE4.2, x2APIC, MOVBE, POPCNT, TSC deadline, AES, XSAVE, RDRAND. */
  leaf1Ecx: bits(0, 1, 5, 9, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 30),
  /**
   * FSGSBASE, TSC_ADJUST, BMI1, x87 data pointer with exceptions only, SMEP, BMI2, ERMS, INVPCID, no x87 selectors, RDSEED,
   * ADX, SMAP, CLFLUSHOPT, CLWB, SHA.
   */
  leaf7Ebx: bits(0, 1, 3, 6, 7, 8, 9, 10, 13, 18, 19, 20, 23, 24, 29),
  /** UMIP, PKU, LA57, RDPID. */
  leaf7Ecx: bits(2, 3, 16, 22),
  /** XCR0: x87 and SSE state. */
  leaf13Eax: bits(0, 1),
  /** XSAVEOPT, XSAVEC, XGETBV with ECX 1, XSAVES. */
  leaf13Sub1Eax: bits(0, 1, 2, 3),
  /** The leaf 1 bits that AMD repeats, and SYSCALL, NX, AMD's MMX, FFXSR, 1 GiB pages, RDTSCP, long mode. */
  extended1Edx: bits(0, 2, 3, 4, 5, 6, 8, 9, 11, 13, 15, 16, 17, 20, 22, 23, 24, 25, 26, 27, 29),
  /** LAHF in 64-bit mode, SVM, MOV CR8 by LOCK, LZCNT, misaligned SSE operands, PREFETCHW. */
  extended1Ecx: bits(0, 2, 4, 5, 7, 8),
  /** Invariant TSC. */
  extended7Edx: bits(8),
  /** All but CLZERO, retired-instruction count, INVLPGB (also for nested paging), RDPRU and MCOMMIT. */
  extended8Ebx: ~bits(0, 1, 3, 4, 8, 21),
  /** SVM: nested paging, NRIP save, TSC ratio, VMCB clean bits, flush by ASID, decode assists. */
  svmEdx: bits(0, 3, 4, 5, 6, 7),
};

/** The bits of a real register that are implemented, as an unsigned word. */
export function only(register: number, implemented: number): number {
  return (register & implemented) >>> 0;
}

function bits(...positions: readonly number[]): number {
  return positions.reduce((word, bit) => (word | (1 << bit)) >>> 0, 0);
}
