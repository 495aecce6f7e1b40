/** Bits of the pin-based VM-execution controls (SDM vol. 3, table 25-5). */
export const PinControl = {
  ExternalInterruptExiting: 0x1,
  NmiExiting: 0x8,
  VirtualNmis: 0x20,
  PreemptionTimer: 0x40,
  PostedInterrupts: 0x80,
} as const;

/** Bits of the primary processor-based controls (SDM vol. 3, table 25-6). */
export const PrimaryControl = {
  InterruptWindowExiting: 0x4,
  TscOffsetting: 0x8,
  HltExiting: 0x80,
  InvlpgExiting: 0x200,
  MwaitExiting: 0x400,
  RdpmcExiting: 0x800,
  RdtscExiting: 0x1000,
  Cr3LoadExiting: 0x8000,
  Cr3StoreExiting: 0x10000,
  Cr8LoadExiting: 0x80000,
  Cr8StoreExiting: 0x100000,
  TprShadow: 0x200000,
  NmiWindowExiting: 0x400000,
  MovDrExiting: 0x800000,
  UnconditionalIoExiting: 0x1000000,
  UseIoBitmaps: 0x2000000,
  MonitorTrap: 0x8000000,
  UseMsrBitmaps: 0x10000000,
  MonitorExiting: 0x20000000,
  PauseExiting: 0x40000000,
  Secondary: -0x80000000,
} as const;

/** Bits of the secondary processor-based controls (SDM vol. 3, table 25-7). */
export const SecondaryControl = {
  VirtualizeApicAccesses: 0x1,
  EnableEpt: 0x2,
  DescriptorTableExiting: 0x4,
  EnableRdtscp: 0x8,
  EnableVpid: 0x20,
  WbinvdExiting: 0x40,
  UnrestrictedGuest: 0x80,
  PauseLoopExiting: 0x400,
  EnableInvpcid: 0x1000,
  EnablePml: 0x20000,
  ModeBasedExecute: 0x400000,
  UseTscScaling: 0x2000000,
} as const;

/** Bits of the VM-exit controls (SDM vol. 3, table 25-13). */
export const ExitControl = {
  SaveDebugControls: 0x4,
  HostAddressSpaceSize: 0x200,
  AcknowledgeInterrupt: 0x8000,
  SavePat: 0x40000,
  LoadPat: 0x80000,
  SaveEfer: 0x100000,
  LoadEfer: 0x200000,
  SavePreemptionTimer: 0x400000,
} as const;

/** Bits of the VM-entry controls (SDM vol. 3, table 25-15). */
export const EntryControl = {
  LoadDebugControls: 0x4,
  Ia32eModeGuest: 0x200,
  EntryToSmm: 0x400,
  DeactivateDualMonitor: 0x800,
  LoadPat: 0x4000,
  LoadEfer: 0x8000,
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
  pin: { one: 0x16, may: 0xff & ~PinControl.PostedInterrupts },
  primary: { one: 0x04006172, may: 0xfff9fffe },
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
      SecondaryControl.EnableInvpcid |
      SecondaryControl.EnablePml |
      SecondaryControl.ModeBasedExecute |
      SecondaryControl.UseTscScaling,
  },
  exit: { one: 0x36dfb, may: 0x01ffffff },
  entry: { one: 0x11fb, may: 0x0003ffff },
};

/**
 * The preemption timer counts changes of this bit of the time stamp (IA32_VMX_MISC 4:0): the value that Linux shows
 * nested hypervisors, VMX_MISC_EMULATED_PREEMPTION_TIMER_RATE.
 */
export const PREEMPTION_TIMER_RATE = 5;

/** Entries of an MSR list that the processor takes: 512 by IA32_VMX_MISC 27:25 = 0. */
export const MAX_MSR_LIST = 512;

/** The nearest setting that the processor accepts: bits that must be one are set, bits that must be zero cleared. */
export function adjustControls(wanted: number, { one, may }: AllowedSettings): number {
  return (wanted | one) & may;
}

/** Whether a setting is one that the processor accepts. */
export function settingAllowed(value: number, { one, may }: AllowedSettings): boolean {
  return (value & one) === one && (value & ~may) === 0;
}
