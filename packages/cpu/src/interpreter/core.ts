import { Cause, type CycleLedger, FaultKind, type Mmu, TICKS_PER_CYCLE, ticks } from "@hyperwalk/mmu";
import { Cr0 } from "../control-registers.js";
import { Attention, Dirty, Flag, Segment, SegmentWord, State } from "../cpu-state.js";
import { leafRegister } from "../cpuid.js";
import { Breakpoints, Dr7 } from "../debug/breakpoints.js";
import { Vector } from "../exceptions/vector.js";
import { StopReason } from "../execution-engine.js";
import { FloatContext } from "../floating-point/float-context.js";
import { Mxcsr } from "../floating-point/mxcsr.js";
import { SseUnit } from "../floating-point/sse-unit.js";
import type { Processor } from "../processor.js";
import type { CoreTiming } from "../profile.js";
import { definedCr4 } from "../registers/defined-cr4.js";
import { CodeTarget } from "../segmentation/code-segment.js";
import { InnerStack } from "../segmentation/inner-stack.js";
import { ReturnStack } from "../segmentation/return-stack.js";
import { TaskSwitch } from "../segmentation/task-switch.js";
import { PAGE_NOT_VALIDATED } from "../sev/exits.js";
import { Entry, Form, HIGH_BYTE, Status } from "./entry.js";
import { codeBits, ModeBits, modeBitsOf } from "./mode-bits.js";
import { noteOperands } from "./operand-information.js";
import { StateArea } from "./state-area.js";
import { X87Image } from "./x87-image.js";

const DEFAULT_BIG = 0x4000;
const UNUSABLE = 0x10000;
const EFER_LMA = 0x400;
/** Feature bits of CPUID: 80000021 EAX, 1 ECX, 80000001 ECX. */
const NULL_CLEARS_BASE = 0x40;
const MISALIGNED_SHOWN = 1 << 7;

/**
 * What instruction handlers work on: registers, operands of the entry being executed, memory through segmentation, and
 * the fault they raise. Methods that can fault answer `false` and have then set up the fault. Values come back in
 * {@link lo} and {@link hi}; nothing here allocates.
 */
export class ExecutionCore {
  readonly processor: Processor;
  readonly mmu: Mmu;
  readonly ledger: CycleLedger;
  readonly timing: CoreTiming;
  /** The profile's vendor is AMD. */
  readonly amd: boolean;
  /** Null selectors leave the base of FS and GS alone: AMD without NullSelectClearsBase (CPUID 80000021 EAX bit 6). */
  readonly nullKeepsBase: boolean;
  /** CR4 bits that are not reserved. */
  readonly definedCr4: number;
  /** MXCSR bits that software may set. */
  readonly mxcsrDefined: number;
  /** Operands and results of the x87 instruction at work. */
  readonly float: FloatContext = new FloatContext();
  /** Operands, results and exceptions of the SSE floating-point instruction at work. */
  readonly sse: SseUnit = new SseUnit();
  readonly stateArea: StateArea = new StateArea();
  readonly x87Image: X87Image = new X87Image();
  /** EAX, EBX, ECX and EDX of the CPUID leaf that was asked for. */
  readonly leaf: Int32Array = new Int32Array(4);
  /** Product of 128 bits, low word first; also dividend, then quotient and remainder, of the long division. */
  readonly wide: Int32Array = new Int32Array(4);
  words!: Int32Array;
  view!: DataView;
  u8!: Uint8Array;
  /** Entries of all blocks; see `entry.ts`. */
  code: Int32Array = new Int32Array(0);
  /** Result of the latest operand read. */
  lo = 0;
  hi = 0;
  /** Linear address of the latest {@link address} or {@link linearize}. */
  eaLo = 0;
  eaHi = 0;
  /** Working stack pointer of {@link beginStack}. */
  spLo = 0;
  spHi = 0;
  /** 16, 32 or 64: bits of the code segment. */
  mode = 32;
  /** The exception that a handler raised. */
  faultVector = 0;
  faultCode = 0;
  faultHasCode = false;
  /** Linear address of the latest #PF, for CR2. */
  faultAddressLo = 0;
  faultAddressHi = 0;
  /** The memory system reported something other than an exception: second stage, no RAM. */
  faultIsExit = false;
  stopReason: number = StopReason.Unsupported;
  /** The event of `Status.SoftwareEvent`; INT n is not an exception, INT3, INTO and INT1 are. */
  eventVector = 0;
  eventIsInterrupt = false;
  /** What DR6 is to report for the #DB being raised. */
  debugStatus = 0;
  readonly breakpoints: Breakpoints = new Breakpoints();
  /** Of the far transfer at hand: where it goes, and the stack that comes with it. */
  readonly codeTarget: CodeTarget = new CodeTarget();
  readonly innerStack: InnerStack = new InnerStack();
  readonly returnStack: ReturnStack = new ReturnStack();
  readonly taskSwitch: TaskSwitch = new TaskSwitch();
  /** Mode bits that blocks are decoded for, see `mode-bits.ts`. */
  modeBits = 0;
  /** Real or virtual-8086 mode: selectors are paragraph numbers, not table indices. */
  realAddressing = false;
  /** -1 while misaligned accesses raise #AC, else 0. */
  alignment = 0;
  /** SYSCALL or SYSRET has cleared the trap flag, which counts as it is at their end. */
  trapFlagCleared = false;
  /** A repeated string that had its start-up cost charged goes on. */
  resuming = false;
  /** Entry words of what the loop has retired before the instruction whose handler runs; 0 while the loop does not. */
  underway = 0;
  private at = 0;
  private readonly atomicTicks: number;

