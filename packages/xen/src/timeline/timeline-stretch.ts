import type { CauseName } from "@hyperwalk/mmu";

/** Ticks of one cause. */
export interface CauseTicks {
  readonly cause: CauseName;
  /** Ledger ticks, 256 to the cycle. */
  readonly ticks: number;
}

/** One thing that a vCPU's processor did from one moment of its ledger clock to another. */
export interface TimelineSpan {
  /** A stage's name, which is Xen's or Linux's own for the function, or a ledger phase's, or the stretch's. */
  readonly name: string;
  /** Ledger phase that its own time was charged to. */
  readonly phase: string;
  /** Clock in ticks. */
  readonly start: number;
  readonly end: number;
  /** Spans that it lies in; zero for the stretch. */
  readonly depth: number;
  /** Its own time, without that of the spans in it, by cause; causes without any are left out. */
  readonly causes: readonly CauseTicks[];
}

/** The hypercall that an exit was. */
export interface TimelineHypercall {
  /** `group.operation`, or undefined for numbers that nobody handles. */
  readonly operation: string | undefined;
  /** rax as the guest passed it, low word, unsigned. */
  readonly number: number;
  /** What went to rax. */
  readonly result: number;
}

/**
 * A piece of a vCPU's time: the guest's own code up to its next exit; or an exit, from the guest's instruction that left up
 * to the next one that it ran; or a fast-forward as a whole. The pieces of one vCPU follow each other without a gap, and
 * the own time of all their spans is the difference of its clock.
 */
export interface TimelineStretch {
  readonly vcpu: number;
  readonly kind: "guest" | "exit" | "fast-forward";
  /** The reason in the words of the vendor's manual; undefined for what comes before the guest's first instruction. */
  readonly exit: string | undefined;
  /** Undefined for exits that are none. */
  readonly hypercall: TimelineHypercall | undefined;
  /** Clock in ticks. */
  readonly start: number;
  readonly end: number;
  /** In the order of their beginnings, the stretch itself first. */
  readonly spans: readonly TimelineSpan[];
  /** When the guest read the time stamp counter, clock in ticks. */
  readonly timestamps: readonly number[];
}

/** Takes stretches as they end: those of one vCPU in the order of time. */
export type TimelineListener = (stretch: TimelineStretch) => void;
