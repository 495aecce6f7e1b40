import {
  adjustControls,
  CAPABILITIES,
  EntryControl,
  EventKind,
  ExitControl,
  ExtendedPageTableTags,
  Interruptibility,
  InterruptionInfo,
  PinControl,
  PrimaryControl,
  type Processor,
  SecondaryControl,
  SegmentWord,
  State,
  type Vmcs,
  VmcsField,
  type VmExit,
  Vmx,
  VmxExitReason,
  type VmxSnapshot,
} from "@hyperwalk/cpu";
import { FRAME_BYTES, type TranslationContext } from "@hyperwalk/mmu";
import type { GuestStart } from "../../boot/index.js";
import type { ShadowPaging } from "../../shadow/shadow-paging.js";
import type { ResolvedXenConfig } from "../../xen-config.js";
import type { HostView } from "../host-memory.js";
import { type ShadowControl, type ShadowExit, ShadowExitKind } from "../shadow-control.js";
import type { VcpuContext, VcpuSegment } from "../vcpu-context.js";
import type { SecondStageRoot, VcpuControlSnapshot } from "../vcpu-control.js";
import { putRegisters, registersIn, type VcpuRegisters } from "../vcpu-registers.js";
import { VmxRegisters } from "./vmx-registers.js";

/** #MC. */
const EXCEPTIONS = 1 << 18;
const VECTOR_UD = 6;
const VECTOR_PF = 14;
/** Valid, error code valid, type and vector of IDT-vectoring information. */
const VECTORING_DEFINED = 0x80000fff | 0;
const TSC_AUX = 0xc0000103;
const VPID = 1; // the only guest's
const SHADOWS = Interruptibility.BySti | Interruptibility.ByMovSs;
const RFLAGS_IF = 0x200;
const CR0_PE = 1;
const CR0_ET = 0x10;
const CR0_NE = 0x20;
const CR0_WP = 1 << 16;
const CR0_NW = 1 << 29;
const CR0_CD = 1 << 30;
const CR0_PG = 1 << 31;
const CR4_PAE = 0x20;
const CR4_VMXE = 0x2000;
/** SMEP and SMAP, which count for a guest that pages. */
const CR4_SUPERVISOR_CHECKS = 3 << 20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;
const MSR_EFER = 0xc0000080;
const MSR_PAT = 0x277;
const HOST_EFER = 0xd01;
const HOST_CS = 0xe008;
const HOST_TR = 0xe040;
const PAT_LO = 0x00070406;
const PAT_HI = 0x00070406;
/** Write-back tables, four levels; no accessed and dirty flags. */
const EPTP_FLAGS = 6 | (3 << 3);
const FLAT_CODE = 0xc09b;
const FLAT_DATA = 0xc093;
const BUSY_TSS32 = 0x8b;
const UNUSABLE = 0x10000;
const DR6_INIT = 0xffff0ff0;
const DR7_INIT = 0x400;
const MSR_SPEC_CTRL = 0x48;
const MSR_FLUSH_CMD = 0x10b;
const FLUSH_CMD_L1D = 1;
const PASSED_PORTS = [0x80, 0xed];
/** MSRs that the guest reads and writes without an exit. */
const PASSED_MSRS = [
  0x174, // SYSENTER_CS
  0x175, // SYSENTER_ESP
  0x176, // SYSENTER_EIP
  MSR_PAT,
  0xc0000081, // STAR
  0xc0000082, // LSTAR
  0xc0000084, // SYSCALL_MASK
  0xc0000100, // FS_BASE
  0xc0000101, // GS_BASE
  0xc0000102, // KERNEL_GS_BASE
];
/** … and EFER, which it only reads. */
const READABLE_MSRS = [...PASSED_MSRS, MSR_EFER];
/** By access type of the exit qualification (SDM vol. 3, table 28-3). */
const CONTROL_ACCESSES = [
  ShadowExitKind.Write,
  ShadowExitKind.Read,
  ShadowExitKind.Clts,
  ShadowExitKind.Lmsw,
] as const;
const SEGMENTS = 8;
const EPTP_ACCESSED_DIRTY = 0x40;
const PML_ENTRIES = 512;
const CS = 1;
const LDTR = 6;
const TR = 7;

/** A vCPU under VMX: its VMCS as `construct_vmcs` sets it up, with CR0 and CR4 left to the guest but for NE and VMXE. */
export class VmxControl implements ShadowControl {
  readonly hardware: Vmx;
  readonly registers: VmxRegisters;
  readonly controlFrame: number;
  readonly runsRealMode = false;
  private shadow: ShadowPaging | undefined;
  private readonly processor: Processor;
  private readonly p2m: SecondStageRoot;
  private readonly heap: HostView["heap"];
  private readonly eptTags = new ExtendedPageTableTags();