  constructor(processor: Processor) {
    this.processor = processor;
    this.mmu = processor.mmu;
    this.ledger = processor.ledger;
    this.timing = processor.profile.timing;
    this.amd = processor.profile.vendor === "amd";
    const { cpuid } = processor.profile;
    this.nullKeepsBase = this.amd && (leafRegister(cpuid, 0x8000_0021, 0) & NULL_CLEARS_BASE) === 0;
    this.definedCr4 = definedCr4(cpuid);
    const misaligned = (leafRegister(cpuid, 0x8000_0001, 2) & MISALIGNED_SHOWN) !== 0;
    this.mxcsrDefined = Mxcsr.Defined | (misaligned ? Mxcsr.MisalignedMask : 0);
    this.atomicTicks = ticks(this.timing.atomic);
    processor.arena.adopt(() => {
      this.words = processor.state.words;
      this.view = processor.arena.view;
      this.u8 = processor.arena.u8;
    });
  }

  // Faults

  /** Raises an exception with an error code, which real mode does not have. @returns Status.Fault */
  raise(vector: number, errorCode: number): number {
    this.faultVector = vector;
    this.faultCode = errorCode;
    this.faultHasCode = (this.words[State.Cr0] & Cr0.Pe) !== 0;
    this.faultIsExit = false;
    return Status.Fault;
  }

  /** Raises an exception without an error code. @returns Status.Fault */
  raisePlain(vector: number): number {
    this.raise(vector, 0);
    this.faultHasCode = false;
    return Status.Fault;
  }

  /** #UD */
  undefined(): number {
    return this.raisePlain(Vector.Ud);
  }

  /** #GP(0) */
  protection(): number {
    return this.raise(Vector.Gp, 0);
  }

  private refuse(vector: number, errorCode: number): false {
    this.raise(vector, errorCode);
    return false;
  }

  /** Turns `mmu.fault` into the exception it means. @param segment the segment of the access */
  memoryFault(segment: number): false {
    const { fault } = this.mmu;
    switch (fault.kind) {
      case FaultKind.PageFault:
        this.faultAddressLo = fault.linearLo;
        this.faultAddressHi = fault.linearHi;
        return this.refuse(Vector.Pf, fault.errorCode);
      case FaultKind.NotValidated:
        this.words[State.Cr2Lo] = fault.linearLo;
        this.words[State.Cr2Hi] = this.longMode ? fault.linearHi : 0;
        return this.refuse(Vector.Vc, PAGE_NOT_VALIDATED);
      case FaultKind.NonCanonical:
        return this.refuse(segment === Segment.Ss ? Vector.Ss : Vector.Gp, 0);
      default:
        this.faultIsExit = true;
        return false;
    }
  }

  /** As {@link memoryFault}, for an operand that the hot loop addressed through a flat segment. */
  operandFault(segment: number, lo: number, bytes: number): false {
    if (this.amd && this.mode !== 64 && (lo >>> 0) + bytes > 0x1_0000_0000)
      return this.refuse(segment === Segment.Ss ? Vector.Ss : Vector.Gp, 0);
    return this.memoryFault(segment);
  }

