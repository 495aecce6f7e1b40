import {
  CleanBit,
  EventInfo,
  EventKind,
  ExitKind,
  General1,
  General2,
  IOPM_BYTES,
  MSRPM_BYTES,
  msrBit,
  NestedControl,
  type Processor,
  Segment,
  SegmentWord,
  State,
  Svm,
  SvmExitCode,
  type SvmSnapshot,
  TlbControl,
  VIntrBit,
  VmcbOffset,
  type VmExit,
} from "@hyperwalk/cpu";
import { FRAME_BYTES, type TranslationContext } from "@hyperwalk/mmu";
import type { GuestStart } from "../../boot/index.js";
import { type ConfidentialKind, encryptsRegisters } from "../../confidential.js";
import type { ShadowPaging } from "../../shadow/shadow-paging.js";
import type { ResolvedXenConfig } from "../../xen-config.js";
import type { HostView } from "../host-memory.js";
import { type ShadowControl, type ShadowExit, ShadowExitKind } from "../shadow-control.js";
import type { VcpuContext, VcpuSegment } from "../vcpu-context.js";
import type { EncryptedVcpu, SecondStageRoot, VcpuControlSnapshot } from "../vcpu-control.js";
import { placeOf, putRegisters, registersIn, type VcpuRegisters } from "../vcpu-registers.js";
import { EncryptedRegisters } from "./encrypted-registers.js";
import { SEV_INFO_HI, SEV_INFO_LO } from "./ghcb-requests.js";
import { SvmRegisters } from "./svm-registers.js";

const VECTOR_BP = 3;
const VECTOR_OF = 4;
const VECTOR_UD = 6;
const VECTOR_PF = 14;
const CR0_WP = 1 << 16;
const CR0_PG = 1 << 31;
const CR4_PAE = 0x20;
/** SMEP and SMAP, which count for a guest that pages. */
const CR4_SUPERVISOR_CHECKS = 3 << 20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
/** CR0, CR3, CR4. */
const SHADOWED_REGISTERS = 0x19;
const TSC_AUX = 0xc0000103;
const HIGHEST_PRIORITY = 15;
/** The only guest's, and with it the number of its encryption key. */
export const ASID = 1;
const EFER_SVME = 0x1000;
const CR0_PE_ET = 0x11;
const CR0_ET = 0x10;
const DR6_INIT = 0xffff0ff0;
const DR7_INIT = 0x400;
const PAT_LO = 0x00070406;
const PAT_HI = 0x00070406;
const FLAT_CODE = 0xc9b;
const FLAT_DATA = 0xc93;
const BUSY_TSS32 = 0x8b;
const LDT_UNUSABLE = 0;
/** Of the attributes that the processor's state keeps. */
const UNUSABLE = 0x10000;
const LIMIT_4G = 0xffffffff | 0;
/** #MC. Xen also asks for #DB and #AC (XSA-156) and gives them straight back; here they are not intercepted. */
const EXCEPTIONS = 1 << 18;
const PASSED_PORTS = [0x80, 0xed];
/** MSRs that the guest reaches without an exit (`svm_construct_vmcb`, and the PAT under nested paging). */
const PASSED_MSRS = [
  0xc0000100, // FS_BASE
  0xc0000101, // GS_BASE
  0xc0000102, // KERNEL_GS_BASE
  0xc0000081, // STAR
  0xc0000082, // LSTAR
  0xc0000083, // CSTAR
  0xc0000084, // SYSCALL_MASK
  0x277, // PAT
];

/** What an SEV-ES guest sets by itself: it has no handler yet for the #VC that its accesses would raise. */
const EFER_MSR = 0xc0000080;

/** A vCPU under SVM: its VMCB as `construct_vmcb` sets it up, with CR0 and CR4 left to the hardware. */
export class SvmControl implements ShadowControl {
  readonly hardware: Svm;
  readonly registers: SvmRegisters;
  readonly controlFrame: number;
  readonly encrypted: EncryptedVcpu | undefined;
  readonly runsRealMode = true;
  private shadow: ShadowPaging | undefined;
  private readonly processor: Processor;
  private readonly confidential: ConfidentialKind | undefined;

