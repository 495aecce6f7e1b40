/** Basic VM-exit reasons (SDM vol. 3, appendix C). */
export const VmxExitReason = {
  ExceptionOrNmi: 0,
  ExternalInterrupt: 1,
  TripleFault: 2,
  Init: 3,
  Sipi: 4,
  InterruptWindow: 7,
  NmiWindow: 8,
  TaskSwitch: 9,
  Cpuid: 10,
  Getsec: 11,
  Hlt: 12,
  Invd: 13,
  Invlpg: 14,
  Rdpmc: 15,
  Rdtsc: 16,
  Rsm: 17,
  Vmcall: 18,
  Vmclear: 19,
  Vmlaunch: 20,
  Vmptrld: 21,
  Vmptrst: 22,
  Vmread: 23,
  Vmresume: 24,
  Vmwrite: 25,
  Vmxoff: 26,
  Vmxon: 27,
  CrAccess: 28,
  DrAccess: 29,
  Io: 30,
  Rdmsr: 31,
  Wrmsr: 32,
  InvalidGuestState: 33,
  MsrLoading: 34,
  Mwait: 36,
  MonitorTrap: 37,
  Monitor: 39,
  Pause: 40,
  MachineCheckDuringEntry: 41,
  TprBelowThreshold: 43,
  ApicAccess: 44,
  GdtrIdtrAccess: 46,
  LdtrTrAccess: 47,
  EptViolation: 48,
  EptMisconfiguration: 49,
  Invept: 50,
  Rdtscp: 51,
  PreemptionTimer: 52,
  Invvpid: 53,
  Wbinvd: 54,
  Xsetbv: 55,
  Invpcid: 58,
  PageModificationLogFull: 62,
} as const;

/** Bit 31 of the exit-reason field: VM entry failed. */
export const ENTRY_FAILURE: number = 1 << 31;

/** Exit qualification of an entry failure by invalid guest state (SDM vol. 3, 27.8). */
export const EntryFailureQualification = { Other: 0, Pdpte: 2, NmiInjection: 3, LinkPointer: 4 } as const;

/** VM-exit and VM-entry interruption information, IDT-vectoring information (SDM vol. 3, tables 25-17 and 25-20). */
export const InterruptionInfo = {
  KindShift: 8,
  ErrorCodeValid: 0x800,
  /** Exit information only: the exit hit an IRET that had unblocked NMIs. */
  NmiUnblocking: 0x1000,
  Valid: -0x80000000,
} as const;

/** Kind of a VM-entry event that is no vector: with vector 0, a pending monitor trap. */
export const OTHER_EVENT = 7;

/** Interruptibility state (SDM vol. 3, table 25-3). */
export const Interruptibility = { BySti: 1, ByMovSs: 2, BySmi: 4, ByNmi: 8 } as const;

/** Bits of the pending debug exceptions (SDM vol. 3, table 25-4), at the places of DR6. */
export const PendingDebug = {
  /** B0-B3 and BS, as DR6 will show them. */
  Reported: 0x400f,
  /** An enabled breakpoint was met, or a single step is due: without either nothing is delivered. */
  Any: 0x5000,
  EnabledBreakpoint: 0x1000,
  SingleStep: 0x4000,
} as const;

/** Activity states. */
export const ActivityState = { Active: 0, Hlt: 1, Shutdown: 2, WaitForSipi: 3 } as const;
