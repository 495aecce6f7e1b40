/** SVM intercept codes: EXITCODE values (APM vol. 2, appendix C). Families add a number: CR, DR, exception vector. */
export const SvmExitCode = {
  CrRead: 0x00,
  CrWrite: 0x10,
  DrRead: 0x20,
  DrWrite: 0x30,
  Exception: 0x40,
  Intr: 0x60,
  Nmi: 0x61,
  Smi: 0x62,
  Init: 0x63,
  VIntr: 0x64,
  Cr0SelectiveWrite: 0x65,
  IdtrRead: 0x66,
  GdtrRead: 0x67,
  LdtrRead: 0x68,
  TrRead: 0x69,
  IdtrWrite: 0x6a,
  GdtrWrite: 0x6b,
  LdtrWrite: 0x6c,
  TrWrite: 0x6d,
  Rdtsc: 0x6e,
  Rdpmc: 0x6f,
  Pushf: 0x70,
  Popf: 0x71,
  Cpuid: 0x72,
  Rsm: 0x73,
  Iret: 0x74,
  Swint: 0x75,
  Invd: 0x76,
  Pause: 0x77,
  Hlt: 0x78,
  Invlpg: 0x79,
  Invlpga: 0x7a,
  Ioio: 0x7b,
  Msr: 0x7c,
  TaskSwitch: 0x7d,
  FerrFreeze: 0x7e,
  Shutdown: 0x7f,
  Vmrun: 0x80,
  Vmmcall: 0x81,
  Vmload: 0x82,
  Vmsave: 0x83,
  Stgi: 0x84,
  Clgi: 0x85,
  Skinit: 0x86,
  Rdtscp: 0x87,
  Icebp: 0x88,
  Wbinvd: 0x89,
  Monitor: 0x8a,
  Mwait: 0x8b,
  MwaitConditional: 0x8c,
  Xsetbv: 0x8d,
  Rdpru: 0x8e,
  /** After the write. */
  EferWriteTrap: 0x8f,
  /** After the write; the register's number is added. */
  CrWriteTrap: 0x90,
  Invpcid: 0xa2,
  Npf: 0x400,
  Vmgexit: 0x403,
  /** Guest state that VMRUN refuses; 64 bits of ones in the VMCB. */
  Invalid: -1,
} as const;

/** Intercept bits of VMCB offset 00Ch. */
export const General1 = {
  Intr: 0,
  Nmi: 1,
  Smi: 2,
  Init: 3,
  VIntr: 4,
  Cr0Selective: 5,
  /** Reads of IDTR, GDTR, LDTR, TR, then writes: bits 6-13. */
  DescriptorTable: 6,
  Rdtsc: 14,
  Rdpmc: 15,
  Pushf: 16,
  Popf: 17,
  Cpuid: 18,
  Rsm: 19,
  Iret: 20,
  Swint: 21,
  Invd: 22,
  Pause: 23,
  Hlt: 24,
  Invlpg: 25,
  Invlpga: 26,
  Ioio: 27,
  Msr: 28,
  TaskSwitch: 29,
  FerrFreeze: 30,
  Shutdown: 31,
} as const;

/** Intercept bits of VMCB offset 010h. */
export const General2 = {
  Vmrun: 0,
  Vmmcall: 1,
  Vmload: 2,
  Vmsave: 3,
  Stgi: 4,
  Clgi: 5,
  Skinit: 6,
  Rdtscp: 7,
  Icebp: 8,
  Wbinvd: 9,
  Monitor: 10,
  Mwait: 11,
  MwaitConditional: 12,
  Xsetbv: 13,
  Rdpru: 14,
  EferWriteTrap: 15,
  /** CR0-CR15: bits 16-31. */
  CrWriteTrap: 16,
} as const;

/** Intercept bits of VMCB offset 014h. */
export const General3 = { Invlpgb: 0, IllegalInvlpgb: 1, Invpcid: 2 } as const;

/** Low word of VMCB offset 090h (APM vol. 2, table B-1). */
export const NestedControl = { NpEnable: 1, SevEnable: 2, SevEsEnable: 4 } as const;

/** TLB_CONTROL, VMCB offset 05Ch (APM vol. 2, 15.16.1). */
export const TlbControl = { Nothing: 0, FlushAll: 1, FlushAsid: 3, FlushAsidNonGlobal: 7 } as const;

/** Bits of EVENTINJ and EXITINTINFO, low word (APM vol. 2, 15.7.2 and 15.20). */
export const EventInfo = { KindShift: 8, ErrorCodeValid: 0x800, Valid: -0x80000000 } as const;

/** Low word of V_TPR and its neighbours, VMCB offset 060h; the vector is bits 7:0 of the high word. */
export const VIntrBit = {
  TprMask: 0xff,
  /** What CR8 has of the TPR. */
  PriorityMask: 15,
  Irq: 0x100,
  PriorityShift: 16,
  IgnoreTpr: 0x100000,
  Masking: 0x1000000,
} as const;