  /** @param controlFrame zeroed frame for the VMCB @param confidential whether the guest is encrypted */
  constructor(
    processor: Processor,
    host: HostView,
    p2m: SecondStageRoot,
    controlFrame: number,
    _xen: ResolvedXenConfig,
    confidential?: ConfidentialKind,
  ) {
    this.confidential = confidential;
    this.processor = processor;
    const { heap, memory } = host;
    this.controlFrame = controlFrame;
    const iopm = heap.allocate(IOPM_BYTES / FRAME_BYTES);
    const msrpm = heap.allocate(MSRPM_BYTES / FRAME_BYTES);
    memory.writeBytes(iopm * FRAME_BYTES, permissionMap(IOPM_BYTES, PASSED_PORTS));
    const encryptsState = encryptsRegisters(confidential);
    const passed = (encryptsState ? [...PASSED_MSRS, EFER_MSR] : PASSED_MSRS).flatMap((msr) => [
      msrBit(msr),
      msrBit(msr) + 1,
    ]);
    memory.writeBytes(msrpm * FRAME_BYTES, permissionMap(MSRPM_BYTES, passed));
    this.hardware = new Svm(processor, {
      vmcbFrame: this.controlFrame,
      host: host.context,
      encryption: confidential,
    });
    const { vmcb } = this.hardware;
    this.setControls(iopm, msrpm, p2m);
    if (!encryptsState) {
      this.registers = new SvmRegisters(processor.state, vmcb);
      return;
    }
    const vmsaFrame = heap.allocate();
    vmcb.set64(VmcbOffset.VmsaPointer, vmsaFrame << 12, 0);
    const registers = new EncryptedRegisters(processor.state, vmcb);
    this.registers = registers;
    this.encrypted = {
      registers,
      vmsaFrame,
      get ghcbLo() {
        return vmcb.word(VmcbOffset.GhcbMsr);
      },
      get ghcbHi() {
        return vmcb.wordHi(VmcbOffset.GhcbMsr);
      },
      setGhcb: (lo, hi) => vmcb.set64(VmcbOffset.GhcbMsr, lo, hi),
    };
    this.encrypted.setGhcb(SEV_INFO_LO, SEV_INFO_HI);
  }

  useShadow(shadow: ShadowPaging): void {
    const { vmcb } = this.hardware;
    this.shadow = shadow;
    this.registers.shadowControl = shadow.guest.words;
    vmcb.set64(VmcbOffset.NestedControl, 0, 0);
    vmcb.set(VmcbOffset.CrIntercepts, SHADOWED_REGISTERS | (SHADOWED_REGISTERS << 16));
    vmcb.set(
      VmcbOffset.General1Intercepts,
      vmcb.word(VmcbOffset.General1Intercepts) | bits(General1.Invlpg, General1.TaskSwitch),
    );
    vmcb.set(VmcbOffset.ExceptionIntercepts, EXCEPTIONS | (1 << VECTOR_PF));
  }

  /** `svm_update_guest_cr`, `svm_update_guest_efer`: paging is always on, PAE too, and EFER.LME only with LMA. */
  followShadow(): void {
    const { shadow, hardware } = this;
    if (shadow === undefined) return;
    const { vmcb } = hardware;
    const { words } = shadow.guest;
    const efer = words[State.EferLo];
    const cr4 = words[State.Cr4] | CR4_PAE;
    vmcb.set64(VmcbOffset.Cr0, words[State.Cr0] | CR0_PG | CR0_WP | CR0_ET, 0);
    vmcb.set64(VmcbOffset.Cr3, (shadow.root << 12) | 0, Math.floor(shadow.root / 0x100000));
    vmcb.set64(VmcbOffset.Cr4, shadow.guest.paging ? cr4 : cr4 & ~CR4_SUPERVISOR_CHECKS, 0);
    const lme = (efer & EFER_LMA) !== 0 ? EFER_LME : 0;
    vmcb.set64(VmcbOffset.Efer, (efer & ~EFER_LME) | lme | EFER_SVME, 0);
  }

  /** INVLPGA */
  flushPage(lo: number, hi: number): void {
    this.processor.mmu.invlpga(lo, hi, ASID);
  }

  describeShadowExit({ code, kind, info1Lo, info1Hi, info2Lo, info2Hi }: VmExit, into: ShadowExit): void {
    into.kind = ShadowExitKind.None;
    if (kind === ExitKind.CrAccess) {
      // Decode assists say nothing about CLTS, LMSW and SMSW.
      const move = code >= SvmExitCode.CrWrite ? ShadowExitKind.Write : ShadowExitKind.Read;
      into.kind = info1Hi >= 0 ? ShadowExitKind.Undecoded : move;
      into.register = code & 15;
      into.gpr = info1Lo & 15;
    } else if (code === SvmExitCode.TaskSwitch) into.kind = ShadowExitKind.TaskSwitch;
    else if (code === SvmExitCode.Invlpg) {
      into.kind = ShadowExitKind.Invlpg;
      into.lo = info1Lo;
      into.hi = info1Hi;
    } else if (code === SvmExitCode.Exception + VECTOR_PF) {
      into.kind = ShadowExitKind.PageFault;
      into.errorCode = info1Lo;
      into.lo = info2Lo;
      into.hi = info2Hi;
    }
  }

