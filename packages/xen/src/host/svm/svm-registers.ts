import {
  ARITHMETIC_FLAGS,
  arithmeticFlags,
  type CpuState,
  EventInfo,
  EventKind,
  Flag,
  General1,
  type Vmcb,
  VmcbOffset,
} from "@hyperwalk/cpu";
import { GuestRegisters } from "../guest-registers.js";

const SHADOW = 1;
const VECTOR_DB = 1;
const VECTOR_NMI = 2;
const DR6_SINGLE_STEP = 0x4000;

/** Guest registers between #VMEXIT and VMRUN: RAX, RIP and RFLAGS are the VMCB's. */
export class SvmRegisters extends GuestRegisters {
  private readonly vmcb: Vmcb;

  constructor(state: CpuState, vmcb: Vmcb) {
    super(state);
    this.vmcb = vmcb;
  }

  get rflags(): number {
    return this.vmcb.word(VmcbOffset.Rflags);
  }

  get ripLo(): number {
    return this.vmcb.word(VmcbOffset.Rip);
  }

  get ripHi(): number {
    return this.vmcb.wordHi(VmcbOffset.Rip);
  }

  skip(length: number): void {
    const { vmcb } = this;
    const lo = vmcb.word(VmcbOffset.Rip);
    const next = (lo + length) | 0;
    vmcb.store(VmcbOffset.Rip, next);
    if (next >>> 0 < lo >>> 0) vmcb.store(VmcbOffset.Rip + 4, vmcb.wordHi(VmcbOffset.Rip) + 1);
    const rflags = vmcb.word(VmcbOffset.Rflags);
    if ((rflags & Flag.Rf) !== 0) vmcb.store(VmcbOffset.Rflags, rflags & ~Flag.Rf);
    const shadow = vmcb.word(VmcbOffset.InterruptShadow);
    if ((shadow & SHADOW) !== 0) vmcb.store(VmcbOffset.InterruptShadow, shadow & ~SHADOW);
  }

  /** VMRUN takes any, and the guest faults at it. */
  readonly ripRefused = false;

  correctRip(): void {
    // Nothing to correct.
  }

  injectException(vector: number, errorCode: number): void {
    const hasErrorCode = errorCode >= 0;
    const flags = EventInfo.Valid | (hasErrorCode ? EventInfo.ErrorCodeValid : 0);
    this.vmcb.store(
      VmcbOffset.EventInj,
      flags | (EventKind.HardwareException << EventInfo.KindShift) | vector,
    );
    this.vmcb.store(VmcbOffset.EventInj + 4, hasErrorCode ? errorCode : 0);
  }

  injectInterrupt(vector: number): void {
    const kind = EventKind.ExternalInterrupt << EventInfo.KindShift;
    this.vmcb.store(VmcbOffset.EventInj, EventInfo.Valid | kind | vector);
    this.vmcb.store(VmcbOffset.EventInj + 4, 0);
  }

  injectNmi(): void {
    this.vmcb.store(
      VmcbOffset.EventInj,
      EventInfo.Valid | (EventKind.Nmi << EventInfo.KindShift) | VECTOR_NMI,
    );
    this.vmcb.store(VmcbOffset.EventInj + 4, 0);
    const intercepts = this.vmcb.word(VmcbOffset.General1Intercepts);
    this.vmcb.set(VmcbOffset.General1Intercepts, intercepts | (1 << General1.Iret));
  }

  injectDebugTrap(): void {
    const { vmcb } = this;
    vmcb.set(VmcbOffset.Dr6, vmcb.word(VmcbOffset.Dr6) | DR6_SINGLE_STEP);
    this.injectException(VECTOR_DB, -1);
  }

  /** SVM keeps no mask of NMIs: the handler's IRET is intercepted, and until then none is injected. */
  get nmiMasked(): boolean {
    return (this.vmcb.word(VmcbOffset.General1Intercepts) & (1 << General1.Iret)) !== 0;
  }

  /** No NMI is being handled: the vCPU starts afresh. */
  forgetNmi(): void {
    const { vmcb } = this;
    const intercepts = vmcb.word(VmcbOffset.General1Intercepts);
    vmcb.set(VmcbOffset.General1Intercepts, intercepts & ~(1 << General1.Iret));
  }

  /** The handler's IRET is about to run: the mask goes, and a shadow keeps another NMI away until it has. */
  unmaskNmi(): void {
    const { vmcb } = this;
    const intercepts = vmcb.word(VmcbOffset.General1Intercepts);
    vmcb.set(VmcbOffset.General1Intercepts, intercepts & ~(1 << General1.Iret));
    vmcb.store(VmcbOffset.InterruptShadow, vmcb.word(VmcbOffset.InterruptShadow) | SHADOW);
  }

  saveArithmeticFlags(): void {
    const rflags = (this.rflags & ~ARITHMETIC_FLAGS) | arithmeticFlags(this.words);
    if (rflags !== this.rflags) this.vmcb.store(VmcbOffset.Rflags, rflags);
  }

  get eventQueued(): boolean {
    return this.vmcb.word(VmcbOffset.EventInj) < 0;
  }

  get canTakeNmi(): boolean {
    const { vmcb } = this;
    return !this.nmiMasked && (vmcb.word(VmcbOffset.InterruptShadow) & SHADOW) === 0 && !this.eventQueued;
  }

  get canTakeInterrupt(): boolean {
    const { vmcb } = this;
    return (
      (vmcb.word(VmcbOffset.Rflags) & Flag.If) !== 0 &&
      (vmcb.word(VmcbOffset.InterruptShadow) & SHADOW) === 0 &&
      !this.eventQueued
    );
  }

  protected saveRax(lo: number, hi: number): void {
    this.vmcb.store(VmcbOffset.Rax, lo);
    this.vmcb.store(VmcbOffset.Rax + 4, hi);
  }
}