  /** @param controlFrame zeroed frame for the VMCS */
  constructor(
    processor: Processor,
    host: HostView,
    p2m: SecondStageRoot,
    controlFrame: number,
    xen: ResolvedXenConfig,
  ) {
    this.processor = processor;
    this.p2m = p2m;
    this.heap = host.heap;
    this.controlFrame = controlFrame;
    this.hardware = new Vmx(processor, {
      vmcsFrame: controlFrame,
      host: host.context,
      eptTags: this.eptTags,
      onMsrStore: () => NO_SPEC_CTRL,
    });
    this.registers = new VmxRegisters(processor.state, this.hardware.vmcs);
    this.setControls(host);
    this.setHostState(host);
    this.setMsrLists(host, xen);
  }

  acknowledgeExit(): void {
    // Nothing: VM exits leave the VMCS as it has to be.
  }

  snapshot(): VcpuControlSnapshot {
    return {
      hardware: this.hardware.snapshot(),
      eptRoots: this.eptTags.snapshot(),
      shadow: this.shadow?.snapshot(),
    };
  }

  restore(snapshot: VcpuControlSnapshot): void {
    this.eptTags.restore(snapshot.eptRoots);
    this.hardware.restore(snapshot.hardware as VmxSnapshot);
    if (snapshot.shadow !== undefined) this.shadow?.restore(snapshot.shadow);
  }

  /** As `construct_vmcs` without `paging_mode_hap`: no EPT, and with it no unrestricted guests, INVPCID and guest PAT. */
  useShadow(shadow: ShadowPaging): void {
    const { vmcs } = this.hardware;
    this.shadow = shadow;
    this.registers.shadowControl = shadow.guest.words;
    const set = (field: number, on: number, off: number) => vmcs.write(field, (vmcs.read(field) & ~off) | on);
    set(
      VmcsField.PrimaryControls,
      PrimaryControl.InvlpgExiting | PrimaryControl.Cr3LoadExiting | PrimaryControl.Cr3StoreExiting,
      0,
    );
    const nested = SecondaryControl.EnableEpt | SecondaryControl.UnrestrictedGuest;
    set(VmcsField.SecondaryControls, 0, nested | SecondaryControl.EnableInvpcid);
    set(VmcsField.ExitControls, 0, ExitControl.SavePat | ExitControl.LoadPat);
    set(VmcsField.EntryControls, 0, EntryControl.LoadPat);
    set(VmcsField.ExceptionBitmap, 1 << VECTOR_PF, 0);
    vmcs.write(VmcsField.PageFaultErrorCodeMask, 0);
    vmcs.write(VmcsField.PageFaultErrorCodeMatch, 0);
    // No L1D flush: that is for EPT.
    vmcs.write(VmcsField.EntryMsrLoadCount, vmcs.read(VmcsField.ExitMsrStoreCount));
    this.interceptMsr(MSR_PAT, false, true);
    this.interceptMsr(MSR_PAT, true, true);
  }

  /** `vmx_update_guest_cr`, `vmx_update_guest_efer`: paging, PAE and no-execute pages are always on, EFER.LME only with LMA. */
  followShadow(): void {
    const { shadow } = this;
    if (shadow === undefined) return;
    const { vmcs } = this.hardware;
    const { words } = shadow.guest;
    const cr4 = words[State.Cr4] | CR4_PAE | CR4_VMXE;
    vmcs.write(VmcsField.GuestCr0, words[State.Cr0] | CR0_PG | CR0_PE | CR0_WP | CR0_NE | CR0_ET, 0);
    vmcs.write(VmcsField.Cr0ReadShadow, words[State.Cr0], 0);
    vmcs.write(VmcsField.GuestCr4, shadow.guest.paging ? cr4 : cr4 & ~CR4_SUPERVISOR_CHECKS, 0);
    vmcs.write(VmcsField.Cr4ReadShadow, words[State.Cr4], 0);
    writeFrame(vmcs, VmcsField.GuestCr3, shadow.root);
    const own = words[State.EferLo];
    const efer = ((own & EFER_LMA) === 0 ? own & ~EFER_LME : own) | EFER_NXE;
    const entry = vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest;
    vmcs.write(VmcsField.EntryControls, entry | ((own & EFER_LMA) === 0 ? 0 : EntryControl.Ia32eModeGuest));
    vmcs.write(VmcsField.GuestEfer, efer, 0);
    this.interceptMsr(MSR_EFER, false, efer !== own);
  }

  /** INVVPID, individual address. */
  flushPage(lo: number, hi: number): void {
    this.processor.mmu.invvpidAddress(VPID, lo, hi);
  }

