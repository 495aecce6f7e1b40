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
  Pushf: 27,
  Popf: 28,
  Iret: 29,
  /** INT n, but not INT3, INTO and INT1. */
  SoftwareInterrupt: 30,
  /** INT1. */
  Icebp: 31,
  Rdpid: 32,
  /** After a write of CR0, CR4 or EFER that took effect; asked for its side effects only. */
  ControlWritten: 33,
  /** VMGEXIT, asked only where {@link GuestMode.encryptsState}. */
  Vmgexit: 34,
} as const;

/** How many {@link Intercept} numbers there are. */
export const INTERCEPTS = 35;

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
   * `VmxInstruction`, `taskSwitchInfo` for `TaskSwitch`, the vector for `SoftwareInterrupt`, 0, 4 or
   * `WRITTEN_EFER` for `ControlWritten`, else 0
   * @param length instruction length in bytes
   */
  interceptInstruction(event: number, info: number, length: number): boolean;
  /**
   * Whether the controls make an instruction #UD that the processor would otherwise have; absent: never.
   * @param event an {@link Intercept} number: RDTSCP, RDPID, INVPCID
   */
  undefines?(event: number): boolean;
  /**
   * Whether CR0 or CR4 may take a value while the guest runs, `false` is #GP(0); absent: any.
   * @param register 0 or 4 @param value low word
   */
  allowsControl?(register: number, value: number): boolean;
  /**
   * Bits of CR0 or CR4 that are the hypervisor's: the guest's writes leave them as they are. Absent: none.
   * @param register 0 or 4
   */
  ownedControl?(register: number): number;
  /**
   * What the guest reads in place of CR0's or CR4's low word. Absent: what is there.
   * @param register 0 or 4 @param value what is there
   */
  controlAsRead?(register: number, value: number): number;
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
  /**
   * An SVM instruction that is not intercepted takes effect. Absent: such instructions are #GP(0).
   * @param instruction bits 2:0 of its ModRM byte (0f 01 d8+n) @returns false for #GP(0)
   */
  performs?(instruction: number): boolean;
  /** The guest's registers are encrypted (SEV-ES): VMGEXIT leaves it. Absent: they are not, and VMGEXIT is VMMCALL. */
  readonly encryptsState?: boolean;
  /** The guest is SNP-active: it has PVALIDATE and RMPADJUST. Absent: they are #UD. */
  readonly securesPages?: boolean;
  /**
   * Reads one of the MSRs that only encrypted guests have, into `out` (low and high word). Absent: there are none.
   * @param msr its number, unsigned @returns false for a register that the guest does not have
   */
  readEncryptionMsr?(msr: number, out: Int32Array): boolean;
  /** Writes one. @returns false for #GP(0) */
  writeEncryptionMsr?(msr: number, lo: number, hi: number): boolean;
  /** An external event became due while the guest runs (`Attention.Interrupt`). */
  externalEvent(): boolean;
}

/**
 * Packs an I/O intercept's facts: port, operand bytes, string and repeat flags, port from an immediate, log2 bytes of
 * the address size, segment register of a string. Direction is in the event.
 */
export function ioInfo(
  port: number,
  bytes: number,
  isString: boolean,
  isRepeated: boolean,
  isImmediate = false,
  addressSize = 0,
  segment = 0,
): number {
  return (
    (port & 0xffff) |
    (bytes << 16) |
    (isString ? IoInfo.String : 0) |
    (isRepeated ? IoInfo.Repeated : 0) |
    (isImmediate ? IoInfo.Immediate : 0) |
    (addressSize << IoInfo.AddressShift) |
    (segment << IoInfo.SegmentShift)
  );
}

/** Fields of {@link ioInfo} above the port: 3 bits of operand bytes, then these. */
export const IoInfo = {
  BytesShift: 16,
  BytesMask: 7,
  String: 0x100000,
  Repeated: 0x200000,
  Immediate: 0x400000,
  AddressShift: 24,
  SegmentShift: 28,
} as const;

/** What makes the processor switch tasks; the numbers are those of VMX exit qualifications (SDM vol. 3, table 28-2). */
export const TaskSwitchSource = { Call: 0, Iret: 1, Jump: 2, Gate: 3 } as const;

/** Packs a task switch: selector of the new TSS, and a {@link TaskSwitchSource} number. */
export function taskSwitchInfo(selector: number, source: number): number {
  return (selector & 0xffff) | (source << 30);
}

/** `info` of `ControlWritten` for EFER. */
export const WRITTEN_EFER = -1;

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
