import { Cr0, Efer } from "./control-registers.js";
import { Attention, Dirty, Segment, SegmentWord, State } from "./cpu-state.js";
import { leafRegister } from "./cpuid.js";
import type { Processor } from "./processor.js";
import { setWide, wide } from "./timestamp.js";

/** Model-specific registers of a processor, as RDMSR and WRMSR reach them. */
export interface MsrSource {
  /** Low and high word of the latest successful {@link read}. */
  readonly lo: number;
  readonly hi: number;
  /** @param index unsigned register number @returns false: #GP(0) */
  read(index: number): boolean;
  /** @returns false: #GP(0) */
  write(index: number, lo: number, hi: number): boolean;
}

/** Numbers of the registers that {@link ArchitecturalMsrs} knows. */
export const Msr = {
  Tsc: 0x10,
  ApicBase: 0x1b,
  TscAdjust: 0x3b,
  SpecCtrl: 0x48,
  PredCmd: 0x49,
  SysenterCs: 0x174,
  SysenterEsp: 0x175,
  SysenterEip: 0x176,
  /** Intel: whether firmware lets VMXON work. */
  FeatureControl: 0x3a,
  MiscEnable: 0x1a0,
  Pat: 0x277,
  TscDeadline: 0x6e0,
  /** First and last register of the x2APIC. */
  X2apicFirst: 0x800,
  X2apicLast: 0x8ff,
  Xss: 0xda0,
  Efer: 0xc0000080,
  Star: 0xc0000081,
  Lstar: 0xc0000082,
  Cstar: 0xc0000083,
  Fmask: 0xc0000084,
  FsBase: 0xc0000100,
  GsBase: 0xc0000101,
  KernelGsBase: 0xc0000102,
  TscAux: 0xc0000103,
  /** AMD: multiplier of guests' time stamps. */
  TscRatio: 0xc0000104,
  /** AMD: whether EFER.SVME can be set. */
  VmCr: 0xc0010114,
  /** SEV-ES guests: how they talk to the hypervisor; SEV guests: what is encrypted (APM vol. 2, 15.34.10 and 15.35.7). */
  Ghcb: 0xc0010130,
  SevStatus: 0xc0010131,
  /** AMD: first and last byte of the reverse map (APM vol. 2, 15.36.4). */
  RmpBase: 0xc0010132,
  RmpEnd: 0xc0010133,
} as const;

/** IA32_FEATURE_CONTROL as firmware leaves it that has switched VMX off: no code that runs here can use it. */
const LOCKED = 1;
/** VM_CR with LOCK and SVMDIS: the same of SVM. */
const VM_CR_DISABLED = 0x18;
const EFER_DEFINED = Efer.Sce | Efer.Lme | Efer.Lma | Efer.Nxe | Efer.Svme;
/** IBRS, STIBP, SSBD. */
const SPEC_CTRL_DEFINED = 7;

const FS = State.Segments + 8 * Segment.Fs + SegmentWord.BaseLo;
const GS = State.Segments + 8 * Segment.Gs + SegmentWord.BaseLo;

/** The registers that have no place among the state words, as plain data. */
export interface ArchitecturalMsrsSnapshot {
  readonly tscAux: number;
  readonly specCtrl: number;
}

/** The architectural registers, over the state words. A register that is not listed in {@link Msr} is #GP(0). */
export class ArchitecturalMsrs implements MsrSource {
  lo = 0;
  hi = 0;
  /** IA32_TSC_AUX: what RDTSCP and RDPID return. */
  tscAux = 0;
  private specCtrl = 0;
  private readonly processor: Processor;
  private readonly pair = new Int32Array(2);
  /** EFER.FFXSR, where CPUID shows it. */
  private readonly offeredEfer: number;
  /** IA32_XSS exists where there is XSAVE; every profile that has that has XSAVES. */
  private readonly hasXss: boolean;
  private readonly hasTscAdjust: boolean;
  private readonly hasTscDeadline: boolean;
  private readonly hasTscRatio: boolean;

