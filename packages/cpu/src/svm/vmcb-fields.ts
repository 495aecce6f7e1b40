/** Byte offsets in the VMCB (APM vol. 2, appendix B, tables B-1 and B-2; the save area begins at 400h). */
export const VmcbOffset = {
  CrIntercepts: 0x000,
  DrIntercepts: 0x004,
  ExceptionIntercepts: 0x008,
  General1Intercepts: 0x00c,
  General2Intercepts: 0x010,
  General3Intercepts: 0x014,
  PauseFilterThreshold: 0x03c,
  PauseFilterCount: 0x03e,
  IopmBase: 0x040,
  MsrpmBase: 0x048,
  TscOffset: 0x050,
  Asid: 0x058,
  TlbControl: 0x05c,
  VIntr: 0x060,
  InterruptShadow: 0x068,
  ExitCode: 0x070,
  ExitInfo1: 0x078,
  ExitInfo2: 0x080,
  ExitIntInfo: 0x088,
  NestedControl: 0x090,
  /** Guest-physical address of the GHCB, which an SEV-ES guest sets by its MSR. */
  GhcbMsr: 0x0a0,
  EventInj: 0x0a8,
  NCr3: 0x0b0,
  VirtExt: 0x0b8,
  CleanBits: 0x0c0,
  NRip: 0x0c8,
  GuestInstructionLength: 0x0d0,
  GuestInstructionBytes: 0x0d1,
  /** Machine address of the VMSA of an SEV-ES guest. */
  VmsaPointer: 0x108,
  Es: 0x400,
  Cs: 0x410,
  Ss: 0x420,
  Ds: 0x430,
  Fs: 0x440,
  Gs: 0x450,
  Gdtr: 0x460,
  Ldtr: 0x470,
  Idtr: 0x480,
  Tr: 0x490,
  Cpl: 0x4cb,
  Efer: 0x4d0,
  Cr4: 0x548,
  Cr3: 0x550,
  Cr0: 0x558,
  Dr7: 0x560,
  Dr6: 0x568,
  Rflags: 0x570,
  Rip: 0x578,
  Rsp: 0x5d8,
  Rax: 0x5f8,
  Star: 0x600,
  Lstar: 0x608,
  Cstar: 0x610,
  Sfmask: 0x618,
  KernelGsBase: 0x620,
  SysenterCs: 0x628,
  SysenterEsp: 0x630,
  SysenterEip: 0x638,
  Cr2: 0x640,
  GPat: 0x668,
  DebugCtl: 0x670,
  LastBranchFrom: 0x678,
  LastBranchTo: 0x680,
  LastExceptionFrom: 0x688,
  LastExceptionTo: 0x690,
  SpecCtrl: 0x6e0,
} as const;

/** Offsets within a segment register or descriptor-table register of the save area. */
export const VmcbSegment = { Selector: 0, Attributes: 2, Limit: 4, Base: 8 } as const;

/** VMCB clean bits (APM vol. 2, 15.15.3): set means that memory may be ignored in favour of the processor's copy. */
export const CleanBit = {
  Intercepts: 0x001,
  Iopm: 0x002,
  Asid: 0x004,
  Tpr: 0x008,
  NestedPaging: 0x010,
  ControlRegisters: 0x020,
  DebugRegisters: 0x040,
  DescriptorTables: 0x080,
  Segments: 0x100,
  Cr2: 0x200,
  Lbr: 0x400,
  Avic: 0x800,
  All: 0xfff,
} as const;

/** One field of the VMCB. */
export interface VmcbField {
  readonly name: keyof typeof VmcbOffset;
  readonly offset: number;
  readonly bytes: 1 | 2 | 4 | 8 | 15 | 16;
  /** The {@link CleanBit} that covers it; 0 when it is read at every VMRUN, or only written by #VMEXIT. */
  readonly clean: number;
}

const WIDTHS: Readonly<Record<number, readonly (keyof typeof VmcbOffset)[]>> = {
  1: ["TlbControl", "Cpl", "GuestInstructionLength"],
  2: ["PauseFilterThreshold", "PauseFilterCount"],
  4: [
    "CrIntercepts",
    "DrIntercepts",
    "ExceptionIntercepts",
    "General1Intercepts",
    "General2Intercepts",
    "General3Intercepts",
    "Asid",
    "CleanBits",
  ],
  15: ["GuestInstructionBytes"],
  16: ["Es", "Cs", "Ss", "Ds", "Fs", "Gs", "Gdtr", "Ldtr", "Idtr", "Tr"],
};

const GROUPS: readonly (readonly [number, readonly (keyof typeof VmcbOffset)[]])[] = [
  [
    CleanBit.Intercepts,
    [
      "CrIntercepts",
      "DrIntercepts",
      "ExceptionIntercepts",
      "General1Intercepts",
      "General2Intercepts",
      "General3Intercepts",
      "PauseFilterThreshold",
      "PauseFilterCount",
      "TscOffset",
    ],
  ],
  [CleanBit.Iopm, ["IopmBase", "MsrpmBase"]],
  [CleanBit.Asid, ["Asid"]],
  [CleanBit.Tpr, ["VIntr"]],
  [CleanBit.NestedPaging, ["NestedControl", "NCr3", "GPat"]],
  [CleanBit.ControlRegisters, ["Cr0", "Cr3", "Cr4", "Efer"]],
  [CleanBit.DebugRegisters, ["Dr6", "Dr7"]],
  [CleanBit.DescriptorTables, ["Gdtr", "Idtr"]],
  [CleanBit.Segments, ["Es", "Cs", "Ss", "Ds", "Cpl"]],
  [CleanBit.Cr2, ["Cr2"]],
  [CleanBit.Lbr, ["DebugCtl", "LastBranchFrom", "LastBranchTo", "LastExceptionFrom", "LastExceptionTo"]],
];

function widthOf(name: keyof typeof VmcbOffset): VmcbField["bytes"] {
  for (const [bytes, names] of Object.entries(WIDTHS))
    if (names.includes(name)) return Number(bytes) as VmcbField["bytes"];
  return 8;
}

/** Every field, in the order of its offset. */
export const VMCB_FIELDS: readonly VmcbField[] = (Object.keys(VmcbOffset) as (keyof typeof VmcbOffset)[])
  .map((name) => ({
    name,
    offset: VmcbOffset[name],
    bytes: widthOf(name),
    clean: GROUPS.find(([, names]) => names.includes(name))?.[0] ?? 0,
  }))
  .sort((a, b) => a.offset - b.offset);