  /** INT n and its kin. @returns Status.SoftwareEvent */
  softwareEvent(_pc: number, vector: number, isInterrupt: boolean): number {
    this.eventVector = vector;
    this.eventIsInterrupt = isInterrupt;
    return Status.SoftwareEvent;
  }

  // Costs

  /** @param cycles a price from CoreTiming */
  charge(cause: number, cycles: number): void {
    this.ledger.charge(cause, Math.round(cycles * TICKS_PER_CYCLE));
  }

  /** The price of LOCK, when the instruction has it. */
  chargeAtomic(): void {
    this.ledger.charge(Cause.Atomic, this.atomicTicks);
  }

  // The instruction itself

  /** Length in bytes. */
  lengthOf(pc: number): number {
    return this.code[pc + Entry.Where] >>> 16;
  }

  /** RIP of the instruction to lo, hi. */
  thisRip(pc: number): void {
    this.ripAt(this.code[pc + Entry.Where] & 0xffff);
  }

  /** RIP of the next instruction to lo, hi. */
  nextRip(pc: number): void {
    const where = this.code[pc + Entry.Where];
    this.ripAt((where & 0xffff) + (where >>> 16));
  }

  private ripAt(offset: number): void {
    const base = this.words[State.RipLo];
    this.lo = (base + offset) | 0;
    this.hi = this.mode === 64 ? (this.words[State.RipHi] + (this.lo >>> 0 < base >>> 0 ? 1 : 0)) | 0 : 0;
  }

  /** Next RIP plus the immediate (a relative target), cut to the operand size, to lo, hi. */
  relativeTarget(pc: number): void {
    this.nextRip(pc);
    const base = this.lo;
    const step = this.code[pc + Entry.Immediate];
    this.lo = (base + step) | 0;
    this.hi = (this.hi + (step >> 31) + (this.lo >>> 0 < base >>> 0 ? 1 : 0)) | 0;
    const size = this.code[pc + Entry.Form] & Form.SizeMask;
    if (size === 1) this.lo &= 0xffff;
    if (size !== 3) this.hi = 0;
  }

  sizeOf(pc: number): number {
    return this.code[pc + Entry.Form] & Form.SizeMask;
  }

  variantOf(pc: number): number {
    return (this.code[pc + Entry.Form] >>> Form.VariantShift) & 0xff;
  }

  /** Privileged: CPL 0, or #GP(0). */
  privileged(): boolean {
    return this.words[State.Cpl] === 0 || this.refuse(Vector.Gp, 0);
  }

  /** Asks the guest mode, if there is one. True: a VM exit was recorded; answer with {@link exit}. */
  intercepted(event: number, info: number, pc: number): boolean {
    const guest = this.processor.guestMode;
    if (guest === null) return false;
    const { words } = this;
    // The hook sees RIP at the instruction, not at the start of its block.
    const lo = words[State.RipLo];
    const hi = words[State.RipHi];
    this.thisRip(pc);
    words[State.RipLo] = this.lo;
    words[State.RipHi] = this.hi;
    const exit = guest.interceptInstruction(event, info, this.lengthOf(pc));
    words[State.RipLo] = lo;
    words[State.RipHi] = hi;
    return exit;
  }

  /** As {@link intercepted}, of an instruction whose operands a VM exit reports. */
  interceptedOperands(event: number, info: number, pc: number, registerFirst = true): boolean {
    if (this.processor.guestMode === null) return false;
    noteOperands(this, pc, registerFirst);
    return this.intercepted(event, info, pc);
  }

  /** Whether the guest mode makes the instruction #UD. */
  undefinedInGuest(event: number): boolean {
    const guest = this.processor.guestMode;
    return guest?.undefines?.(event) === true;
  }

  exit(): number {
    this.stopReason = StopReason.VmExit;
    return Status.Stop;
  }

  get longMode(): boolean {
    return (this.words[State.EferLo] & EFER_LMA) !== 0;
  }

  /** Recomputes {@link mode} and what else follows segments, EFER, CR0 and EFLAGS.VM: after changes of these. */
  syncMode(): void {
    const { words } = this;
    this.realAddressing = (words[State.Cr0] & Cr0.Pe) === 0 || (words[State.Flags] & Flag.Vm) !== 0;
    this.modeBits = modeBitsOf(this.words);
    this.mode = codeBits(this.modeBits);
    this.alignment = (this.modeBits & ModeBits.Aligned) !== 0 ? -1 : 0;
  }

