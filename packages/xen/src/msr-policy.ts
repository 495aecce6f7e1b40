import { type LocalApic, State } from "@hyperwalk/cpu";
import type { GuestRegisters } from "./host/guest-registers.js";

/** MSRs that Xen answers itself when their access exits. */
export const Msr = {
  Tsc: 0x10,
  ApicBase: 0x1b,
  TscAdjust: 0x3b,
  MiscEnable: 0x1a0,
  MtrrCap: 0xfe,
  MtrrDefType: 0x2ff,
  McgCap: 0x179,
  McgStatus: 0x17a,
  SysenterCs: 0x174,
  SysenterEsp: 0x175,
  SysenterEip: 0x176,
  DebugCtl: 0x1d9,
  Pat: 0x277,
  TscDeadline: 0x6e0,
  /** First and last register of the x2APIC. */
  X2apicFirst: 0x800,
  X2apicLast: 0x8ff,
  Xss: 0xda0,
  Efer: 0xc0000080,
  Cstar: 0xc0000083,
  TscAux: 0xc0000103,
} as const;

const CR0_PG = 1 << 31;
const EFER_SVME = 0x1000;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
/** SCE, LME, LMA, NXE: what a guest may have without nested virtualization and FFXSR. */
export const EFER_ALLOWED = 0xd01;

/** Sets EFER in the guest's control structure. */
export interface EferSink {
  setEfer(value: number): void;
  setSysenter(word: number, lo: number, hi: number): void;
  setTimestampOffset(cycles: number): void;
  /** What RDTSCP and RDPID return. @param value unsigned */
  setTimestampAux(value: number): void;
}

/** First and last of each range of performance-monitoring MSRs that Xen knows, by vendor. */
const PERFORMANCE_MONITORING: Readonly<Record<"amd" | "intel", readonly (readonly [number, number])[]>> = {
  amd: [
    [0xc0010000, 0xc0010007], // event selects and counters of the K7
    [0xc0010200, 0xc001020b], // and of family 15h
  ],
  intel: [
    [0xc1, 0xc8], // counters
    [0x186, 0x18d], // event selects
    [0x309, 0x30b], // fixed counters
    [0x38d, 0x390], // control and status
    [0x3f1, 0x3f1], // PEBS
    [0x600, 0x600], // debug store
  ],
};

function isX2apic(msr: number): boolean {
  return msr >= Msr.X2apicFirst && msr <= Msr.X2apicLast;
}

/** What a vCPU's time stamp was moved by, in cycles, IA32_TSC_AUX and CSTAR (low word first), as plain data. */
export interface MsrPolicySnapshot {
  readonly timestampOffset: number;
  readonly timestampAdjust: number;
  readonly timestampAux: number;
  readonly cstar: readonly [number, number];
}

/** A domain's MSRs (`hvm_msr_{read,write}_intercept`, `guest_{rd,wr}msr`): those whose accesses leave the guest. */
export class MsrPolicy {
  /** After a {@link read} that succeeded. */
  lo = 0;
  hi = 0;
  private readonly registers: GuestRegisters;
  private readonly sink: EferSink;
  private readonly readCycles: () => number;
  private readonly apic: LocalApic;
  /** Cycles that the guest's time stamp is ahead of the processor's. */
  timestampOffset = 0;
  private timestampAdjust = 0;
  private timestampAux = 0;
  private cstar: readonly [number, number] = [0, 0];
  private readonly xsaves: boolean;
  private readonly performanceMonitoring: readonly (readonly [number, number])[];

  /**
   * @param readCycles the processor's time stamp @param apic the vCPU's virtual local APIC
   * @param xsaves whether the guest has XSAVES, and with it IA32_XSS
   */
  constructor(
    registers: GuestRegisters,
    sink: EferSink,
    readCycles: () => number,
    apic: LocalApic,
    vendor: "amd" | "intel",
    xsaves = false,
  ) {
    this.xsaves = xsaves;
    this.performanceMonitoring = PERFORMANCE_MONITORING[vendor];
    this.registers = registers;
    this.sink = sink;
    this.readCycles = readCycles;
    this.apic = apic;
  }

  /** @returns false for #GP(0) */
  read(msr: number): boolean {
    const words = this.registers.words;
    this.lo = 0;
    this.hi = 0;
    switch (msr >>> 0) {
      case Msr.Tsc:
        return this.takeNumber(this.readCycles() + this.timestampOffset);
      case Msr.TscAdjust:
        return this.takeNumber(this.timestampAdjust);
      case Msr.TscDeadline:
        return this.takeNumber(this.apic.deadline);
      case Msr.ApicBase:
        return this.take(...this.apic.base);
      case Msr.Efer:
        this.lo = this.registers.control[State.EferLo] & ~EFER_SVME;
        return true;
      case Msr.SysenterCs:
        this.lo = words[State.SysenterCs];
        return true;
      case Msr.SysenterEsp:
        return this.take(words[State.SysenterEspLo], words[State.SysenterEspHi]);
      case Msr.SysenterEip:
        return this.take(words[State.SysenterEipLo], words[State.SysenterEipHi]);
      case Msr.Pat:
        return this.take(words[State.PatLo], words[State.PatHi]);
      case Msr.MiscEnable:
        this.lo = 1; // fast strings
        return true;
      case Msr.MtrrCap:
      case Msr.MtrrDefType:
      case Msr.McgCap:
      case Msr.McgStatus:
      case Msr.DebugCtl:
        return true;
      case Msr.TscAux:
        this.lo = this.timestampAux;
        return true;
      case Msr.Cstar:
        return this.take(...this.cstar);
      case Msr.Xss:
        return this.xsaves;
      default: {
        if (this.isPerformanceMonitoring(msr >>> 0)) return true;
        const value = isX2apic(msr >>> 0) ? this.apic.readMsr(msr) : undefined;
        return value !== undefined && this.take(...value);
      }
    }
  }