  describeShadowExit({ code, info1Lo, info1Hi }: VmExit, into: ShadowExit): void {
    const { vmcs } = this.hardware;
    into.kind = ShadowExitKind.None;
    into.lo = info1Lo;
    into.hi = info1Hi;
    if (code === VmxExitReason.TaskSwitch) into.kind = ShadowExitKind.TaskSwitch;
    else if (code === VmxExitReason.Invlpg) into.kind = ShadowExitKind.Invlpg;
    else if (code === VmxExitReason.CrAccess && (info1Lo & 15) !== 8) {
      into.kind = CONTROL_ACCESSES[(info1Lo >>> 4) & 3];
      into.register = info1Lo & 15;
      into.gpr = (info1Lo >>> 8) & 15;
      into.source = info1Lo >>> 16;
    } else if (code === VmxExitReason.ExceptionOrNmi && this.exceptionVector() === VECTOR_PF) {
      into.kind = ShadowExitKind.PageFault;
      into.errorCode = vmcs.read(VmcsField.ExitInterruptionErrorCode);
    }
  }

  get eventInDelivery(): number {
    return this.hardware.vmcs.read(VmcsField.IdtVectoringInfo);
  }

  /** `vmx_idtv_reinject` */
  repeatEvent(event: number): void {
    if (event >= 0) return;
    const { vmcs } = this.hardware;
    const kind = (event >>> InterruptionInfo.KindShift) & 7;
    if (kind >= EventKind.SoftwareInterrupt) return;
    vmcs.write(VmcsField.EntryInterruptionInfo, event & VECTORING_DEFINED);
    vmcs.write(VmcsField.EntryExceptionErrorCode, vmcs.read(VmcsField.IdtVectoringErrorCode));
    if (kind !== EventKind.Nmi) return;
    const blocking = vmcs.read(VmcsField.GuestInterruptibility);
    vmcs.write(VmcsField.GuestInterruptibility, blocking & ~Interruptibility.ByNmi);
  }

  private interceptMsr(msr: number, write: boolean, on: boolean): void {
    const { memory } = this.processor;
    const bit = msrBitmapBit(msr, write);
    const { vmcs } = this.hardware;
    const bitmap =
      (vmcs.readHi(VmcsField.MsrBitmap) >>> 0) * 2 ** 32 + (vmcs.read(VmcsField.MsrBitmap) >>> 0);
    const at = bitmap + 4 * (bit >>> 5);
    const mask = 1 << (bit & 31);
    const word = memory.readU32(at);
    memory.writeU32(at, on ? word | mask : word & ~mask);
  }

  flushTlb(): void {
    this.processor.mmu.invalidateAsid(VPID, false);
  }

  flushSecondStage(): void {
    if (this.shadow !== undefined) {
      this.shadow.forget();
      this.flushTlb();
      return;
    }
    this.processor.mmu.invalidateNested(this.eptTags.tagOf(this.p2m.rootFrame)); // INVEPT, single context
  }

  interceptUndefined(): void {
    this.hardware.vmcs.write(VmcsField.ExceptionBitmap, EXCEPTIONS | (1 << VECTOR_UD));
  }

  /** `vmx_vcpu_enable_pml`: EPT's accessed and dirty flags come on with it. */
  setModificationLog(on: boolean): void {
    const { vmcs } = this.hardware;
    const secondary = vmcs.read(VmcsField.SecondaryControls) & ~SecondaryControl.EnablePml;
    const pointer = vmcs.read(VmcsField.EptPointer) & ~EPTP_ACCESSED_DIRTY;
    const pointerHi = vmcs.readHi(VmcsField.EptPointer);
    vmcs.write(VmcsField.SecondaryControls, on ? secondary | SecondaryControl.EnablePml : secondary);
    vmcs.write(VmcsField.EptPointer, on ? pointer | EPTP_ACCESSED_DIRTY : pointer, pointerHi);
    if (!on) return;
    if (this.logAddress === 0) {
      const frame = this.heap.allocate();
      vmcs.write(VmcsField.PmlAddress, frame << 12, Math.floor(frame / 0x100000));
    }
    vmcs.write(VmcsField.PmlIndex, PML_ENTRIES - 1);
    this.flushSecondStage();
  }

  flushModificationLog(each: (gfn: number) => void): void {
    const { vmcs } = this.hardware;
    const { memory } = this.processor;
    const secondary = vmcs.read(VmcsField.SecondaryControls);
    if ((secondary & SecondaryControl.EnablePml) === 0) return;
    const next = ((vmcs.read(VmcsField.PmlIndex) << 16) >> 16) + 1;
    for (let i = PML_ENTRIES - 1; i >= next; i--) {
      const at = this.logAddress + 8 * i;
      each(Math.floor(memory.readU32(at) / FRAME_BYTES) + memory.readU32(at + 4) * 0x100000);
    }
    vmcs.write(VmcsField.PmlIndex, PML_ENTRIES - 1);
  }