  constructor(processor: Processor) {
    this.processor = processor;
    const { cpuid } = processor.profile;
    const has = (leaf: number, register: number, bit: number) =>
      ((leafRegister(cpuid, leaf, register) >>> bit) & 1) !== 0;
    this.hasTscAdjust = has(7, 1, 1);
    this.hasTscDeadline = has(1, 2, 24);
    this.hasTscRatio = has(0x8000000a, 3, 4);
    this.hasXss = has(1, 2, 26);
    this.offeredEfer = has(0x8000_0001, 3, 25) ? Efer.Ffxsr : 0;
  }

  snapshot(): ArchitecturalMsrsSnapshot {
    return { tscAux: this.tscAux, specCtrl: this.specCtrl };
  }

  restore(snapshot: ArchitecturalMsrsSnapshot): void {
    this.tscAux = snapshot.tscAux;
    this.specCtrl = snapshot.specCtrl;
  }

  read(index: number): boolean {
    const { processor } = this;
    const { words } = processor.state;
    switch (index) {
      case Msr.Tsc:
        return this.giveNumber(processor.readTimestamp());
      case Msr.ApicBase:
        return this.give(...processor.apic.base);
      case Msr.TscAdjust:
        return this.hasTscAdjust && this.give(words[State.TscAdjustLo], words[State.TscAdjustHi]);
      case Msr.TscDeadline:
        return this.hasTscDeadline && this.giveNumber(processor.apic.deadline);
      case Msr.TscRatio:
        return this.hasTscRatio && this.give(words[State.TscRatioLo], words[State.TscRatioHi]);
      case Msr.SpecCtrl:
        return this.give(this.specCtrl, 0);
      case Msr.SysenterCs:
        return this.give(words[State.SysenterCs], 0);
      case Msr.MiscEnable:
        return processor.profile.vendor === "intel" && this.give(1, 0);
      case Msr.FeatureControl:
        return processor.profile.vendor === "intel" && this.give(LOCKED, 0);
      case Msr.VmCr:
        return processor.profile.vendor === "amd" && this.give(VM_CR_DISABLED, 0);
      case Msr.Xss:
        return this.hasXss && this.give(0, 0);
      case Msr.Efer:
        return this.give(words[State.EferLo], 0);
      case Msr.Fmask:
        return this.give(words[State.FmaskLo], 0);
      case Msr.TscAux:
        return this.give(this.tscAux, 0);
      case Msr.RmpBase:
      case Msr.RmpEnd: {
        const { reverseMap } = processor.mmu;
        return (
          reverseMap !== null && this.giveNumber(index === Msr.RmpBase ? reverseMap.base : reverseMap.end)
        );
      }
      case Msr.Ghcb:
      case Msr.SevStatus: {
        const { pair } = this;
        return processor.guestMode?.readEncryptionMsr?.(index, pair) === true && this.give(pair[0], pair[1]);
      }
      default: {
        if (isX2apic(index)) {
          const value = processor.apic.readMsr(index);
          return value !== undefined && this.give(...value);
        }
        const at = pairOf(index);
        return at >= 0 && this.give(words[at], words[at + 1]);
      }
    }
  }