  get eventInDelivery(): number {
    return this.hardware.vmcb.word(VmcbOffset.ExitIntInfo);
  }

  repeatEvent(event: number): void {
    if (event >= 0) return;
    const kind = (event >>> EventInfo.KindShift) & 7;
    const vector = event & 0xff;
    if (kind === EventKind.SoftwareInterrupt) return;
    if (kind === EventKind.HardwareException && (vector === VECTOR_BP || vector === VECTOR_OF)) return;
    const { vmcb } = this.hardware;
    vmcb.store(VmcbOffset.EventInj, event);
    vmcb.store(VmcbOffset.EventInj + 4, vmcb.wordHi(VmcbOffset.ExitIntInfo));
  }

  acknowledgeExit(): void {
    const { vmcb } = this.hardware;
    vmcb.markAllClean();
    if (vmcb.byte(VmcbOffset.TlbControl) !== TlbControl.Nothing) vmcb.storeByte(VmcbOffset.TlbControl, 0);
  }

  snapshot(): VcpuControlSnapshot {
    return { hardware: this.hardware.snapshot(), eptRoots: [], shadow: this.shadow?.snapshot() };
  }

  restore(snapshot: VcpuControlSnapshot): void {
    this.hardware.restore(snapshot.hardware as SvmSnapshot);
    if (snapshot.shadow !== undefined) this.shadow?.restore(snapshot.shadow);
  }

  flushTlb(): void {
    this.hardware.vmcb.set(VmcbOffset.TlbControl, TlbControl.FlushAsid);
  }

  flushSecondStage(): void {
    this.shadow?.forget();
    this.flushTlb();
  }

  interceptUndefined(): void {
    this.hardware.vmcb.set(VmcbOffset.ExceptionIntercepts, EXCEPTIONS | (1 << VECTOR_UD));
  }

  setModificationLog(): void {
    // There is none.
  }

  flushModificationLog(): void {
    // There is none.
  }

  setEfer(value: number): void {
    const { shadow } = this;
    if (shadow !== undefined) {
      shadow.guest.words[State.EferLo] = value & ~EFER_SVME;
      this.followShadow();
      return;
    }
    this.hardware.vmcb.set(VmcbOffset.Efer, value | EFER_SVME);
  }

  setSysenter(word: number, lo: number, hi: number): void {
    // VMLOAD state: still in the processor, which Xen writes through to.
    const { words } = this.processor.state;
    words[word] = lo;
    if (word !== State.SysenterCs) words[word + 1] = hi;
  }

  get context(): TranslationContext {
    return this.hardware.context;
  }

  interruptGuest(vector: number): void {
    this.hardware.raiseInterrupt(vector);
  }

  /** `svm_enable_intr_window`: a virtual interrupt of no vector whose intercept fires when it could be taken. */
  setInterruptWindow(priority: number): void {
    const { vmcb } = this.hardware;
    const general = vmcb.word(VmcbOffset.General1Intercepts) & ~(1 << General1.VIntr);
    const virtual = vmcb.word(VmcbOffset.VIntr) & (VIntrBit.TprMask | VIntrBit.Masking);
    const open = priority < 0;
    vmcb.set(VmcbOffset.General1Intercepts, open ? general : general | (1 << General1.VIntr));
    vmcb.store(
      VmcbOffset.VIntr,
      open ? virtual : virtual | VIntrBit.Irq | (priority << VIntrBit.PriorityShift),
    );
    vmcb.markDirty(CleanBit.Tpr);
  }

  /** While the handler runs its IRET exits anyhow; what holds an NMI back otherwise ends as for an interrupt. */
  setNmiWindow(wanted: boolean): void {
    if (this.registers.nmiMasked) return;
    if (wanted) this.setInterruptWindow(HIGHEST_PRIORITY);
  }

  isInterruptWindow(exit: VmExit): boolean {
    return exit.code === SvmExitCode.VIntr || exit.code === SvmExitCode.Iret;
  }

