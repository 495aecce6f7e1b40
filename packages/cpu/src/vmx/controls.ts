/** Bits of the pin-based VM-execution controls (SDM vol. 3, table 25-5). */
export const PinControl = {
  ExternalInterruptExiting: 1 << 0,
  NmiExiting: 1 << 3,
  VirtualNmis: 1 << 5,
  PreemptionTimer: 1 << 6,
  PostedInterrupts: 1 << 7,
} as const;

/** Bits of the primary processor-based controls (SDM vol. 3, table 25-6). */
export const PrimaryControl = {
  InterruptWindowExiting: 1 << 2,
  TscOffsetting: 1 << 3,
  HltExiting: 1 << 7,
  InvlpgExiting: 1 << 9,
  MwaitExiting: 1 << 10,
  RdpmcExiting: 1 << 11,
  RdtscExiting: 1 << 12,
  Cr3LoadExiting: 1 << 15,
  Cr3StoreExiting: 1 << 16,
  Cr8LoadExiting: 1 << 19,
  Cr8StoreExiting: 1 << 20,
  TprShadow: 1 << 21,
  NmiWindowExiting: 1 << 22,
  MovDrExiting: 1 << 23,
  UnconditionalIoExiting: 1 << 24,
  UseIoBitmaps: 1 << 25,
  MonitorTrap: 1 << 27,
  UseMsrBitmaps: 1 << 28,
  MonitorExiting: 1 << 29,
  PauseExiting: 1 << 30,
  Secondary: 1 << 31,
} as const;

/** Bits of the secondary processor-based controls (SDM vol. 3, table 25-7). */
export const SecondaryControl = {
  VirtualizeApicAccesses: 1 << 0,
  EnableEpt: 1 << 1,
  DescriptorTableExiting: 1 << 2,
  EnableRdtscp: 1 << 3,
  EnableVpid: 1 << 5,
  WbinvdExiting: 1 << 6,
  UnrestrictedGuest: 1 << 7,
  PauseLoopExiting: 1 << 10,
  EnableInvpcid: 1 << 12,
} as const;

/** Bits of the VM-exit controls (SDM vol. 3, table 25-13). */
export const ExitControl = {
  SaveDebugControls: 1 << 2,
  HostAddressSpaceSize: 1 << 9,
  AcknowledgeInterrupt: 1 << 15,
  SavePat: 1 << 18,
  LoadPat: 1 << 19,
  SaveEfer: 1 << 20,
  LoadEfer: 1 << 21,
} as const;

/** Bits of the VM-entry controls (SDM vol. 3, table 25-15). */
export const EntryControl = {
  LoadDebugControls: 1 << 2,
  Ia32eModeGuest: 1 << 9,
  LoadPat: 1 << 14,
  LoadEfer: 1 << 15,
} as const;

/** Which control bits must be one (`one`) and may be one (`may`). */
export interface AllowedSettings {
  readonly one: number;
  readonly may: number;
}

/**
 * Capability MSRs as a Xeon Platinum 8160 reports them (InstLatx64 dump GenuineIntel0050654_SkylakeXeon_20, MSRs 48Bh
 * and 48Dh to 490h), with the features that this model lacks taken out of the secondary controls.
 */
export const CAPABILITIES: Readonly<
  Record<"pin" | "primary" | "secondary" | "exit" | "entry", AllowedSettings>
> = {
  pin: { one: 0x16, may: 0xff & ~PinControl.PreemptionTimer & ~PinControl.PostedInterrupts },
  primary: { one: 0x04006172, may: 0xfff9fffe & ~PrimaryControl.TprShadow & ~PrimaryControl.MonitorTrap },
  secondary: {
    one: 0,
    may:
      SecondaryControl.EnableEpt |
      SecondaryControl.DescriptorTableExiting |
      SecondaryControl.EnableRdtscp |
      SecondaryControl.EnableVpid |
      SecondaryControl.WbinvdExiting |
      SecondaryControl.UnrestrictedGuest |
      SecondaryControl.PauseLoopExiting |
      SecondaryControl.EnableInvpcid,
  },
  exit: { one: 0x36dfb, may: 0x01ffffff },
  entry: { one: 0x11fb, may: 0x0003ffff },
};

/** The nearest setting that the processor accepts: bits that must be one are set, bits that must be zero cleared. */
export function adjustControls(wanted: number, { one, may }: AllowedSettings): number {
  return (wanted | one) & may;
}

/** Whether a setting is one that the processor accepts. */
export function settingAllowed(value: number, { one, may }: AllowedSettings): boolean {
  return (value & one) === one && (value & ~may) === 0;
}