  /** Byte address of the log, 0 before there is one. */
  private get logAddress(): number {
    const { vmcs } = this.hardware;
    const lo = vmcs.read(VmcsField.PmlAddress) >>> 0;
    return (vmcs.readHi(VmcsField.PmlAddress) >>> 0) * 2 ** 32 + lo;
  }

  setEfer(value: number): void {
    const { shadow } = this;
    if (shadow !== undefined) {
      shadow.guest.words[State.EferLo] = value;
      this.followShadow();
      return;
    }
    this.hardware.vmcs.write(VmcsField.GuestEfer, value, 0);
  }

  setSysenter(): void {
    // Never asked for: these MSRs do not exit.
  }

  get context(): TranslationContext {
    return this.hardware.context;
  }

  interruptGuest(vector: number): void {
    this.hardware.raiseInterrupt(vector);
  }

  setInterruptWindow(priority: number): void {
    const { vmcs } = this.hardware;
    const controls = vmcs.read(VmcsField.PrimaryControls) & ~PrimaryControl.InterruptWindowExiting;
    // The window opens with IF alone: a task priority that holds the vector back is lowered with an exit of its own.
    const held = priority <= this.processor.state.words[State.Cr8];
    vmcs.write(
      VmcsField.PrimaryControls,
      priority < 0 || held ? controls : controls | PrimaryControl.InterruptWindowExiting,
    );
  }

  setNmiWindow(wanted: boolean): void {
    const { vmcs } = this.hardware;
    const controls = vmcs.read(VmcsField.PrimaryControls) & ~PrimaryControl.NmiWindowExiting;
    vmcs.write(VmcsField.PrimaryControls, wanted ? controls | PrimaryControl.NmiWindowExiting : controls);
  }

  isInterruptWindow(exit: VmExit): boolean {
    return exit.code === VmxExitReason.InterruptWindow || exit.code === VmxExitReason.NmiWindow;
  }

  windowOpened(): boolean {
    return false;
  }

  /** The event that led to it, if one did, is delivered once more, and then the processor switches. */
  switchTask(exit: VmExit): void {
    const { hardware } = this;
    const { vmcs } = hardware;
    hardware.passTaskSwitch();
    const event = vmcs.read(VmcsField.IdtVectoringInfo);
    if (event >= 0) return;
    vmcs.write(VmcsField.EntryInterruptionInfo, event & VECTORING_DEFINED);
    vmcs.write(VmcsField.EntryExceptionErrorCode, vmcs.read(VmcsField.IdtVectoringErrorCode));
    vmcs.write(VmcsField.EntryInstructionLength, exit.instructionLength);
    const blocking = vmcs.read(VmcsField.GuestInterruptibility);
    vmcs.write(VmcsField.GuestInterruptibility, blocking & ~Interruptibility.ByNmi);
  }

  setTimestampAux(value: number): void {
    this.processor.msrs.write(TSC_AUX, value | 0, 0);
  }

  setTaskPriority(priority: number): void {
    this.processor.state.words[State.Cr8] = priority;
  }

  setTimestampOffset(cycles: number): void {
    this.hardware.vmcs.write(VmcsField.TscOffset, cycles | 0, Math.floor(cycles / 0x100000000) | 0);
  }

  /**
   * MOV to CR0 that changes NE, MOV to CR4 that sets VMXE, and CR8: the only accesses that exit.
   * @returns false for #GP(0)
   */
  controlRegisterAccess(_code: number, qualification: number): boolean {
    const register = qualification & 15;
    const isMovTo = ((qualification >>> 4) & 3) === 0;
    const gpr = (qualification >>> 8) & 15;
    if (register === 8) return this.taskPriorityAccess(gpr, isMovTo);
    return isMovTo && register === 0 && this.setCr0(this.registers.lo(gpr));
  }