  windowOpened(exit: VmExit): boolean {
    if (exit.code !== SvmExitCode.Iret) return false;
    this.registers.unmaskNmi();
    return true;
  }

  switchTask(): void {
    // Not intercepted.
  }

  setTimestampAux(value: number): void {
    this.processor.msrs.write(TSC_AUX, value | 0, 0);
  }

  setTaskPriority(priority: number): void {
    const { vmcb } = this.hardware;
    const { words } = this.processor.state;
    if (words[State.Cr8] === priority) return;
    words[State.Cr8] = priority;
    vmcb.store(VmcbOffset.VIntr, (vmcb.word(VmcbOffset.VIntr) & ~VIntrBit.TprMask) | priority);
    vmcb.markDirty(CleanBit.Tpr);
  }

  setTimestampOffset(cycles: number): void {
    this.hardware.vmcb.set64(VmcbOffset.TscOffset, cycles | 0, Math.floor(cycles / 0x100000000) | 0);
  }

  controlRegisterAccess(): boolean {
    return false; // never intercepted
  }

  stringOperand(info: number): number {
    const addressSize = (info & 0x200) !== 0 ? 3 : (info & 0x100) !== 0 ? 2 : 1;
    return (((info >>> 10) & 7) << 4) | addressSize;
  }

  exceptionVector({ code }: VmExit): number {
    return code - SvmExitCode.Exception;
  }

  injectPageFault(errorCode: number, addressLo: number, addressHi: number): void {
    this.hardware.vmcb.set64(VmcbOffset.Cr2, addressLo, addressHi);
    this.registers.injectException(VECTOR_PF, errorCode);
  }

  /** As Xen, but for task switches, which Xen emulates: the processor carries them out. */
  private setControls(iopm: number, msrpm: number, p2m: SecondStageRoot): void {
    const { vmcb } = this.hardware;
    vmcb.set(
      VmcbOffset.General1Intercepts,
      bits(
        General1.Intr,
        General1.Nmi,
        General1.Smi,
        General1.Init,
        General1.Cpuid,
        General1.Invd,
        General1.Hlt,
        General1.Invlpga,
        General1.Ioio,
        General1.Msr,
        General1.Shutdown,
      ),
    );
    vmcb.set(
      VmcbOffset.General2Intercepts,
      bits(
        General2.Vmrun,
        General2.Vmmcall,
        General2.Vmload,
        General2.Vmsave,
        General2.Stgi,
        General2.Clgi,
        General2.Skinit,
        General2.Mwait,
        General2.Wbinvd,
        General2.Monitor,
        General2.Xsetbv,
      ),
    );
    vmcb.set(VmcbOffset.ExceptionIntercepts, EXCEPTIONS);
    vmcb.set64(VmcbOffset.IopmBase, iopm << 12, 0);
    vmcb.set64(VmcbOffset.MsrpmBase, msrpm << 12, 0);
    vmcb.set(VmcbOffset.Asid, ASID);
    vmcb.store(VmcbOffset.VIntr, VIntrBit.Masking);
    vmcb.set(VmcbOffset.TlbControl, TlbControl.FlushAsid);
    const { confidential } = this;
    const encryption =
      (confidential === undefined ? 0 : NestedControl.SevEnable) |
      (encryptsRegisters(confidential) ? NestedControl.SevEsEnable : 0);
    vmcb.set64(VmcbOffset.NestedControl, NestedControl.NpEnable | encryption, 0);
    vmcb.set64(VmcbOffset.NCr3, (p2m.rootFrame << 12) | 0, Math.floor(p2m.rootFrame / 0x100000));
    vmcb.set64(VmcbOffset.GPat, PAT_LO, PAT_HI);
    vmcb.store(VmcbOffset.CleanBits, 0);
  }

