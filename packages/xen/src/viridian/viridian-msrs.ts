import { ApicRegister, type LocalApic } from "@hyperwalk/cpu";
import type { Viridian } from "./viridian.js";

/** Hyper-V's synthetic MSRs that are modelled. */
export const ViridianMsr = {
  GuestOsId: 0x40000000,
  Hypercall: 0x40000001,
  VpIndex: 0x40000002,
  TimeReferenceCount: 0x40000020,
  TscFrequency: 0x40000022,
  ApicFrequency: 0x40000023,
  Eoi: 0x40000070,
  InterruptCommand: 0x40000071,
  TaskPriority: 0x40000072,
} as const;

/** First and last of the range that a Viridian domain has for them; Xen's own MSR comes after. */
const FIRST = 0x40000000;
const LAST = 0x400001ff;
/** Units of the reference time in nanoseconds. */
const REFERENCE_NS = 100;
/** The virtual APIC timer's frequency: APIC_BUS_CYCLE_NS is 10. */
const APIC_HZ = 100_000_000;
const ICR_DELIVERY_STATUS = 0x1000;

export interface ViridianMsrsOptions {
  readonly viridian: Viridian;
  readonly vcpuId: number;
  readonly apic: LocalApic;
  /** System time in nanoseconds. */
  readonly now: () => number;
  readonly tscHz: number;
}

/** A vCPU's view of Hyper-V's MSRs (`guest_{rd,wr}msr_viridian`). The hypercall page itself is written elsewhere. */
export class ViridianMsrs {
  /** After a {@link read} that succeeded. */
  lo = 0;
  hi = 0;
  private readonly options: ViridianMsrsOptions;

  constructor(options: ViridianMsrsOptions) {
    this.options = options;
  }

  /** Is an MSR one of theirs, known or not? @param msr unsigned or not */
  owns(msr: number): boolean {
    return msr >>> 0 >= FIRST && msr >>> 0 <= LAST;
  }

  /** @returns false for #GP(0) */
  read(msr: number): boolean {
    const { viridian, vcpuId, apic, now, tscHz } = this.options;
    switch (msr >>> 0) {
      case ViridianMsr.GuestOsId:
        return this.take(viridian.guestOsIdLo, viridian.guestOsIdHi);
      case ViridianMsr.Hypercall:
        return this.take(viridian.hypercallLo, viridian.hypercallHi);
      case ViridianMsr.VpIndex:
        return this.take(vcpuId, 0);
      case ViridianMsr.TimeReferenceCount:
        return viridian.has("time_ref_count") && this.takeNumber(Math.floor(now() / REFERENCE_NS));
      case ViridianMsr.TscFrequency:
        return viridian.has("freq") && this.takeNumber(tscHz);
      case ViridianMsr.ApicFrequency:
        return viridian.has("freq") && this.takeNumber(APIC_HZ);
      case ViridianMsr.InterruptCommand:
        return this.take(
          apic.load(ApicRegister.InterruptCommand, 4),
          apic.load(ApicRegister.InterruptCommandHigh, 4),
        );
      case ViridianMsr.TaskPriority:
        return this.take(apic.taskPriority, 0);
      default:
        return false; // EOI is written only
    }
  }

  /** @returns false for #GP(0) */
  write(msr: number, lo: number, hi: number): boolean {
    const { viridian, apic } = this.options;
    switch (msr >>> 0) {
      case ViridianMsr.GuestOsId:
        viridian.guestOsIdLo = lo;
        viridian.guestOsIdHi = hi;
        return true;
      case ViridianMsr.Hypercall:
        viridian.hypercallLo = lo;
        viridian.hypercallHi = hi;
        return true;
      case ViridianMsr.VpIndex:
        return true; // and nothing comes of it
      case ViridianMsr.Eoi:
        apic.store(ApicRegister.Eoi, 4, 0);
        return true;
      case ViridianMsr.InterruptCommand:
        apic.store(ApicRegister.InterruptCommandHigh, 4, hi);
        apic.store(ApicRegister.InterruptCommand, 4, lo & ~ICR_DELIVERY_STATUS);
        return true;
      case ViridianMsr.TaskPriority:
        apic.store(ApicRegister.TaskPriority, 4, lo & 0xff);
        return true;
      default:
        return false;
    }
  }

  private takeNumber(value: number): boolean {
    return this.take(value | 0, Math.floor(value / 2 ** 32) | 0);
  }

  private take(lo: number, hi: number): boolean {
    this.lo = lo;
    this.hi = hi;
    return true;
  }
}