  write(index: number, lo: number, hi: number): boolean {
    const { processor } = this;
    const { words } = processor.state;
    switch (index) {
      case Msr.Tsc:
        this.moveTimestamp(hi * 0x100000000 + (lo >>> 0) - processor.readTimestamp());
        return true;
      case Msr.ApicBase:
        return processor.apic.writeBase(lo, hi);
      case Msr.TscAdjust: {
        if (!this.hasTscAdjust) return false;
        this.moveTimestamp(hi * 0x100000000 + (lo >>> 0) - wide(words, State.TscAdjustLo));
        return true;
      }
      case Msr.TscDeadline:
        if (!this.hasTscDeadline) return false;
        processor.apic.deadline = (hi >>> 0) * 0x100000000 + (lo >>> 0);
        return true;
      case Msr.TscRatio:
        // 8.32 fixed point (APM vol. 2, 15.30.5).
        if (!this.hasTscRatio || hi >>> 0 > 0xff) return false;
        words[State.TscRatioLo] = lo;
        words[State.TscRatioHi] = hi;
        return true;
      case Msr.SpecCtrl:
        if ((lo & ~SPEC_CTRL_DEFINED) !== 0 || hi !== 0) return false;
        this.specCtrl = lo;
        return true;
      case Msr.PredCmd:
        if ((lo & ~1) !== 0 || hi !== 0) return false;
        if (lo !== 0) processor.predictor.flush();
        return true;
      case Msr.SysenterCs:
        words[State.SysenterCs] = lo;
        break;
      case Msr.MiscEnable:
        return processor.profile.vendor === "intel";
      case Msr.Xss:
        // There is no supervisor state to enable.
        return this.hasXss && lo === 0 && hi === 0;
      case Msr.Efer:
        return this.writeEfer(lo, hi);
      case Msr.Fmask:
        if (hi !== 0) return false;
        words[State.FmaskLo] = lo;
        break;
      case Msr.TscAux:
        if (hi !== 0) return false;
        this.tscAux = lo;
        return true;
      case Msr.Pat:
        if (!validPat(lo) || !validPat(hi)) return false;
        words[State.PatLo] = lo;
        words[State.PatHi] = hi;
        return true;
      case Msr.Ghcb:
        return processor.guestMode?.writeEncryptionMsr?.(index, lo, hi) === true;
      default: {
        if (isX2apic(index)) return processor.apic.writeMsr(index, lo, hi);
        const at = pairOf(index);
        if (at < 0) return false;
        if (index !== Msr.Star && !processor.canonicalBase(hi)) return false;
        words[at] = lo;
        words[at + 1] = hi;
        words[State.Dirty] |= at === FS || at === GS ? Dirty.Segments : Dirty.SyscallMsrs;
        return true;
      }
    }
    words[State.Dirty] |= Dirty.SyscallMsrs;
    return true;
  }

  private writeEfer(lo: number, hi: number): boolean {
    const { words } = this.processor.state;
    const old = words[State.EferLo];
    if (hi !== 0 || (lo & ~(EFER_DEFINED | this.offeredEfer)) !== 0) return false;
    // VM_CR.SVMDIS (APM vol. 2, 15.30.1); a guest that runs has the bit already.
    if ((lo & ~old & Efer.Svme) !== 0) return false;
    // LME cannot change while paging is on; LMA is not for software to write.
    if (((lo ^ old) & Efer.Lme) !== 0 && (words[State.Cr0] & Cr0.Pg) !== 0) return false;
    words[State.EferLo] = (lo & ~Efer.Lma) | (old & Efer.Lma);
    words[State.Dirty] |= Dirty.Control;
    if (((lo ^ old) & Efer.Nxe) !== 0) this.processor.syncTranslation();
    return true;
  }

  /** IA32_TSC and IA32_TSC_ADJUST move together (SDM vol. 3, 18.17.3); a TSC deadline comes nearer or farther. */
  private moveTimestamp(cycles: number): void {
    const { words } = this.processor.state;
    setWide(words, State.TscBaseLo, wide(words, State.TscBaseLo) + cycles);
    setWide(words, State.TscAdjustLo, wide(words, State.TscAdjustLo) + cycles);
    words[State.Attention] |= Attention.Timer;
  }

  private giveNumber(value: number): true {
    return this.give(value | 0, Math.floor(value / 0x100000000) | 0);
  }

  private give(lo: number, hi: number): true {
    this.lo = lo;
    this.hi = hi;
    return true;
  }
}

/** State words of registers that are a plain 64-bit value, or -1. */
function pairOf(index: number): number {
  switch (index) {
    case Msr.SysenterEsp:
      return State.SysenterEspLo;
    case Msr.SysenterEip:
      return State.SysenterEipLo;
    case Msr.Pat:
      return State.PatLo;
    case Msr.Star:
      return State.StarLo;
    case Msr.Lstar:
      return State.LstarLo;
    case Msr.Cstar:
      return State.CstarLo;
    case Msr.FsBase:
      return FS;
    case Msr.GsBase:
      return GS;
    case Msr.KernelGsBase:
      return State.KernelGsBaseLo;
    default:
      return -1;
  }
}

function isX2apic(index: number): boolean {
  return index >= Msr.X2apicFirst && index <= Msr.X2apicLast;
}

/** Four of the eight fields: memory types 0, 1, 4, 5, 6, 7. */
function validPat(word: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (word >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}