  start(start: GuestStart): void {
    const { vmcb } = this.hardware;
    vmcb.setSegment(VmcbOffset.Cs, 0, FLAT_CODE, LIMIT_4G, 0, 0);
    for (const segment of [VmcbOffset.Ds, VmcbOffset.Es, VmcbOffset.Ss])
      vmcb.setSegment(segment, 0, FLAT_DATA, LIMIT_4G, 0, 0);
    vmcb.setSegment(VmcbOffset.Fs, 0, 0, 0, 0, 0);
    vmcb.setSegment(VmcbOffset.Gs, 0, 0, 0, 0, 0);
    vmcb.setSegment(VmcbOffset.Ldtr, 0, LDT_UNUSABLE, 0, 0, 0);
    vmcb.setSegment(VmcbOffset.Tr, 0, BUSY_TSS32, 0x67, 0, 0);
    vmcb.set64(VmcbOffset.Cr0, CR0_PE_ET, 0);
    vmcb.set64(VmcbOffset.Efer, EFER_SVME, 0);
    vmcb.set64(VmcbOffset.Dr6, DR6_INIT | 0, 0);
    vmcb.set64(VmcbOffset.Dr7, DR7_INIT, 0);
    vmcb.set64(VmcbOffset.Rflags, 2, 0);
    vmcb.set64(VmcbOffset.Rip, start.entry | 0, 0);
    vmcb.set64(VmcbOffset.Rax, start.eax | 0, 0);
    vmcb.markDirty(CleanBit.All);
    const { words } = this.processor.state;
    words.fill(0, State.Gpr, State.Gpr + 32);
    words[State.Gpr + 2 * 3] = start.ebx | 0;
    this.shadow?.updateRoot();
    this.hardware.vmload();
    this.hardware.sealState();
  }

  saveRegisters(): VcpuRegisters {
    const { vmcb } = this.hardware;
    const words = registersIn(this.processor.state.words);
    words[placeOf(State.EferLo)] &= ~EFER_SVME;
    // CR2 is the VMCB's while the guest does not run.
    words[placeOf(State.Cr2Lo)] = vmcb.word(VmcbOffset.Cr2);
    words[placeOf(State.Cr2Hi)] = vmcb.wordHi(VmcbOffset.Cr2);
    const pair = (offset: number): readonly [number, number] => [vmcb.word(offset), vmcb.wordHi(offset)];
    return {
      words,
      rip: pair(VmcbOffset.Rip),
      rflags: vmcb.word(VmcbOffset.Rflags),
      rax: pair(VmcbOffset.Rax),
      rsp: pair(VmcbOffset.Rsp),
      interruptShadow: (vmcb.word(VmcbOffset.InterruptShadow) & 1) !== 0,
    };
  }

  loadRegisters(registers: VcpuRegisters): void {
    const { hardware } = this;
    const { vmcb } = hardware;
    const { words } = this.processor.state;
    putRegisters(registers.words, words);
    hardware.vmsave();
    for (const [offset, segment] of SEGMENT_NUMBERS) {
      const at = State.Segments + 8 * segment;
      const attributes = words[at + SegmentWord.Attributes];
      vmcb.setSegment(
        offset,
        words[at + SegmentWord.Selector],
        (attributes & UNUSABLE) !== 0 ? 0 : (attributes & 0xff) | ((attributes >>> 4) & 0xf00),
        words[at + SegmentWord.Limit],
        words[at + SegmentWord.BaseLo],
        words[at + SegmentWord.BaseHi],
      );
    }
    const table = (offset: number, at: number) =>
      vmcb.setSegment(offset, 0, 0, words[at], words[at + 1], words[at + 2]);
    table(VmcbOffset.Gdtr, State.GdtrLimit);
    table(VmcbOffset.Idtr, State.IdtrLimit);
    vmcb.storeByte(VmcbOffset.Cpl, words[State.Cpl]);
    vmcb.set64(VmcbOffset.Cr0, words[State.Cr0], 0);
    vmcb.set64(VmcbOffset.Cr2, words[State.Cr2Lo], words[State.Cr2Hi]);
    vmcb.set64(VmcbOffset.Cr3, words[State.Cr3Lo], words[State.Cr3Hi]);
    vmcb.set64(VmcbOffset.Cr4, words[State.Cr4], 0);
    vmcb.set64(VmcbOffset.Efer, words[State.EferLo] | EFER_SVME, 0);
    vmcb.set64(VmcbOffset.Dr6, words[State.Dr6], 0);
    vmcb.set64(VmcbOffset.Dr7, words[State.Dr7], 0);
    vmcb.set64(VmcbOffset.GPat, words[State.PatLo], words[State.PatHi]);
    vmcb.set64(VmcbOffset.Rflags, registers.rflags, 0);
    vmcb.set64(VmcbOffset.Rip, ...registers.rip);
    vmcb.set64(VmcbOffset.Rax, ...registers.rax);
    vmcb.set64(VmcbOffset.Rsp, ...registers.rsp);
    vmcb.store(VmcbOffset.EventInj, 0);
    vmcb.store(VmcbOffset.InterruptShadow, registers.interruptShadow ? 1 : 0);
    vmcb.markDirty(CleanBit.All);
    this.setTaskPriorityOf(words[State.Cr8]);
    hardware.forget();
    this.flushTlb();
  }