  /** Takes DR0 to DR3 and DR7 over; costs nothing while no breakpoint is armed and none was. */
  syncDebug(): void {
    const { breakpoints, words } = this;
    if ((words[State.Dr7] & Dr7.Enabled) === 0 && !breakpoints.armed) return;
    breakpoints.sync(words);
    if (breakpoints.armed || words[State.PendingDebug] !== 0) words[State.Attention] |= Attention.Debug;
    else words[State.Attention] &= ~Attention.Debug;
    this.mmu.watch(breakpoints.watchesData ? breakpoints : null);
  }

  /** @param group a `Dirty` bit */
  markDirty(group: number): void {
    this.words[State.Dirty] |= group;
  }

  // Registers

  /** Register operand of log2 size to lo, hi. */
  readRegister(code: number, size: number): void {
    const { words } = this;
    if (size === 0) {
      this.lo = code >= HIGH_BYTE ? (words[code & 0xff] << 16) >> 24 : (words[code] << 24) >> 24;
      this.hi = 0;
      return;
    }
    const value = words[code];
    if (size === 1) {
      this.lo = (value << 16) >> 16;
      this.hi = 0;
    } else {
      this.lo = value;
      this.hi = size === 3 ? words[code + 1] : 0;
    }
  }

  /** Writes a register operand; 32-bit writes clear the upper half. */
  writeRegister(code: number, size: number, lo: number, hi: number): void {
    const { words } = this;
    switch (size) {
      case 0:
        if (code >= HIGH_BYTE) words[code & 0xff] = (words[code & 0xff] & ~0xff00) | ((lo & 0xff) << 8);
        else words[code] = (words[code] & ~0xff) | (lo & 0xff);
        break;
      case 1:
        words[code] = (words[code] & ~0xffff) | (lo & 0xffff);
        break;
      case 2:
        words[code] = lo;
        words[code + 1] = 0;
        break;
      default:
        words[code] = lo;
        words[code + 1] = hi;
    }
  }

  // Addresses

  /** Offset of the entry's memory operand within its segment to lo, hi. */
  offsetOf(pc: number): void {
    const { code, words } = this;
    const form = code[pc + Entry.Form];
    if ((form & Form.Absolute) !== 0) {
      this.lo = code[pc + Entry.Displacement];
      this.hi = code[pc + Entry.ImmediateHi];
      return;
    }
    const base = code[pc + Entry.Base];
    const index = code[pc + Entry.Index];
    const scale = (code[pc + Entry.Ea] >> 8) & 31;
    const displacement = code[pc + Entry.Displacement];
    const addressSize = (form >> Form.AddressShift) & 3;
    if (addressSize !== 3) {
      const sum = (words[base] + (words[index] << scale) + displacement) | 0;
      this.lo = addressSize === 1 ? sum & 0xffff : sum;
      this.hi = 0;
      return;
    }
    const x = words[index];
    const scaledLo = x << scale;
    const scaledHi = (words[index + 1] << scale) | ((x >>> 1) >>> (31 - scale));
    const first = (words[base] + displacement) | 0;
    let hi = words[base + 1] + (displacement >> 31) + (first >>> 0 < words[base] >>> 0 ? 1 : 0);
    this.lo = (first + scaledLo) | 0;
    hi += scaledHi + (this.lo >>> 0 < first >>> 0 ? 1 : 0);
    this.hi = hi | 0;
  }

  /** Linear address of the entry's memory operand to eaLo, eaHi, with segment checks for that many bytes. */
  address(pc: number, bytes: number, write: boolean): boolean {
    this.offsetOf(pc);
    const segment = (this.code[pc + Entry.Form] >> Form.SegmentShift) & 7;
    return this.linearize(segment, this.lo, this.hi, bytes, write);
  }

  /**
   * As {@link address}, of what lies `step` bytes on: an access of its own with its own segment check, whose offset wraps
   * at the address size, as Zen 3 does with 16- and 32-bit addresses in all modes.
   */
  addressAfter(pc: number, step: number, bytes: number, write = false): boolean {
    this.offsetOf(pc);
    const sum = (this.lo + step) | 0;
    const size = (this.code[pc + Entry.Form] >> Form.AddressShift) & 3;
    const lo = size === 1 ? sum & 0xffff : sum;
    const hi = size === 3 && sum >>> 0 < step ? (this.hi + 1) | 0 : this.hi;
    return this.linearize(this.segmentOf(pc), lo, hi, bytes, write);
  }

