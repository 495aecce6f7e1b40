import {
  ARITHMETIC_FLAGS,
  arithmeticFlags,
  type CpuState,
  EventKind,
  Flag,
  Interruptibility,
  InterruptionInfo,
  State,
  type Vmcs,
  VmcsField,
} from "@hyperwalk/cpu";
import { GuestCodeMode, GuestRegisters } from "../guest-registers.js";

const VECTOR_DB = 1;
const VECTOR_NMI = 2;
const DR6_SINGLE_STEP = 0x4000;
const BLOCKED = Interruptibility.BySti | Interruptibility.ByMovSs;

/** Guest registers between VM exit and VMRESUME: RIP and RFLAGS are the VMCS's, RAX is in the processor. */
export class VmxRegisters extends GuestRegisters {
  private readonly vmcs: Vmcs;

  constructor(state: CpuState, vmcs: Vmcs) {
    super(state);
    this.vmcs = vmcs;
  }

  get rflags(): number {
    return this.vmcs.read(VmcsField.GuestRflags);
  }

  get ripLo(): number {
    return this.vmcs.read(VmcsField.GuestRip);
  }

  get ripHi(): number {
    return this.vmcs.readHi(VmcsField.GuestRip);
  }

  skip(length: number): void {
    const { vmcs } = this;
    const lo = vmcs.read(VmcsField.GuestRip);
    const hi = vmcs.readHi(VmcsField.GuestRip);
    const next = (lo + length) | 0;
    vmcs.write(VmcsField.GuestRip, next, next >>> 0 < lo >>> 0 ? (hi + 1) | 0 : hi);
    const rflags = vmcs.read(VmcsField.GuestRflags);
    if ((rflags & Flag.Rf) !== 0) vmcs.write(VmcsField.GuestRflags, rflags & ~Flag.Rf);
    const blocking = vmcs.read(VmcsField.GuestInterruptibility);
    if ((blocking & BLOCKED) !== 0) vmcs.write(VmcsField.GuestInterruptibility, blocking & ~BLOCKED);
  }

  /** 48-bit addresses in 64-bit mode, 32-bit ones elsewhere. */
  get ripRefused(): boolean {
    const hi = this.ripHi;
    if (hi === 0) return false;
    return this.mode !== GuestCodeMode.Long || (hi << 16) >> 16 !== hi;
  }

  correctRip(): void {
    const hi = this.mode === GuestCodeMode.Long ? (this.ripHi << 16) >> 16 : 0;
    this.vmcs.write(VmcsField.GuestRip, this.ripLo, hi);
  }

  injectException(vector: number, errorCode: number): void {
    const hasErrorCode = errorCode >= 0;
    const flags = InterruptionInfo.Valid | (hasErrorCode ? InterruptionInfo.ErrorCodeValid : 0);
    const kind = EventKind.HardwareException << InterruptionInfo.KindShift;
    this.vmcs.write(VmcsField.EntryInterruptionInfo, flags | kind | vector);
    if (hasErrorCode) this.vmcs.write(VmcsField.EntryExceptionErrorCode, errorCode);
  }

  injectInterrupt(vector: number): void {
    const kind = EventKind.ExternalInterrupt << InterruptionInfo.KindShift;
    this.vmcs.write(VmcsField.EntryInterruptionInfo, InterruptionInfo.Valid | kind | vector);
  }

  injectNmi(): void {
    const kind = EventKind.Nmi << InterruptionInfo.KindShift;
    this.vmcs.write(VmcsField.EntryInterruptionInfo, InterruptionInfo.Valid | kind | VECTOR_NMI);
  }

  injectDebugTrap(): void {
    this.words[State.Dr6] |= DR6_SINGLE_STEP;
    this.injectException(VECTOR_DB, -1);
  }

  saveArithmeticFlags(): void {
    const rflags = (this.rflags & ~ARITHMETIC_FLAGS) | arithmeticFlags(this.words);
    if (rflags !== this.rflags) this.vmcs.write(VmcsField.GuestRflags, rflags);
  }

  get eventQueued(): boolean {
    return this.vmcs.read(VmcsField.EntryInterruptionInfo) < 0;
  }

  get nmiMasked(): boolean {
    return (this.vmcs.read(VmcsField.GuestInterruptibility) & Interruptibility.ByNmi) !== 0;
  }

  get canTakeNmi(): boolean {
    const { vmcs } = this;
    return (
      (vmcs.read(VmcsField.GuestInterruptibility) & (BLOCKED | Interruptibility.ByNmi)) === 0 &&
      !this.eventQueued
    );
  }

  get canTakeInterrupt(): boolean {
    const { vmcs } = this;
    return (
      (vmcs.read(VmcsField.GuestRflags) & Flag.If) !== 0 &&
      (vmcs.read(VmcsField.GuestInterruptibility) & BLOCKED) === 0 &&
      !this.eventQueued
    );
  }

  protected saveRax(): void {
    // RAX is where every other general register is.
  }
}