  start(start: GuestStart): void {
    const { vmcs } = this.hardware;
    for (let segment = 0; segment < SEGMENTS; segment++) {
      const flat = segment < 4;
      const rights = segment === CS ? FLAT_CODE : flat ? FLAT_DATA : segment === TR ? BUSY_TSS32 : UNUSABLE;
      vmcs.write(VmcsField.GuestEsSelector + 2 * segment, 0);
      vmcs.write(VmcsField.GuestEsAccessRights + 2 * segment, segment === LDTR ? UNUSABLE : rights);
      vmcs.write(VmcsField.GuestEsLimit + 2 * segment, flat ? -1 : segment === TR ? 0x67 : 0);
      vmcs.write(VmcsField.GuestEsBase + 2 * segment, 0, 0);
    }
    vmcs.write(VmcsField.GuestGdtrLimit, 0);
    vmcs.write(VmcsField.GuestIdtrLimit, 0);
    vmcs.write(VmcsField.Cr0Mask, CR0_NE, 0);
    vmcs.write(VmcsField.Cr4Mask, CR4_VMXE, 0);
    vmcs.write(VmcsField.GuestCr0, CR0_PE | CR0_ET | CR0_NE, 0);
    vmcs.write(VmcsField.Cr0ReadShadow, CR0_PE | CR0_ET, 0);
    vmcs.write(VmcsField.GuestCr4, CR4_VMXE, 0);
    vmcs.write(VmcsField.Cr4ReadShadow, 0, 0);
    vmcs.write(VmcsField.GuestEfer, 0, 0);
    vmcs.write(VmcsField.GuestPat, PAT_LO, PAT_HI);
    vmcs.write(VmcsField.GuestDr7, DR7_INIT, 0);
    vmcs.write(VmcsField.GuestRflags, 2, 0);
    vmcs.write(VmcsField.GuestRip, start.entry | 0, 0);
    vmcs.write(VmcsField.VmcsLinkPointer, -1, -1);
    const { words } = this.processor.state;
    words.fill(0, State.Gpr, State.Gpr + 32);
    words[State.Gpr] = start.eax | 0;
    words[State.Gpr + 2 * 3] = start.ebx | 0;
    if (this.shadow === undefined) return;
    vmcs.write(VmcsField.Cr0Mask, -1, -1);
    vmcs.write(VmcsField.Cr4Mask, -1, -1);
    this.shadow.updateRoot();
  }

  saveRegisters(): VcpuRegisters {
    const { vmcs } = this.hardware;
    const { words } = this.processor.state;
    const pair = (field: number): readonly [number, number] => [vmcs.read(field), vmcs.readHi(field)];
    const shadow = vmcs.read(VmcsField.GuestInterruptibility) & SHADOWS;
    return {
      words: registersIn(words),
      rip: pair(VmcsField.GuestRip),
      rflags: vmcs.read(VmcsField.GuestRflags),
      rax: [words[State.Gpr], words[State.Gpr + 1]],
      rsp: pair(VmcsField.GuestRsp),
      interruptShadow: shadow !== 0,
    };
  }

  loadRegisters(registers: VcpuRegisters): void {
    const { vmcs } = this.hardware;
    const { words } = this.processor.state;
    putRegisters(registers.words, words);
    words.set(registers.rax, State.Gpr);
    for (let segment = 0; segment < SEGMENTS; segment++) {
      const at = State.Segments + 8 * segment;
      vmcs.write(VmcsField.GuestEsSelector + 2 * segment, words[at + SegmentWord.Selector]);
      vmcs.write(VmcsField.GuestEsAccessRights + 2 * segment, rightsOf(words[at + SegmentWord.Attributes]));
      vmcs.write(VmcsField.GuestEsLimit + 2 * segment, words[at + SegmentWord.Limit]);
      vmcs.write(
        VmcsField.GuestEsBase + 2 * segment,
        words[at + SegmentWord.BaseLo],
        words[at + SegmentWord.BaseHi],
      );
    }
    const table = (limit: number, base: number, at: number) => {
      vmcs.write(limit, words[at]);
      vmcs.write(base, words[at + 1], words[at + 2]);
    };
    table(VmcsField.GuestGdtrLimit, VmcsField.GuestGdtrBase, State.GdtrLimit);
    table(VmcsField.GuestIdtrLimit, VmcsField.GuestIdtrBase, State.IdtrLimit);
    const cr0 = words[State.Cr0];
    const cr4 = words[State.Cr4];
    const efer = words[State.EferLo];
    vmcs.write(VmcsField.Cr0Mask, CR0_NE, 0);
    vmcs.write(VmcsField.Cr4Mask, CR4_VMXE, 0);
    vmcs.write(VmcsField.GuestCr0, cr0 | CR0_ET | CR0_NE, 0);
    vmcs.write(VmcsField.Cr0ReadShadow, cr0 | CR0_ET, 0);
    vmcs.write(VmcsField.GuestCr3, words[State.Cr3Lo], words[State.Cr3Hi]);
    vmcs.write(VmcsField.GuestCr4, cr4 | CR4_VMXE, 0);
    vmcs.write(VmcsField.Cr4ReadShadow, cr4, 0);
    vmcs.write(VmcsField.GuestEfer, efer, 0);
    const long = (efer & EFER_LMA) !== 0;
    const entry = vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest;
    vmcs.write(VmcsField.EntryControls, entry | (long ? EntryControl.Ia32eModeGuest : 0));
    if (!long && (cr0 & CR0_PG) !== 0 && (cr4 & CR4_PAE) !== 0) this.loadPdptes(words[State.Cr3Lo]);
    vmcs.write(VmcsField.GuestDr7, words[State.Dr7], 0);
    vmcs.write(VmcsField.GuestPat, words[State.PatLo], words[State.PatHi]);
    vmcs.write(VmcsField.GuestSysenterCs, words[State.SysenterCs]);
    vmcs.write(VmcsField.GuestSysenterEsp, words[State.SysenterEspLo], words[State.SysenterEspHi]);
    vmcs.write(VmcsField.GuestSysenterEip, words[State.SysenterEipLo], words[State.SysenterEipHi]);
    vmcs.write(VmcsField.GuestRflags, registers.rflags, 0);
    vmcs.write(VmcsField.GuestRip, ...registers.rip);
    vmcs.write(VmcsField.GuestRsp, ...registers.rsp);
    vmcs.write(VmcsField.EntryInterruptionInfo, 0);
    const sti = (registers.rflags & RFLAGS_IF) !== 0 ? Interruptibility.BySti : Interruptibility.ByMovSs;
    vmcs.write(VmcsField.GuestInterruptibility, registers.interruptShadow ? sti : 0);
    vmcs.write(VmcsField.GuestPendingDebugExceptions, 0, 0);
    vmcs.write(VmcsField.VmcsLinkPointer, -1, -1);
    words[State.ResidentGuest] = 0;
    this.flushTlb();
  }