  /** The address after the first operand's: for bit strings and second halves. */
  linearize(segment: number, lo: number, hi: number, bytes: number, write: boolean): boolean {
    const { words } = this;
    const at = State.Segments + 8 * segment;
    if (this.mode === 64) {
      if (segment < Segment.Fs) {
        this.eaLo = lo;
        this.eaHi = hi;
        return true;
      }
      const sum = (lo + words[at + SegmentWord.BaseLo]) | 0;
      this.eaLo = sum;
      this.eaHi = (hi + words[at + SegmentWord.BaseHi] + (sum >>> 0 < lo >>> 0 ? 1 : 0)) | 0;
      return true;
    }
    const attributes = words[at + SegmentWord.Attributes];
    const vector = segment === Segment.Ss ? Vector.Ss : Vector.Gp;
    if ((attributes & UNUSABLE) !== 0) return this.refuse(vector, 0);
    const type = attributes & 15;
    const isCode = (type & 8) !== 0;
    if (write ? isCode || (type & 2) === 0 : isCode && (type & 2) === 0) return this.refuse(Vector.Gp, 0);
    const limit = words[at + SegmentWord.Limit] >>> 0;
    const first = lo >>> 0;
    const last = first + bytes - 1;
    if (!isCode && (type & 4) !== 0) {
      const top = (attributes & DEFAULT_BIG) !== 0 ? 0xffffffff : 0xffff;
      if (first <= limit || last > top) return this.refuse(vector, 0);
    } else if (last > limit && (this.amd || limit !== 0xffffffff)) {
      // 4 GiB segments wrap on Intel only (APM vol. 2, 4.12; SDM vol. 3, 6.3).
      return this.refuse(vector, 0);
    }
    this.eaLo = (lo + words[at + SegmentWord.BaseLo]) | 0;
    this.eaHi = 0;
    return true;
  }

  // Memory

  /** Whether an access of so many bytes at eaLo, eaHi is aligned enough; #AC where that is checked. */
  aligned(bytes: number): boolean {
    return (this.eaLo & this.alignment & (bytes - 1)) === 0 || this.misaligned(bytes);
  }

  /** #AC comes before page faults and behind what segmentation refuses, as on Zen 3. @returns true for the latter */
  private misaligned(bytes: number): boolean {
    return !this.canonicalEnds(bytes) || this.refuse(Vector.Ac, 0);
  }

  /** Whether the first and the last of so many bytes at eaLo, eaHi are canonical; outside 64-bit mode all are. */
  private canonicalEnds(bytes: number): boolean {
    if (this.mode !== 64) return true;
    const last = (this.eaLo + bytes - 1) | 0;
    const hi = last >>> 0 < this.eaLo >>> 0 ? (this.eaHi + 1) | 0 : this.eaHi;
    return this.canonical(this.eaLo, this.eaHi) && this.canonical(last, hi);
  }

  /** As {@link canonicalEnds}, with the fault of a segment: where an access may touch less than is checked. */
  canonicalOperand(bytes: number, segment: number): boolean {
    return this.canonicalEnds(bytes) || this.refuse(segment === Segment.Ss ? Vector.Ss : Vector.Gp, 0);
  }

  /** Value of log2 size at eaLo, eaHi to lo, hi; narrow values sign-extended. */
  load(size: number, segment: number): boolean {
    if ((this.eaLo & this.alignment & ((1 << size) - 1)) !== 0 && !this.misaligned(1 << size)) return false;
    const at = this.mmu.read(this.eaLo, this.eaHi, 1 << size);
    if (at < 0) return this.memoryFault(segment);
    this.take(at, size);
    return true;
  }

  private take(at: number, size: number): void {
    const { view } = this;
    this.hi = 0;
    switch (size) {
      case 0:
        this.lo = view.getInt8(at);
        break;
      case 1:
        this.lo = view.getInt16(at, true);
        break;
      case 2:
        this.lo = view.getInt32(at, true);
        break;
      default:
        this.lo = view.getInt32(at, true);
        this.hi = view.getInt32(at + 4, true);
    }
  }

