import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";

/** A timer that is stopped. */
const STOPPED = Number.POSITIVE_INFINITY;
/** Above this a clock is not whole any more, and no run gets there. */
const MAX_CLOCK = 2 ** 53;

/** A vCPU's timers as plain data: instants and a period in nanoseconds of system time; -1: stopped. */
export interface VcpuTimersSnapshot {
  readonly singleshot: number;
  readonly poll: number;
  readonly periodic: number;
  readonly period: number;
  readonly lastPeriodic: number;
  /** The domain's watchdogs, which vCPU 0's processor keeps. */
  readonly watchdogs: readonly number[];
}

/** Watchdogs that a domain can have (NR_DOMAIN_WATCHDOG_TIMERS). */
export const WATCHDOGS = 2;

/**
 * The timers that Xen keeps for a vCPU besides its local APIC's (`common/sched/core.c`): one-shot, periodic, the
 * time-out of SCHEDOP_poll, and with vCPU 0's, as they are on processor 0, the domain's watchdogs. Instants are nanoseconds of system time, exact up to 2^53. The periodic one stands still while
 * the vCPU is not on a processor.
 */
export class VcpuTimers {
  /** Ledger clock of the next expiry, in ticks; infinity when no timer runs. */
  due: number = STOPPED;
  private singleshot = STOPPED;
  private poll = STOPPED;
  private periodic = STOPPED;
  private period = 0;
  private lastPeriodic = 0;
  private readonly watchdogs: number[] = new Array(WATCHDOGS).fill(STOPPED);
  private readonly ticksPerNs: number;

  /** @param ghz cycles a nanosecond */
  constructor(ghz: number) {
    this.ticksPerNs = TICKS_PER_CYCLE * ghz;
  }

  get running(): boolean {
    return this.due !== STOPPED;
  }

  /** System time in nanoseconds at a ledger clock. */
  timeAt(clock: number): number {
    return Math.floor(clock / this.ticksPerNs);
  }

  /** First ledger clock whose system time is that. */
  clockAt(ns: number): number {
    let clock = Math.ceil(ns * this.ticksPerNs);
    if (clock < MAX_CLOCK) while (this.timeAt(clock) < ns) clock++;
    return clock;
  }

  /** @param ns 0 or more; what has passed expires at once */
  setSingleshot(ns: number): void {
    this.singleshot = ns;
    this.update();
  }

  stopSingleshot(): void {
    this.setSingleshot(STOPPED);
  }

  /** SCHEDOP_poll's time-out. It goes on after a poll that ended otherwise, and may then end a later one. */
  setPoll(ns: number): void {
    this.poll = ns;
    this.update();
  }

  /** Sets the period, 0 for none. @returns whether a tick is due at once, as the first one after a long time is */
  setPeriod(period: number, now: number): boolean {
    this.period = period;
    this.periodic = STOPPED;
    this.update();
    return this.resumePeriodic(now);
  }

  /** The vCPU leaves its processor. */
  suspendPeriodic(): void {
    this.periodic = STOPPED;
    this.update();
  }

  /** It is on one again, or its periodic timer has expired. @returns whether a tick is due */
  resumePeriodic(now: number): boolean {
    if (this.period === 0) return false;
    const isDue = now >= this.lastPeriodic + this.period;
    if (isDue) this.lastPeriodic = now;
    this.periodic = this.lastPeriodic + this.period;
    this.update();
    return isDue;
  }

  /** The one-shot timer, if it has expired, does not run any more. */
  takeSingleshot(now: number): boolean {
    if (this.singleshot > now) return false;
    this.stopSingleshot();
    return true;
  }

  takePoll(now: number): boolean {
    if (this.poll > now) return false;
    this.setPoll(STOPPED);
    return true;
  }

  takePeriodic(now: number): boolean {
    return this.periodic <= now && this.resumePeriodic(now);
  }

  /** @param watchdog from 0 */
  hasWatchdog(watchdog: number): boolean {
    return this.watchdogs[watchdog] !== STOPPED;
  }

  get hasWatchdogs(): boolean {
    return this.watchdogs.some((instant) => instant !== STOPPED);
  }

  setWatchdog(watchdog: number, ns: number): void {
    this.watchdogs[watchdog] = ns;
    this.update();
  }

  stopWatchdog(watchdog: number): void {
    this.setWatchdog(watchdog, STOPPED);
  }

  /** Whether one has expired; those that have do not run any more. */
  takeWatchdogs(now: number): boolean {
    const expired = this.watchdogs.some((instant) => instant <= now);
    for (let i = 0; expired && i < WATCHDOGS; i++) if (this.watchdogs[i] <= now) this.stopWatchdog(i);
    return expired;
  }

  snapshot(): VcpuTimersSnapshot {
    const { period, lastPeriodic } = this;
    const instant = (ns: number) => (ns === STOPPED ? -1 : ns);
    return {
      singleshot: instant(this.singleshot),
      poll: instant(this.poll),
      periodic: instant(this.periodic),
      period,
      lastPeriodic,
      watchdogs: this.watchdogs.map(instant),
    };
  }

  /** @throws RangeError for more watchdogs than there are */
  restore(snapshot: VcpuTimersSnapshot): void {
    if (snapshot.watchdogs.length !== WATCHDOGS)
      throw new RangeError(`${snapshot.watchdogs.length} watchdogs`);
    const instant = (ns: number) => (ns < 0 ? STOPPED : ns);
    this.singleshot = instant(snapshot.singleshot);
    this.poll = instant(snapshot.poll);
    this.periodic = instant(snapshot.periodic);
    this.period = snapshot.period;
    this.lastPeriodic = snapshot.lastPeriodic;
    snapshot.watchdogs.forEach((ns, i) => {
      this.watchdogs[i] = instant(ns);
    });
    this.update();
  }

  private update(): void {
    const next = Math.min(this.singleshot, this.poll, this.periodic, ...this.watchdogs);
    this.due = next === STOPPED ? STOPPED : this.clockAt(next);
  }
}