  load(context: VcpuContext): void {
    const { vmcs } = this.hardware;
    const { registers, cr0, cr3, cr4, efer, tableLimit } = context;
    for (let segment = 0; segment < SEGMENTS; segment++) {
      const { selector, base, limit, attributes } = context[SEGMENT_NAMES[segment]];
      vmcs.write(VmcsField.GuestEsSelector + 2 * segment, selector);
      vmcs.write(VmcsField.GuestEsAccessRights + 2 * segment, accessRights(attributes));
      vmcs.write(VmcsField.GuestEsLimit + 2 * segment, limit);
      vmcs.write(VmcsField.GuestEsBase + 2 * segment, base, 0);
    }
    for (const [limit, base] of TABLE_FIELDS) {
      vmcs.write(limit, tableLimit);
      vmcs.write(base, 0, 0);
    }
    vmcs.write(VmcsField.GuestCr0, cr0[0] | CR0_ET | CR0_NE, cr0[1]);
    vmcs.write(VmcsField.Cr0ReadShadow, cr0[0] | CR0_ET, cr0[1]);
    vmcs.write(VmcsField.GuestCr3, ...cr3);
    vmcs.write(VmcsField.GuestCr4, cr4[0] | CR4_VMXE, cr4[1]);
    vmcs.write(VmcsField.Cr4ReadShadow, ...cr4);
    vmcs.write(VmcsField.GuestEfer, ...efer);
    const long = (efer[0] & EFER_LMA) !== 0;
    const entry = vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest;
    vmcs.write(VmcsField.EntryControls, entry | (long ? EntryControl.Ia32eModeGuest : 0));
    if (!long && (cr0[0] & CR0_PG) !== 0 && (cr4[0] & CR4_PAE) !== 0) this.loadPdptes(cr3[0]);
    vmcs.write(VmcsField.GuestDr7, DR7_INIT, 0);
    vmcs.write(VmcsField.GuestRflags, ...context.rflags);
    vmcs.write(VmcsField.GuestRip, ...context.rip);
    vmcs.write(VmcsField.GuestRsp, ...registers[4]);
    vmcs.write(VmcsField.EntryInterruptionInfo, 0);
    vmcs.write(VmcsField.GuestInterruptibility, 0);
    vmcs.write(VmcsField.GuestPendingDebugExceptions, 0, 0);
    vmcs.write(VmcsField.VmcsLinkPointer, -1, -1);
    vmcs.write(VmcsField.Cr0Mask, CR0_NE, 0);
    vmcs.write(VmcsField.Cr4Mask, CR4_VMXE, 0);
    vmcs.write(VmcsField.GuestPat, PAT_LO, PAT_HI);
    const { words } = this.processor.state;
    words.fill(0, State.Gpr, State.Gpr + 32);
    registers.forEach((value, i) => {
      words.set(value, State.Gpr + 2 * i);
    });
    words.fill(0, State.Cr2Lo, State.Cr2Lo + 2);
    words.fill(0, State.Dr0, State.Dr6);
    words[State.Dr6] = DR6_INIT | 0;
    words[State.Cr8] = 0;
    this.flushTlb();
  }

  stringOperand(): number {
    const info = this.hardware.vmcs.read(VmcsField.ExitInstructionInfo);
    return (((info >>> 15) & 7) << 4) | (((info >>> 7) & 7) + 1);
  }

  exceptionVector(): number {
    return this.hardware.vmcs.read(VmcsField.ExitInterruptionInfo) & 0xff;
  }