  private put(at: number, size: number, lo: number, hi: number): void {
    const { view } = this;
    switch (size) {
      case 0:
        view.setInt8(at, lo);
        break;
      case 1:
        view.setInt16(at, lo, true);
        break;
      case 2:
        view.setInt32(at, lo, true);
        break;
      default:
        view.setInt32(at, lo, true);
        view.setInt32(at + 4, hi, true);
    }
    if (this.mmu.writePending !== 0) this.mmu.commitWrite();
  }

  /** Stores a value at eaLo, eaHi. */
  store(size: number, lo: number, hi: number, segment: number): boolean {
    if ((this.eaLo & this.alignment & ((1 << size) - 1)) !== 0 && !this.misaligned(1 << size)) return false;
    const at = this.mmu.write(this.eaLo, this.eaHi, 1 << size);
    if (at < 0) return this.memoryFault(segment);
    this.put(at, size, lo, hi);
    return true;
  }

  /** Opens the value at eaLo, eaHi for modification: value to lo, hi; {@link replace} stores the new one. */
  modify(size: number, segment: number): boolean {
    if ((this.eaLo & this.alignment & ((1 << size) - 1)) !== 0 && !this.misaligned(1 << size)) return false;
    const at = this.mmu.write(this.eaLo, this.eaHi, 1 << size);
    if (at < 0) return this.memoryFault(segment);
    this.at = at;
    this.take(at, size);
    return true;
  }

  replace(size: number, lo: number, hi: number): void {
    this.put(this.at, size, lo, hi);
  }

  /** Implicit supervisor reads of descriptor tables and the TSS. */
  readSystem(lo: number, hi: number, size: number): boolean {
    const at = this.mmu.readSystem(lo, hi, 1 << size);
    if (at < 0) return this.memoryFault(Segment.Ds);
    this.take(at, size);
    return true;
  }

  writeSystem(lo: number, hi: number, size: number, valueLo: number, valueHi: number): boolean {
    const at = this.mmu.writeSystem(lo, hi, 1 << size);
    if (at < 0) return this.memoryFault(Segment.Ss);
    this.put(at, size, valueLo, valueHi);
    return true;
  }

  // Operands

  /** Segment of the entry's memory operand. */
  segmentOf(pc: number): number {
    return (this.code[pc + Entry.Form] >> Form.SegmentShift) & 7;
  }

  /** First operand to lo, hi. */
  first(pc: number, size: number): boolean {
    if ((this.code[pc + Entry.Form] & Form.MemoryFirst) !== 0)
      return this.address(pc, 1 << size, false) && this.load(size, this.segmentOf(pc));
    this.readRegister(this.code[pc + Entry.A], size);
    return true;
  }

  /** Second operand to lo, hi. */
  second(pc: number, size: number): boolean {
    const form = this.code[pc + Entry.Form];
    if ((form & Form.ImmediateSecond) !== 0) {
      this.lo = this.code[pc + Entry.Immediate];
      this.hi = this.code[pc + Entry.ImmediateHi];
      return true;
    }
    if ((form & Form.MemorySecond) !== 0)
      return this.address(pc, 1 << size, false) && this.load(size, this.segmentOf(pc));
    this.readRegister(this.code[pc + Entry.B], size);
    return true;
  }

  /** First operand to lo, hi, to be replaced by {@link setFirst}. */
  openFirst(pc: number, size: number): boolean {
    if ((this.code[pc + Entry.Form] & Form.MemoryFirst) !== 0)
      return this.address(pc, 1 << size, true) && this.modify(size, this.segmentOf(pc));
    this.readRegister(this.code[pc + Entry.A], size);
    return true;
  }

  /** Replaces what {@link openFirst} read. */
  setFirst(pc: number, size: number, lo: number, hi: number): void {
    const form = this.code[pc + Entry.Form];
    if ((form & Form.MemoryFirst) !== 0) {
      this.replace(size, lo, hi);
      if ((form & Form.Lock) !== 0) this.chargeAtomic();
    } else this.writeRegister(this.code[pc + Entry.A], size, lo, hi);
  }

  /** Writes the first operand without reading it. */
  writeFirst(pc: number, size: number, lo: number, hi: number): boolean {
    if ((this.code[pc + Entry.Form] & Form.MemoryFirst) !== 0)
      return this.address(pc, 1 << size, true) && this.store(size, lo, hi, this.segmentOf(pc));
    this.writeRegister(this.code[pc + Entry.A], size, lo, hi);
    return true;
  }

  // Stack

