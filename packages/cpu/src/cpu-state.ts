import type { Arena } from "@hyperwalk/mmu";

/** Segment registers in the order of the x86 encoding, then the system segments. */
export const Segment = { Es: 0, Cs: 1, Ss: 2, Ds: 3, Fs: 4, Gs: 5, Ldtr: 6, Tr: 7 } as const;

/** Words of one segment in {@link CpuState.words}, counted from `State.Segments + 8 * segment`. */
export const SegmentWord = {
  Selector: 0,
  /** Access rights as VMX stores them: type, S, DPL, P, AVL, L, D/B, G in bits 15:0; bit 16 = unusable. */
  Attributes: 1,
  /** Byte-granular limit, already scaled by G. */
  Limit: 2,
  BaseLo: 3,
  BaseHi: 4,
} as const;

/**
 * Indices into {@link CpuState.words}. 64-bit registers are two 32-bit words, low word first; general registers come
 * first in encoding order, so register `r` is words `2 * r` and `2 * r + 1`.
 */
export const State = {
  Gpr: 0,
  RipLo: 32,
  RipHi: 33,
  /** RFLAGS bits that are not lazy (IF, DF, TF, IOPL, AC, RF, VM, ID, NT and bit 1), and the arithmetic ones when {@link FlagsSource} is 0. */
  Flags: 34,
  /** 0: arithmetic flags are in `Flags`; 1: they follow from the next four words (owned by the interpreter). */
  FlagsSource: 35,
  /** ZF = this word is zero. */
  FlagsZero: 36,
  /** SF = its sign. */
  FlagsSign: 37,
  /** PF = its low byte has an even number of ones. */
  FlagsParity: 38,
  /** Carries: bit 31 = CF, bit 31 xor bit 30 = OF, bit 3 = AF; other bits mean nothing. */
  FlagsCarry: 39,
  /** Always zero: what an absent base or index register reads. */
  ZeroLo: 40,
  ZeroHi: 41,
  Cr0: 42,
  Cr2Lo: 43,
  Cr2Hi: 44,
  Cr3Lo: 45,
  Cr3Hi: 46,
  Cr4: 47,
  Cr8: 48,
  EferLo: 49,
  Dr0: 50, // pairs for DR0-DR3 at 50..57
  Dr6: 58,
  Dr7: 59,
  GdtrLimit: 60,
  GdtrBaseLo: 61,
  GdtrBaseHi: 62,
  IdtrLimit: 63,
  IdtrBaseLo: 64,
  IdtrBaseHi: 65,
  Segments: 66, // 8 segments x 8 words: 66..129
  KernelGsBaseLo: 130,
  KernelGsBaseHi: 131,
  StarLo: 132,
  StarHi: 133,
  LstarLo: 134,
  LstarHi: 135,
  CstarLo: 136,
  CstarHi: 137,
  FmaskLo: 138,
  SysenterCs: 139,
  SysenterEspLo: 140,
  SysenterEspHi: 141,
  SysenterEipLo: 142,
  SysenterEipHi: 143,
  PatLo: 144,
  PatHi: 145,
  /** Current privilege level, 0-3. */
  Cpl: 146,
  /** A {@link Shadow} after STI, MOV SS or POP SS until one more instruction has retired. */
  InterruptShadow: 147,
  /** Events raised for the run loop, see `Attention`; zero in the common case. */
  Attention: 148,
  /** `GuestRun` bits while a hypervisor's guest runs (VMX non-root or SVM guest mode), else 0. */
  GuestMode: 149,
  /** Bits the guest changed since the last VM entry, see `Dirty`. */
  Dirty: 150,
  XcrLo: 153,
  /** Whose state the registers hold outside guest mode: number of the VMCB's or VMCS's frame + 1; 0: nobody's. */
  ResidentGuest: 154,
  /** Debug traps that MOV SS or POP SS holds back, as bits of DR6. */
  PendingDebug: 155,
  /** 1 from the delivery of an NMI to the next IRET. */
  NmiBlocked: 156,
  /** 1 while an NMI waits; it has no more than one place. */
  NmiPending: 157,
  /** An {@link Activity}. */
  Activity: 158,
  /** Numbers that RDRAND and RDSEED have given so far: what makes the next one. */
  RandomCount: 160,
  /** INIT and SIPI that have arrived, see `PendingSignal`. */
  PendingSignals: 159,
  /** What writes of IA32_TSC and IA32_TSC_ADJUST have added to the cycle count, 64 bits signed. */
  TscBaseLo: 161,
  TscBaseHi: 162,
  TscAdjustLo: 163,
  TscAdjustHi: 164,
  /** Multiplier of the time stamp that a guest reads: AMD's TSC-ratio MSR, Intel's TSC multiplier. */
  TscRatioLo: 165,
  TscRatioHi: 166,
  /** x87 registers R0 to R7 by physical number, four words each: significand low, high, sign and exponent (16 bits), unused. */
  Fpr: 192,
  FpuControl: 224,
  /** With TOP in bits 13:11. */
  FpuStatus: 225,
  /** Bit r = register R(r) is in use: the abridged tag of FXSAVE. */
  FpuInUse: 226,
  /** Low 11 bits of the opcode of the latest x87 instruction that was no control instruction. */
  FpuOpcode: 227,
  FpuInstructionLo: 228,
  FpuInstructionHi: 229,
  FpuInstructionSelector: 230,
  FpuDataLo: 231,
  FpuDataHi: 232,
  FpuDataSelector: 233,
  Mxcsr: 234,
  /** Vector registers, eight words each: XMM in the low four, room for the upper half of a YMM. */
  Vector: 240, // 16 x 8 words: 240..367
  /** Operands that a vector instruction has taken from memory or is about to overwrite: four words each, no state. */
  VectorSource: 368,
  VectorOld: 372,
  Length: 384,
} as const;