  /** V_TPR follows CR8, which the processor has already. */
  private setTaskPriorityOf(priority: number): void {
    const { vmcb } = this.hardware;
    vmcb.store(VmcbOffset.VIntr, (vmcb.word(VmcbOffset.VIntr) & ~VIntrBit.TprMask) | priority);
  }

  load(context: VcpuContext): void {
    const { hardware } = this;
    const { vmcb } = hardware;
    const { words } = this.processor.state;
    const { registers, efer, tableLimit } = context;
    hardware.vmsave(); // MSRs stay as they are
    for (const [offset, name] of SEGMENT_OFFSETS) {
      const { selector, attributes, limit, base } = context[name];
      vmcb.setSegment(offset, selector, attributes, limit, base, 0);
    }
    for (const offset of [VmcbOffset.Gdtr, VmcbOffset.Idtr]) vmcb.setSegment(offset, 0, 0, tableLimit, 0, 0);
    vmcb.storeByte(VmcbOffset.Cpl, privilegeOf(context.ss));
    vmcb.set64(VmcbOffset.Cr0, context.cr0[0] | CR0_ET, context.cr0[1]);
    vmcb.set64(VmcbOffset.Cr3, ...context.cr3);
    vmcb.set64(VmcbOffset.Cr4, ...context.cr4);
    vmcb.set64(VmcbOffset.Cr2, 0, 0);
    vmcb.set64(VmcbOffset.Efer, efer[0] | EFER_SVME, efer[1]);
    vmcb.set64(VmcbOffset.Dr6, DR6_INIT | 0, 0);
    vmcb.set64(VmcbOffset.Dr7, DR7_INIT, 0);
    vmcb.set64(VmcbOffset.Rflags, ...context.rflags);
    vmcb.set64(VmcbOffset.Rip, ...context.rip);
    vmcb.set64(VmcbOffset.Rax, ...registers[0]);
    vmcb.set64(VmcbOffset.Rsp, ...registers[4]);
    vmcb.store(VmcbOffset.EventInj, 0);
    vmcb.store(VmcbOffset.InterruptShadow, 0);
    this.registers.forgetNmi();
    vmcb.markDirty(CleanBit.All);
    words.fill(0, State.Gpr, State.Gpr + 32);
    registers.forEach((value, i) => {
      words.set(value, State.Gpr + 2 * i);
    });
    words.fill(0, State.Dr0, State.Dr6);
    words[State.Cr8] = 0;
    hardware.vmload();
    this.flushTlb();
  }
}

/** Those of the save area that VMRUN loads, and VMSAVE's; by number of the segment. */
const SEGMENT_NUMBERS: readonly (readonly [number, number])[] = [
  [VmcbOffset.Es, Segment.Es],
  [VmcbOffset.Cs, Segment.Cs],
  [VmcbOffset.Ss, Segment.Ss],
  [VmcbOffset.Ds, Segment.Ds],
  [VmcbOffset.Fs, Segment.Fs],
  [VmcbOffset.Gs, Segment.Gs],
  [VmcbOffset.Ldtr, Segment.Ldtr],
  [VmcbOffset.Tr, Segment.Tr],
];

/** Offsets of segment registers in the save area. */
const SEGMENT_OFFSETS: readonly (readonly [number, "cs" | "ds" | "es" | "ss" | "further" | "ldtr" | "tr"])[] =
  [
    [VmcbOffset.Cs, "cs"],
    [VmcbOffset.Ds, "ds"],
    [VmcbOffset.Es, "es"],
    [VmcbOffset.Ss, "ss"],
    [VmcbOffset.Fs, "further"],
    [VmcbOffset.Gs, "further"],
    [VmcbOffset.Ldtr, "ldtr"],
    [VmcbOffset.Tr, "tr"],
  ];

function privilegeOf({ attributes }: VcpuSegment): number {
  return (attributes >>> 5) & 3;
}

/** All ones but for these bits. */
function permissionMap(bytes: number, cleared: readonly number[]): Uint8Array {
  const map = new Uint8Array(bytes).fill(0xff);
  for (const bit of cleared) map[bit >>> 3] &= ~(1 << (bit & 7));
  return map;
}

function bits(...positions: readonly number[]): number {
  return positions.reduce((word, position) => word | (1 << position), 0);
}
