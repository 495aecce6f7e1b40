/** What the timer of a local APIC needs of its processor. */
export interface TimerClock {
  /** Simulated time in ledger ticks. */
  readonly now: number;
  /** Time in ticks at which the time stamp that software reads reaches a value (cycles); may be past. */
  timeOfTimestamp(cycles: number): number;
}

/** A timer as plain data; times in ledger ticks, -1 for none. */
export interface ApicTimerSnapshot {
  readonly initial: number;
  readonly startedAt: number;
  readonly deadline: number;
}

/**
 * The count-down of a local APIC (SDM vol. 3, 11.5.4), computed from simulated time when somebody asks: nothing is
 * counted step by step. Modes and divisors are handed in by the owner.
 */
export class ApicTimer {
  private readonly clock: TimerClock;
  private readonly ticksPerCount: number;
  private readonly minimumPeriod: number;
  private divisor = 1;
  private periodic = false;
  /** Counts of the running period, 0 when stopped. */
  private initial = 0;
  private startedAt = 0;
  /** TSC deadline in cycles, or -1. */
  private deadline = -1;

  /**
   * @param ticksPerCount ledger ticks of one count at divisor 1
   * @param minimumPeriod ledger ticks that a periodic timer takes at least
   */
  constructor(clock: TimerClock, ticksPerCount: number, minimumPeriod = 0) {
    this.clock = clock;
    this.ticksPerCount = ticksPerCount;
    this.minimumPeriod = minimumPeriod;
  }

  /** Whether it will expire at all. */
  get running(): boolean {
    return this.deadline >= 0 || this.initial !== 0;
  }

  /** Ledger ticks at which it expires next; infinity when it is stopped. */
  get due(): number {
    if (this.deadline >= 0) return Math.ceil(this.clock.timeOfTimestamp(this.deadline));
    return this.initial === 0 ? Number.POSITIVE_INFINITY : Math.ceil(this.startedAt + this.length);
  }

  /** Counts left, as the current-count register shows them. */
  get count(): number {
    if (this.initial === 0) return 0;
    const passed = Math.floor((this.clock.now - this.startedAt) / this.step);
    if (passed < this.initial) return this.initial - passed;
    return this.periodic ? this.initial - (passed % this.initial) : 0;
  }

  /** Cycles of the armed deadline; 0 when there is none. */
  get deadlineCycles(): number {
    return Math.max(0, this.deadline);
  }

  /** Starts counting down from `initial`; 0 stops. */
  start(initial: number): void {
    this.initial = initial;
    this.startedAt = this.clock.now;
    this.deadline = -1;
  }

  /** Arms the TSC deadline; 0 disarms. */
  arm(cycles: number): void {
    this.initial = 0;
    this.deadline = cycles === 0 ? -1 : cycles;
  }

  /** The count goes on from where it is at another rate. @param divisor 1 to 128 */
  divideBy(divisor: number): void {
    const left = this.count;
    this.divisor = divisor;
    if (this.initial === 0) return;
    // A whole period is remembered, so that a periodic timer keeps its length.
    this.startedAt = this.clock.now - (this.initial - left) * this.step;
  }

  setPeriodic(periodic: boolean): void {
    this.periodic = periodic;
  }

  /** Takes an expiry that is due: a one-shot stops, a periodic one goes on. Missed periods make one expiry. */
  expire(): void {
    if (this.deadline >= 0) {
      this.deadline = -1;
      return;
    }
    if (!this.periodic) {
      this.initial = 0;
      return;
    }
    const { length } = this;
    this.startedAt += Math.max(1, Math.floor((this.clock.now - this.startedAt) / length)) * length;
  }

  stop(): void {
    this.initial = 0;
    this.deadline = -1;
  }

  snapshot(): ApicTimerSnapshot {
    return { initial: this.initial, startedAt: this.startedAt, deadline: this.deadline };
  }

  /** Puts it back; divisor and mode follow from the owner's registers. */
  restore(snapshot: ApicTimerSnapshot): void {
    ({ initial: this.initial, startedAt: this.startedAt, deadline: this.deadline } = snapshot);
  }

  /** Ticks from start to expiry. */
  private get length(): number {
    const length = this.initial * this.step;
    return this.periodic ? Math.max(length, this.minimumPeriod) : length;
  }

  private get step(): number {
    return this.ticksPerCount * this.divisor;
  }
}