/** Bits of `State.GuestMode`. */
export const GuestRun = {
  Running: 1,
  /** PUSHF, POPF, IRET, INT n or INT1 is intercepted: their handlers ask. */
  FlagInstructions: 2,
  /** VMX's monitor trap flag: the guest leaves after each instruction … */
  MonitorTrap: 4,
  /** … and one has retired. */
  MonitorTrapDue: 8,
} as const;

/** Groups of guest state changed since VM entry; the virtualization layer saves only what these name. */
export const Dirty = {
  Control: 1,
  Debug: 2,
  DescriptorTables: 4,
  Segments: 8,
  SyscallMsrs: 16,
  All: 31,
} as const;

/** Reasons to look up from the run loop between two blocks. */
export const Attention = {
  ArenaLow: 1,
  /** An interrupt or NMI may be due. */
  Interrupt: 2,
  Stop: 4,
  ModeChanged: 8,
  CodeWritten: 16,
  /** A breakpoint is armed, or a debug trap is held back. */
  Debug: 32,
  /** The next timer event is another one. */
  Timer: 64,
} as const;

/** Values of `State.InterruptShadow`; bit 0 is set in each. */
export const Shadow = {
  None: 0,
  /** After STI: external interrupts wait. */
  Sti: 1,
  /** After MOV SS or POP SS: debug exceptions and NMIs wait too (SDM vol. 3, 6.8.3). */
  MovSs: 3,
  /** Bit: the instruction that ends it is being executed. */
  Ending: 0x10,
} as const;

/** What a processor does between events (`State.Activity`); HLT, and INIT of an application processor. */
export const Activity = { Running: 0, Halted: 1, WaitForSipi: 2 } as const;

/** EFLAGS bits. */
export const Flag = {
  Cf: 0x1,
  Pf: 0x4,
  Af: 0x10,
  Zf: 0x40,
  Sf: 0x80,
  Tf: 0x100,
  If: 0x200,
  Df: 0x400,
  Of: 0x800,
  Iopl: 0x3000,
  Nt: 0x4000,
  Rf: 0x10000,
  Vm: 0x20000,
  Ac: 0x40000,
  Id: 0x200000,
} as const;
/** The six arithmetic flags that the interpreter keeps lazily. */
export const ARITHMETIC_FLAGS = 0x8d5;

/**
 * Architectural state of one logical processor, as 32-bit words in the arena so that any execution engine can share
 * it. Code that reads RFLAGS goes through the engine's `rflags` accessors, because the arithmetic bits are lazy.
 */
export class CpuState {
  words!: Int32Array;
  /** What a hypervisor adds to its guest's time stamp, after scaling (cycles, exact in a double); 0 outside guest mode. */
  tscOffset = 0;

  constructor(arena: Arena) {
    const at = arena.reserve(State.Length * 4);
    arena.adopt(() => {
      this.words = arena.int32(at, State.Length);
    });
  }
}
