/** Byte offsets in the xAPIC page (SDM vol. 3, table 11-1); an x2APIC MSR is 800h + offset / 16. */
export const ApicRegister = {
  Id: 0x020,
  Version: 0x030,
  TaskPriority: 0x080,
  ArbitrationPriority: 0x090,
  ProcessorPriority: 0x0a0,
  Eoi: 0x0b0,
  RemoteRead: 0x0c0,
  LogicalDestination: 0x0d0,
  DestinationFormat: 0x0e0,
  SpuriousVector: 0x0f0,
  /** Eight registers of 32 vectors each, as are the next two. */
  InService: 0x100,
  TriggerMode: 0x180,
  InterruptRequest: 0x200,
  ErrorStatus: 0x280,
  InterruptCommand: 0x300,
  InterruptCommandHigh: 0x310,
  LvtTimer: 0x320,
  LvtThermal: 0x330,
  LvtPerformance: 0x340,
  LvtLint0: 0x350,
  LvtLint1: 0x360,
  LvtError: 0x370,
  InitialCount: 0x380,
  CurrentCount: 0x390,
  DivideConfiguration: 0x3e0,
  /** x2APIC only. */
  SelfIpi: 0x3f0,
} as const;

/** IA32_APIC_BASE, low word (SDM vol. 3, 11.4.4). */
export const ApicBase = { Bootstrap: 0x100, Extended: 0x400, Enabled: 0x800, Default: -0x1200000 } as const;

/** Delivery modes of the ICR and the LVT. */
export const DeliveryMode = {
  Fixed: 0,
  LowestPriority: 1,
  Smi: 2,
  Nmi: 4,
  Init: 5,
  StartUp: 6,
  ExternalInterrupt: 7,
} as const;

/** Fields of the ICR's low word (SDM vol. 3, 11.6.1). */
export const IcrField = {
  Vector: 0xff,
  ModeShift: 8,
  Logical: 0x800,
  /** 0 with {@link IcrField.Level}: INIT level de-assert, which does nothing. */
  Assert: 0x4000,
  Level: 0x8000,
  ShorthandShift: 18,
} as const;

export const Shorthand = { None: 0, Self: 1, AllIncludingSelf: 2, AllButSelf: 3 } as const;

/** Error status (SDM vol. 3, 11.5.3). */
export const ApicError = {
  SendIllegalVector: 0x20,
  ReceiveIllegalVector: 0x40,
  IllegalRegister: 0x80,
} as const;

/** Fields of LVT entries. */
export const LvtField = {
  Vector: 0xff,
  ModeShift: 8,
  Masked: 0x10000,
  TimerModeShift: 17,
} as const;

/** Bits 18:17 of the timer's LVT entry. */
export const TimerMode = { OneShot: 0, Periodic: 1, TscDeadline: 2 } as const;
