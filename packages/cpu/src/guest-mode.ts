/** Instructions and events that a hypervisor can ask to see. */
export const Intercept = {
  Cpuid: 0,
  Hlt: 1,
  Rdmsr: 2,
  Wrmsr: 3,
  IoRead: 4,
  IoWrite: 5,
  Vmcall: 6,
  Vmmcall: 7,
  Rdtsc: 8,
  CrRead: 9,
  CrWrite: 10,
  DrAccess: 11,
  Invlpg: 12,
  Wbinvd: 13,
  Pause: 14,
  Rdpmc: 15,
  Monitor: 16,
  Mwait: 17,
  Xsetbv: 18,
  Invd: 19,
  DescriptorTable: 20,
  VmxInstruction: 21,
  SvmInstruction: 22,
  TaskSwitch: 23,
  Rdtscp: 24,
  Shutdown: 25,
  Invpcid: 26,
} as const;

/**
 * What a processor in guest mode asks before it acts. Implemented by `svm/` and `vmx/` on the real control fields;
 * absent (`null`) outside guest mode. Each answer of `true` means that a VM exit was recorded: the engine stops at
 * once, with RIP still at the instruction and no state changed by it.
 */
export interface GuestMode {
  /**
   * @param event an {@link Intercept} number
   * @param info event-specific: {@link ioInfo} for I/O, {@link registerInfo} for CR and DR, {@link DescriptorTableAccess}
   * for `DescriptorTable`, bits 2:0 of the ModRM byte for `SvmInstruction` (0f 01 d8+n), the basic exit reason for
   * `VmxInstruction`, the TSS selector for `TaskSwitch`, else 0
   * @param length instruction length in bytes
   */
  interceptInstruction(event: number, info: number, length: number): boolean;
  /**
   * An exception is about to be delivered; #PF carries its linear address, #DB in `addressLo` what DR6 reports.
   * @param kind `EventKind` number: INT3 and INTO are software exceptions, INT1 a privileged one; default hardware
   * @param length instruction length of those, else 0
   */
  interceptException(
    vector: number,
    errorCode: number,
    hasErrorCode: boolean,
    addressLo: number,
    addressHi: number,
    kind?: number,
    length?: number,
  ): boolean;
  /** A second-stage fault: always leaves the guest. The details are in `mmu.fault`. */
  secondStageFault(): void;
  /** An external event became due while the guest runs (`Attention.Interrupt`). */
  externalEvent(): boolean;
}

/** Packs an I/O intercept's facts: port, operand bytes, direction is in the event, string and repeat flags. */
export function ioInfo(port: number, bytes: number, isString: boolean, isRepeated: boolean): number {
  return (port & 0xffff) | (bytes << 16) | (isString ? 1 << 24 : 0) | (isRepeated ? 1 << 25 : 0);
}

/** How a control or debug register is accessed; the numbers are those of VMX exit qualifications. */
export const RegisterAccess = { MovTo: 0, MovFrom: 1, Clts: 2, Lmsw: 3, Smsw: 4 } as const;

/**
 * Packs a control- or debug-register access.
 * @param register 0-15 @param gpr general register 0-15 @param access a {@link RegisterAccess} number
 * @param source the 16 bits that LMSW loads
 */
export function registerInfo(register: number, gpr: number, access: number, source = 0): number {
  return register | (gpr << 4) | (access << 8) | (source << 16);
}

/** What SGDT, LGDT and their kin touch. */
export const DescriptorTableAccess = {
  Sidt: 0,
  Sgdt: 1,
  Sldt: 2,
  Str: 3,
  Lidt: 4,
  Lgdt: 5,
  Lldt: 6,
  Ltr: 7,
} as const;
