/** VMCS field encodings (SDM vol. 3, appendix B). Segment families run ES, CS, SS, DS, FS, GS, LDTR, TR. */
export const VmcsField = {
  Vpid: 0x0000,
  PostedInterruptVector: 0x0002,
  EptpIndex: 0x0004,

  GuestEsSelector: 0x0800,
  GuestCsSelector: 0x0802,
  GuestSsSelector: 0x0804,
  GuestDsSelector: 0x0806,
  GuestFsSelector: 0x0808,
  GuestGsSelector: 0x080a,
  GuestLdtrSelector: 0x080c,
  GuestTrSelector: 0x080e,
  GuestInterruptStatus: 0x0810,
  PmlIndex: 0x0812,

  HostEsSelector: 0x0c00,
  HostCsSelector: 0x0c02,
  HostSsSelector: 0x0c04,
  HostDsSelector: 0x0c06,
  HostFsSelector: 0x0c08,
  HostGsSelector: 0x0c0a,
  HostTrSelector: 0x0c0c,

  IoBitmapA: 0x2000,
  IoBitmapB: 0x2002,
  MsrBitmap: 0x2004,
  ExitMsrStoreAddress: 0x2006,
  ExitMsrLoadAddress: 0x2008,
  EntryMsrLoadAddress: 0x200a,
  ExecutiveVmcs: 0x200c,
  PmlAddress: 0x200e,
  TscOffset: 0x2010,
  VirtualApicAddress: 0x2012,
  ApicAccessAddress: 0x2014,
  PostedInterruptDescriptor: 0x2016,
  VmFunctionControls: 0x2018,
  EptPointer: 0x201a,
  EoiExitBitmap0: 0x201c,
  EoiExitBitmap1: 0x201e,
  EoiExitBitmap2: 0x2020,
  EoiExitBitmap3: 0x2022,
  EptpList: 0x2024,
  VmreadBitmap: 0x2026,
  VmwriteBitmap: 0x2028,
  VirtualizationExceptionInfo: 0x202a,
  XssExitingBitmap: 0x202c,
  TscMultiplier: 0x2032,

  GuestPhysicalAddress: 0x2400,

  VmcsLinkPointer: 0x2800,
  GuestDebugCtl: 0x2802,
  GuestPat: 0x2804,
  GuestEfer: 0x2806,
  GuestPerfGlobalCtrl: 0x2808,
  GuestPdpte0: 0x280a,
  GuestPdpte1: 0x280c,
  GuestPdpte2: 0x280e,
  GuestPdpte3: 0x2810,
  GuestBndcfgs: 0x2812,

  HostPat: 0x2c00,
  HostEfer: 0x2c02,
  HostPerfGlobalCtrl: 0x2c04,

  PinBasedControls: 0x4000,
  PrimaryControls: 0x4002,
  ExceptionBitmap: 0x4004,
  PageFaultErrorCodeMask: 0x4006,
  PageFaultErrorCodeMatch: 0x4008,
  Cr3TargetCount: 0x400a,
  ExitControls: 0x400c,
  ExitMsrStoreCount: 0x400e,
  ExitMsrLoadCount: 0x4010,
  EntryControls: 0x4012,
  EntryMsrLoadCount: 0x4014,
  EntryInterruptionInfo: 0x4016,
  EntryExceptionErrorCode: 0x4018,
  EntryInstructionLength: 0x401a,
  TprThreshold: 0x401c,
  SecondaryControls: 0x401e,
  PleGap: 0x4020,
  PleWindow: 0x4022,

  InstructionError: 0x4400,
  ExitReason: 0x4402,
  ExitInterruptionInfo: 0x4404,
  ExitInterruptionErrorCode: 0x4406,
  IdtVectoringInfo: 0x4408,
  IdtVectoringErrorCode: 0x440a,
  ExitInstructionLength: 0x440c,
  ExitInstructionInfo: 0x440e,

  GuestEsLimit: 0x4800,
  GuestCsLimit: 0x4802,
  GuestSsLimit: 0x4804,
  GuestDsLimit: 0x4806,
  GuestFsLimit: 0x4808,
  GuestGsLimit: 0x480a,
  GuestLdtrLimit: 0x480c,
  GuestTrLimit: 0x480e,
  GuestGdtrLimit: 0x4810,
  GuestIdtrLimit: 0x4812,
  GuestEsAccessRights: 0x4814,
  GuestCsAccessRights: 0x4816,
  GuestSsAccessRights: 0x4818,
  GuestDsAccessRights: 0x481a,
  GuestFsAccessRights: 0x481c,
  GuestGsAccessRights: 0x481e,
  GuestLdtrAccessRights: 0x4820,
  GuestTrAccessRights: 0x4822,
  GuestInterruptibility: 0x4824,
  GuestActivityState: 0x4826,
  GuestSmbase: 0x4828,
  GuestSysenterCs: 0x482a,
  PreemptionTimer: 0x482e,

  HostSysenterCs: 0x4c00,

  Cr0Mask: 0x6000,
  Cr4Mask: 0x6002,
  Cr0ReadShadow: 0x6004,
  Cr4ReadShadow: 0x6006,
  Cr3Target0: 0x6008,
  Cr3Target1: 0x600a,
  Cr3Target2: 0x600c,
  Cr3Target3: 0x600e,

  ExitQualification: 0x6400,
  IoRcx: 0x6402,
  IoRsi: 0x6404,
  IoRdi: 0x6406,
  IoRip: 0x6408,
  GuestLinearAddress: 0x640a,

  GuestCr0: 0x6800,
  GuestCr3: 0x6802,
  GuestCr4: 0x6804,
  GuestEsBase: 0x6806,
  GuestCsBase: 0x6808,
  GuestSsBase: 0x680a,
  GuestDsBase: 0x680c,
  GuestFsBase: 0x680e,
  GuestGsBase: 0x6810,
  GuestLdtrBase: 0x6812,
  GuestTrBase: 0x6814,
  GuestGdtrBase: 0x6816,
  GuestIdtrBase: 0x6818,
  GuestDr7: 0x681a,
  GuestRsp: 0x681c,
  GuestRip: 0x681e,
  GuestRflags: 0x6820,
  GuestPendingDebugExceptions: 0x6822,
  GuestSysenterEsp: 0x6824,
  GuestSysenterEip: 0x6826,

  HostCr0: 0x6c00,
  HostCr3: 0x6c02,
  HostCr4: 0x6c04,
  HostFsBase: 0x6c06,
  HostGsBase: 0x6c08,
  HostTrBase: 0x6c0a,
  HostGdtrBase: 0x6c0c,
  HostIdtrBase: 0x6c0e,
  HostSysenterEsp: 0x6c10,
  HostSysenterEip: 0x6c12,
  HostRsp: 0x6c14,
  HostRip: 0x6c16,
} as const;

