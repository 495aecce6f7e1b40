import {
  ApicBase,
  type CpuidLeaf,
  DeliveryMode,
  LocalApic,
  type LocalApicHost,
  type LocalApicSnapshot,
} from "@hyperwalk/cpu";
import { type CycleLedger, TICKS_PER_CYCLE } from "@hyperwalk/mmu";

/** Xen's APIC_BUS_CYCLE_NS: the timer counts at 100 MHz whatever the processor. */
const BUS_CYCLE_NS = 10;
/** Xen lets no periodic timer go faster (`create_periodic_time`): the guest would do nothing else. */
const MINIMUM_PERIOD_NS = 100_000;

export interface VlapicOptions {
  readonly vcpuId: number;
  /** Default Xen's: twice the vCPU's number. */
  readonly apicId?: number;
  readonly ledger: CycleLedger;
  /** Cycles a nanosecond. */
  readonly ghz: number;
  readonly physicalAddressBits: number;
  /** Nanoseconds of one count of its timer; default Xen's 10. */
  readonly busCycleNs?: number;
  /** A periodic timer goes no faster; default Xen's 100 us. */
  readonly minimumPeriodNs?: number;
  /** The domain's CPUID policy shows TSC-deadline mode. */
  readonly tscDeadline: boolean;
  /** Cycles that the guest's time stamp is ahead of the ledger. */
  readonly timestampOffset: () => number;
  /** The guest changed its task priority: the control structure follows. */
  readonly onTaskPriority: (priority: number) => void;
  /** An NMI has come. */
  readonly onNmi?: () => void;
  /** INIT, or a SIPI with its vector, has come; default: nothing, as where there is one vCPU. */
  readonly onInit?: () => void;
  readonly onStartUp?: (vector: number) => void;
}

/** A vCPU's virtual local APIC as plain data. */
export interface VlapicSnapshot {
  readonly apic: LocalApicSnapshot;
  readonly nmiPending: boolean;
}

/**
 * The local APIC that Xen emulates for an HVM or PVH vCPU (`arch/x86/hvm/vlapic.c`): the architecture's, with a timer driven by the system time.
 */
export class Vlapic {
  readonly apic: LocalApic;
  /** An NMI waits for the guest. */
  nmiPending = false;

  constructor(options: VlapicOptions) {
    const { ledger, busCycleNs = BUS_CYCLE_NS, minimumPeriodNs = MINIMUM_PERIOD_NS } = options;
    const host: LocalApicHost = {
      get now() {
        return ledger.clock[0];
      },
      timeOfTimestamp: (cycles) => (cycles - options.timestampOffset()) * TICKS_PER_CYCLE,
      // Asked before every VM entry.
      interruptMayBeDue: () => {},
      timerChanged: () => {},
      taskPriorityChanged: options.onTaskPriority,
      signal: (mode, vector) => {
        if (mode === DeliveryMode.Nmi) {
          this.nmiPending = true;
          options.onNmi?.();
        } else if (mode === DeliveryMode.Init) options.onInit?.();
        else if (mode === DeliveryMode.StartUp) options.onStartUp?.(vector);
      },
    };
    this.apic = new LocalApic(host, {
      id: options.apicId ?? 2 * options.vcpuId,
      bootstrap: options.vcpuId === 0,
      physicalAddressBits: options.physicalAddressBits,
      x2apic: true,
      tscDeadline: options.tscDeadline,
      ticksPerCount: Math.round(busCycleNs * options.ghz * TICKS_PER_CYCLE),
      minimumPeriod: Math.round(minimumPeriodNs * options.ghz * TICKS_PER_CYCLE),
    });
  }

  /** Ledger clock of the next timer expiry; infinity when the timer is stopped. */
  get due(): number {
    return this.apic.due;
  }

  /** The guest may have written CR8 without an exit. @param priority CR8 */
  followTaskPriority(priority: number): void {
    if (this.apic.taskPriority >> 4 !== priority) this.apic.taskPriority = priority << 4;
  }

  /** As INIT leaves it (`vlapic_do_init`). */
  reset(): void {
    this.apic.reset();
    this.nmiPending = false;
  }

  /** Shows itself in CPUID leaves 1 and 0Bh, as Xen's policy does per vCPU. */
  showIn(leaf: number, result: Int32Array): void {
    const { id } = this.apic;
    if (leaf === 0xb) result[3] = id;
    if (leaf === 1) result[1] = (result[1] & 0xffffff) | (id << 24);
    if ((leaf === 1 || leaf === 0x80000001) && (this.apic.base[0] & ApicBase.Enabled) === 0)
      result[3] &= ~FEATURE_APIC;
  }

  snapshot(): VlapicSnapshot {
    return { apic: this.apic.snapshot(), nmiPending: this.nmiPending };
  }

  restore(snapshot: VlapicSnapshot): void {
    this.apic.restore(snapshot.apic);
    this.nmiPending = snapshot.nmiPending;
  }
}

const FEATURE_APIC = 1 << 9;

const LEAF1_TSC_DEADLINE = 1 << 24;

/** Does a processor's CPUID show TSC-deadline mode? */
export function hasTscDeadline(leaves: readonly CpuidLeaf[]): boolean {
  return ((leaves.find((leaf) => leaf[0] === 1)?.[4] ?? 0) & LEAF1_TSC_DEADLINE) !== 0;
}