  injectPageFault(errorCode: number, addressLo: number, addressHi: number): void {
    const { words } = this.processor.state;
    words[State.Cr2Lo] = addressLo;
    words[State.Cr2Hi] = addressHi;
    this.registers.injectException(VECTOR_PF, errorCode);
  }

  private setControls(host: HostView): void {
    const { vmcs } = this.hardware;
    const { heap, memory } = host;
    const control = (field: number, wanted: number, allowed: keyof typeof CAPABILITIES) =>
      vmcs.write(field, adjustControls(wanted, CAPABILITIES[allowed]));
    control(
      VmcsField.PinBasedControls,
      PinControl.ExternalInterruptExiting | PinControl.NmiExiting | PinControl.VirtualNmis,
      "pin",
    );
    const wanted =
      PrimaryControl.HltExiting |
      PrimaryControl.Cr8LoadExiting |
      PrimaryControl.Cr8StoreExiting |
      PrimaryControl.MwaitExiting |
      PrimaryControl.MonitorExiting |
      PrimaryControl.TscOffsetting |
      PrimaryControl.UseIoBitmaps |
      PrimaryControl.UseMsrBitmaps |
      PrimaryControl.Secondary;
    control(VmcsField.PrimaryControls, wanted, "primary");
    control(
      VmcsField.SecondaryControls,
      SecondaryControl.EnableEpt |
        SecondaryControl.EnableVpid |
        SecondaryControl.UnrestrictedGuest |
        SecondaryControl.WbinvdExiting |
        SecondaryControl.EnableRdtscp |
        SecondaryControl.EnableInvpcid,
      "secondary",
    );
    control(
      VmcsField.ExitControls,
      ExitControl.HostAddressSpaceSize |
        ExitControl.AcknowledgeInterrupt |
        ExitControl.SaveDebugControls |
        ExitControl.SavePat |
        ExitControl.LoadPat |
        ExitControl.SaveEfer |
        ExitControl.LoadEfer,
      "exit",
    );
    control(
      VmcsField.EntryControls,
      EntryControl.LoadDebugControls | EntryControl.LoadPat | EntryControl.LoadEfer,
      "entry",
    );
    const ioBitmaps = heap.allocate(2);
    const msrBitmap = heap.allocate();
    memory.writeBytes(ioBitmaps * FRAME_BYTES, ones(2 * FRAME_BYTES, PASSED_PORTS));
    memory.writeBytes(msrBitmap * FRAME_BYTES, ones(FRAME_BYTES, passedMsrBits()));
    writeFrame(vmcs, VmcsField.IoBitmapA, ioBitmaps);
    writeFrame(vmcs, VmcsField.IoBitmapB, ioBitmaps + 1);
    writeFrame(vmcs, VmcsField.MsrBitmap, msrBitmap);
    vmcs.write(VmcsField.TscOffset, 0, 0);
    vmcs.write(VmcsField.ExceptionBitmap, EXCEPTIONS);
    vmcs.write(VmcsField.Vpid, VPID);
    const { rootFrame } = this.p2m;
    vmcs.write(VmcsField.EptPointer, (rootFrame << 12) | EPTP_FLAGS, Math.floor(rootFrame / 0x100000));
  }

  private setHostState(host: HostView): void {
    const { vmcs } = this.hardware;
    vmcs.write(VmcsField.HostCr0, CR0_PG | CR0_NE | CR0_PE, 0);
    vmcs.write(VmcsField.HostCr4, CR4_PAE | CR4_VMXE, 0);
    writeFrame(vmcs, VmcsField.HostCr3, host.rootFrame);
    vmcs.write(VmcsField.HostCsSelector, HOST_CS);
    vmcs.write(VmcsField.HostTrSelector, HOST_TR);
    vmcs.write(VmcsField.HostEfer, HOST_EFER, 0);
    vmcs.write(VmcsField.HostPat, PAT_LO, PAT_HI);
  }

  /** `vmx_add_msr`: the guest's SPEC_CTRL both ways, FLUSH_CMD on the way in. */
  private setMsrLists(host: HostView, xen: ResolvedXenConfig): void {
    const { vmcs } = this.hardware;
    const { heap, memory } = host;
    const entries: (readonly [number, number])[] = [];
    if (xen.specCtrlWrite) entries.push([MSR_SPEC_CTRL, 0]);
    const stored = entries.length;
    if (xen.l1dFlush) entries.push([MSR_FLUSH_CMD, FLUSH_CMD_L1D]);
    if (entries.length === 0) return;
    const list = heap.allocate();
    entries.forEach(([msr, value], i) => {
      memory.writeU32(list * FRAME_BYTES + 16 * i, msr);
      memory.writeU32(list * FRAME_BYTES + 16 * i + 8, value);
    });
    writeFrame(vmcs, VmcsField.EntryMsrLoadAddress, list);
    vmcs.write(VmcsField.EntryMsrLoadCount, entries.length);
    writeFrame(vmcs, VmcsField.ExitMsrStoreAddress, list);
    vmcs.write(VmcsField.ExitMsrStoreCount, stored);
  }