  /** @returns false for #GP(0) */
  write(msr: number, lo: number, hi: number): boolean {
    switch (msr >>> 0) {
      case Msr.Efer:
        return this.writeEfer(lo, hi);
      case Msr.SysenterCs:
        this.sink.setSysenter(State.SysenterCs, lo, hi);
        return true;
      case Msr.SysenterEsp:
        this.sink.setSysenter(State.SysenterEspLo, lo, hi);
        return true;
      case Msr.SysenterEip:
        this.sink.setSysenter(State.SysenterEipLo, lo, hi);
        return true;
      case Msr.Pat: {
        // Exits on VMX without EPT alone: no page's memory type is the guest's there.
        if (!validPat(lo) || !validPat(hi)) return false;
        const { words } = this.registers;
        words[State.PatLo] = lo;
        words[State.PatHi] = hi;
        return true;
      }
      case Msr.ApicBase:
        return this.apic.writeBase(lo, hi);
      case Msr.Tsc:
        this.moveTimestamp(hi * 2 ** 32 + (lo >>> 0) - this.readCycles() - this.timestampOffset);
        return true;
      case Msr.TscAdjust:
        this.moveTimestamp(hi * 2 ** 32 + (lo >>> 0) - this.timestampAdjust);
        return true;
      case Msr.TscDeadline:
        this.apic.deadline = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
        return true;
      case Msr.Cstar:
        // Exits on VMX alone, where the register does nothing.
        if ((hi << 16) >> 16 !== hi) return false;
        this.cstar = [lo, hi];
        return true;
      case Msr.TscAux:
        if (hi !== 0) return false;
        this.timestampAux = lo;
        this.sink.setTimestampAux(lo >>> 0);
        return true;
      case Msr.McgStatus:
      case Msr.DebugCtl:
        return (lo | hi) === 0;
      case Msr.Xss:
        return this.xsaves && (lo | hi) === 0;
      default:
        if (isX2apic(msr >>> 0)) return this.apic.writeMsr(msr, lo, hi);
        return this.isPerformanceMonitoring(msr >>> 0);
    }
  }

  /** Without a virtual PMU they read as zero and writes go nowhere (`vpmu_do_msr`). */
  private isPerformanceMonitoring(msr: number): boolean {
    return this.performanceMonitoring.some(([first, last]) => msr >= first && msr <= last);
  }

  snapshot(): MsrPolicySnapshot {
    const { timestampOffset, timestampAdjust, timestampAux, cstar } = this;
    return { timestampOffset, timestampAdjust, timestampAux, cstar: [...cstar] };
  }

  /** Puts it back; the control structure has the offset already. */
  restore(snapshot: MsrPolicySnapshot): void {
    this.timestampOffset = snapshot.timestampOffset;
    this.timestampAdjust = snapshot.timestampAdjust;
    this.timestampAux = snapshot.timestampAux;
    this.cstar = [...snapshot.cstar];
  }

  /** A vCPU that starts has the first one's time stamp, and no adjustment of its own. */
  followTimestamp(first: MsrPolicy): void {
    this.timestampOffset = first.timestampOffset;
    this.timestampAdjust = 0;
    this.sink.setTimestampOffset(this.timestampOffset);
  }

  /** Whether an access is the virtual local APIC's business, for its price. */
  isApic(msr: number): boolean {
    return isX2apic(msr >>> 0) || msr === Msr.ApicBase || msr === Msr.TscDeadline;
  }

  /** `hvm_set_guest_tsc_adjust`: both registers move, and the control structure's offset. */
  private moveTimestamp(cycles: number): void {
    this.timestampOffset += cycles;
    this.timestampAdjust += cycles;
    this.sink.setTimestampOffset(this.timestampOffset);
  }

  private takeNumber(value: number): boolean {
    return this.take(value | 0, Math.floor(value / 2 ** 32) | 0);
  }

  private take(lo: number, hi: number): boolean {
    this.lo = lo;
    this.hi = hi;
    return true;
  }

  /** `hvm_set_efer`: reserved bits and a change of LME under paging are #GP; LMA is not the guest's to write. */
  private writeEfer(lo: number, hi: number): boolean {
    const words = this.registers.control;
    const old = words[State.EferLo];
    if (hi !== 0 || (lo & ~EFER_ALLOWED) !== 0) return false;
    if (((lo ^ old) & EFER_LME) !== 0 && (words[State.Cr0] & CR0_PG) !== 0) return false;
    this.sink.setEfer((lo & ~EFER_LMA) | (old & (EFER_LMA | EFER_SVME)));
    return true;
  }
}

/** `pat_msr_set`: four memory types, of which 2 and 3 do not exist. */
function validPat(word: number): boolean {
  return [0, 8, 16, 24].every((shift) => [0, 1, 4, 5, 6, 7].includes((word >>> shift) & 0xff));
}