  /** log2 bytes of the stack pointer. */
  get stackAddressSize(): number {
    if (this.mode === 64) return 3;
    const attributes = this.words[State.Segments + 8 * Segment.Ss + SegmentWord.Attributes];
    return (attributes & DEFAULT_BIG) !== 0 ? 2 : 1;
  }

  /** Takes rSP into a working copy; {@link commitStack} makes it real once nothing can fault any more. */
  beginStack(): void {
    this.spLo = this.words[State.Gpr + 8];
    this.spHi = this.words[State.Gpr + 9];
  }

  /** Adds to the working stack pointer, within its size. */
  moveStack(step: number): void {
    const size = this.stackAddressSize;
    const old = this.spLo;
    const sum = (old + step) | 0;
    if (size === 1) this.spLo = (old & ~0xffff) | (sum & 0xffff);
    else {
      this.spLo = sum;
      this.spHi = size === 3 ? (this.spHi + (step >> 31) + (sum >>> 0 < old >>> 0 ? 1 : 0)) | 0 : 0;
    }
  }

  private stackLinear(bytes: number, write: boolean): boolean {
    const size = this.stackAddressSize;
    return this.linearize(
      Segment.Ss,
      size === 1 ? this.spLo & 0xffff : this.spLo,
      size === 3 ? this.spHi : 0,
      bytes,
      write,
    );
  }

  push(size: number, lo: number, hi: number): boolean {
    this.moveStack(-(1 << size));
    return this.stackLinear(1 << size, true) && this.store(size, lo, hi, Segment.Ss);
  }

  pop(size: number): boolean {
    if (!this.stackLinear(1 << size, false) || !this.load(size, Segment.Ss)) return false;
    this.moveStack(1 << size);
    return true;
  }

  /** Whether so many bytes could be written at the working stack pointer. */
  probeStack(bytes = 1, alignment: number = bytes): boolean {
    if (!this.stackLinear(bytes, true) || !this.aligned(alignment)) return false;
    const at = this.mmu.write(this.eaLo, this.eaHi, bytes);
    this.mmu.writePending = 0;
    return at >= 0 || this.memoryFault(Segment.Ss);
  }

  /** Pops a selector to lo: Intel reads 2 bytes of a slot of 2^size (SDM vol. 2, POP), AMD all of it, as Zen 3 does. */
  popSelector(size: number): boolean {
    const width = this.amd ? size : 1;
    if (!this.stackLinear(1 << width, false) || !this.load(width, Segment.Ss)) return false;
    this.lo &= 0xffff;
    this.moveStack(1 << size);
    return true;
  }

  commitStack(): void {
    const { words } = this;
    const size = this.stackAddressSize;
    words[State.Gpr + 8] = this.spLo;
    if (size === 3) words[State.Gpr + 9] = this.spHi;
  }

  // Privilege

  /** Whether IOPL or the I/O permission of the TSS lets the current level use a port. */
  get ioPrivileged(): boolean {
    return this.words[State.Cpl] <= (this.words[State.Flags] & Flag.Iopl) >> 12;
  }

  /** PUSHF, POPF, IRET and INT n: virtual-8086 mode wants IOPL 3 for them (SDM vol. 3, 21.2.7). */
  get flagsPrivileged(): boolean {
    const flags = this.words[State.Flags];
    return (flags & Flag.Vm) === 0 || (flags & Flag.Iopl) === Flag.Iopl;
  }

  /** 48- or 57-bit canonical form. */
  canonical(_lo: number, hi: number): boolean {
    const top = hi >> ((this.words[State.Cr4] & 0x1000) !== 0 ? 24 : 15);
    return top === 0 || top === -1;
  }

  /** Whether a jump within the current code segment may go there. */
  reachable(lo: number, hi: number): boolean {
    if (this.mode === 64) return this.canonical(lo, hi);
    return lo >>> 0 <= this.words[State.Segments + 8 * Segment.Cs + SegmentWord.Limit] >>> 0;
  }

  /** Jump within the current code segment; #GP(0) when the target is outside. */
  jump(lo: number, hi: number): number {
    if (!this.reachable(lo, hi)) return this.protection();
    const { words } = this;
    words[State.RipLo] = lo;
    words[State.RipHi] = this.mode === 64 ? hi : 0;
    return Status.Jump;
  }

  /** After CPL, AC, or a control register changed. */
  syncTranslation(): void {
    this.processor.syncTranslation();
  }

  noteSegments(): void {
    this.markDirty(Dirty.Segments);
  }
}