  private taskPriorityAccess(gpr: number, isMovTo: boolean): boolean {
    const { registers } = this;
    if (!isMovTo) {
      registers.set(gpr, this.processor.state.words[State.Cr8], 0);
      return true;
    }
    const value = registers.lo(gpr);
    if ((value & ~15) !== 0 || registers.hi(gpr) !== 0) return false;
    this.setTaskPriority(value);
    return true;
  }

  /** `hvm_set_cr0` and `vmx_update_guest_cr`. */
  private setCr0(value: number): boolean {
    const { words } = this.processor.state;
    const { vmcs } = this.hardware;
    const old = words[State.Cr0];
    const cr4 = words[State.Cr4];
    const paging = (value & CR0_PG) !== 0;
    if (paging && (value & CR0_PE) === 0) return false;
    if ((value & CR0_NW) !== 0 && (value & CR0_CD) === 0) return false;
    let efer = words[State.EferLo];
    if (((value ^ old) & CR0_PG) !== 0) {
      const long = paging && (efer & EFER_LME) !== 0;
      if (long && (cr4 & CR4_PAE) === 0) return false;
      efer = long ? efer | EFER_LMA : efer & ~EFER_LMA;
      vmcs.write(VmcsField.GuestEfer, efer, 0);
      const entry = vmcs.read(VmcsField.EntryControls) & ~EntryControl.Ia32eModeGuest;
      vmcs.write(VmcsField.EntryControls, entry | (long ? EntryControl.Ia32eModeGuest : 0));
      if (paging && !long && (cr4 & CR4_PAE) !== 0 && !this.loadPdptes(words[State.Cr3Lo])) return false;
      this.flushTlb();
    }
    vmcs.write(VmcsField.GuestCr0, value | CR0_NE | CR0_ET, 0);
    vmcs.write(VmcsField.Cr0ReadShadow, value | CR0_ET, 0);
    return true;
  }

  /** `vmx_load_pdptrs` */
  private loadPdptes(cr3: number): boolean {
    const mfn = this.p2m.translate(cr3 >>> 12);
    if (mfn < 0) return false;
    const { memory } = this.processor;
    for (let i = 0; i < 4; i++) {
      const at = mfn * FRAME_BYTES + (cr3 & 0xfe0) + 8 * i;
      this.hardware.vmcs.write(
        VmcsField.GuestPdpte0 + 2 * i,
        memory.readU32(at) | 0,
        memory.readU32(at + 4) | 0,
      );
    }
    return true;
  }
}

/** In the order of the VMCS's fields. */
const SEGMENT_NAMES = ["es", "cs", "ss", "ds", "further", "further", "ldtr", "tr"] as const;
const TABLE_FIELDS: readonly (readonly [number, number])[] = [
  [VmcsField.GuestGdtrLimit, VmcsField.GuestGdtrBase],
  [VmcsField.GuestIdtrLimit, VmcsField.GuestIdtrBase],
];

/** AVL, L, D/B and G are four bits further up than in a VMCB. */
function accessRights(attributes: VcpuSegment["attributes"]): number {
  return attributes === 0 ? UNUSABLE : (attributes & 0xff) | ((attributes & 0xf00) << 4);
}

/** Access rights of a segment that SVM kept: null ones have no type there, and have to be marked here. */
function rightsOf(attributes: number): number {
  return (attributes & 0xffff) === 0 ? UNUSABLE : attributes;
}

const NO_SPEC_CTRL: readonly [number, number] = [0, 0];

function writeFrame(vmcs: Vmcs, field: number, frame: number): void {
  vmcs.write(field, (frame << 12) | 0, Math.floor(frame / 0x100000));
}

/** All ones but for these bits. */
function ones(bytes: number, cleared: readonly number[]): Uint8Array {
  const map = new Uint8Array(bytes).fill(0xff);
  for (const bit of cleared) map[bit >>> 3] &= ~(1 << (bit & 7));
  return map;
}

/** Read low, read high, write low, write high: 1 KiB each (SDM vol. 3, 25.6.9). */
function msrBitmapBit(msr: number, write: boolean): number {
  return (write ? 2 : 0) * 8192 + (msr >= 0xc0000000 ? 8192 + msr - 0xc0000000 : msr);
}

function passedMsrBits(): number[] {
  return [
    ...READABLE_MSRS.map((msr) => msrBitmapBit(msr, false)),
    ...PASSED_MSRS.map((msr) => msrBitmapBit(msr, true)),
  ];
}
