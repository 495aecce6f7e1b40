import { Cr0, Efer } from "./control-registers.js";
import { Dirty, Segment, SegmentWord, State } from "./cpu-state.js";
import type { Processor } from "./processor.js";

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
  SpecCtrl: 0x48,
  PredCmd: 0x49,
  SysenterCs: 0x174,
  SysenterEsp: 0x175,
  SysenterEip: 0x176,
  MiscEnable: 0x1a0,
  Pat: 0x277,
  Efer: 0xc0000080,
  Star: 0xc0000081,
  Lstar: 0xc0000082,
  Cstar: 0xc0000083,
  Fmask: 0xc0000084,
  FsBase: 0xc0000100,
  GsBase: 0xc0000101,
  KernelGsBase: 0xc0000102,
  TscAux: 0xc0000103,
} as const;

const EFER_DEFINED = Efer.Sce | Efer.Lme | Efer.Lma | Efer.Nxe | Efer.Svme;
const APIC_BASE = 0xfee00000 | 0;
const BSP_AND_ENABLED = 0x900;
/** IBRS, STIBP, SSBD. */
const SPEC_CTRL_DEFINED = 7;

const FS = State.Segments + 8 * Segment.Fs + SegmentWord.BaseLo;
const GS = State.Segments + 8 * Segment.Gs + SegmentWord.BaseLo;

/** The architectural registers, over the state words. A register that is not listed in {@link Msr} is #GP(0). */
export class ArchitecturalMsrs implements MsrSource {
  lo = 0;
  hi = 0;
  /** IA32_TSC_AUX: what RDTSCP and RDPID return. */
  tscAux = 0;
  private specCtrl = 0;
  private readonly processor: Processor;

  constructor(processor: Processor) {
    this.processor = processor;
  }

  read(index: number): boolean {
    const { words } = this.processor.state;
    switch (index) {
      case Msr.Tsc: {
        const now = this.processor.readTimestamp();
        return this.give(now | 0, Math.floor(now / 0x100000000) | 0);
      }
      case Msr.ApicBase:
        return this.give(APIC_BASE | BSP_AND_ENABLED, 0);
      case Msr.SpecCtrl:
        return this.give(this.specCtrl, 0);
      case Msr.SysenterCs:
        return this.give(words[State.SysenterCs], 0);
      case Msr.MiscEnable:
        return this.processor.profile.vendor === "intel" && this.give(1, 0);
      case Msr.Efer:
        return this.give(words[State.EferLo], 0);
      case Msr.Fmask:
        return this.give(words[State.FmaskLo], 0);
      case Msr.TscAux:
        return this.give(this.tscAux, 0);
      default: {
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
        processor.state.tscOffset += (hi >>> 0) * 0x100000000 + (lo >>> 0) - processor.readTimestamp();
        return true;
      case Msr.ApicBase:
        return hi === 0 && (lo & ~BSP_AND_ENABLED) === APIC_BASE;
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
      default: {
        const at = pairOf(index);
        if (at < 0) return false;
        if (index !== Msr.Star && !processor.canonical(hi)) return false;
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
    if (hi !== 0 || (lo & ~EFER_DEFINED) !== 0) return false;
    // LME cannot change while paging is on; LMA is not for software to write.
    if (((lo ^ old) & Efer.Lme) !== 0 && (words[State.Cr0] & Cr0.Pg) !== 0) return false;
    words[State.EferLo] = (lo & ~Efer.Lma) | (old & Efer.Lma);
    words[State.Dirty] |= Dirty.Control;
    if (((lo ^ old) & Efer.Nxe) !== 0) this.processor.syncTranslation();
    return true;
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

/** Four of the eight fields: memory types 0, 1, 4, 5, 6, 7. */
function validPat(word: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (word >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}