/** Width of a field: bits 14:13 of its encoding. */
export const FieldWidth = { Bits16: 0, Bits64: 1, Bits32: 2, Natural: 3 } as const;
/** Kind of a field: bits 11:10 of its encoding. Exit information is read-only to VMWRITE. */
export const FieldKind = { Control: 0, ExitInformation: 1, GuestState: 2, HostState: 3 } as const;

/** One field of the VMCS. */
export interface VmcsFieldInfo {
  readonly name: keyof typeof VmcsField;
  readonly encoding: number;
  /** A {@link FieldWidth} number. */
  readonly width: number;
  /** A {@link FieldKind} number. */
  readonly kind: number;
  readonly writable: boolean;
}

/** @returns a {@link FieldWidth} number */
export function widthOf(encoding: number): number {
  return (encoding >>> 13) & 3;
}

/** @returns a {@link FieldKind} number */
export function kindOf(encoding: number): number {
  return (encoding >>> 10) & 3;
}

/** Every field, in the order of its encoding. */
export const VMCS_FIELDS: readonly VmcsFieldInfo[] = Object.entries(VmcsField).map(([name, encoding]) => ({
  name: name as keyof typeof VmcsField,
  encoding,
  width: widthOf(encoding),
  kind: kindOf(encoding),
  writable: kindOf(encoding) !== FieldKind.ExitInformation,
}));
