import { Cause, type CycleLedger } from "@hyperwalk/mmu";

/** How a lock is held: beside other readers, or alone. */
export const LockMode = { Shared: 0, Exclusive: 1 } as const;

/** Intervals that are remembered of each processor; older ones are long past for all others. */
const DEPTH = 1024;

/** One interval of one processor, in ledger ticks: from its arrival at the lock to its release. */
export interface LockInterval {
  readonly processor: number;
  readonly from: number;
  readonly until: number;
  readonly mode: number;
}

/** A lock as plain data. */
export interface LockSnapshot {
  readonly intervals: readonly LockInterval[];
  /** Ticks by processor. */
  readonly owed: readonly number[];
}

/** Which processor runs Xen's code now. */
export interface RunningProcessor {
  readonly processor: number;
  readonly ledger: CycleLedger | undefined;
}

/** A processor's latest intervals, disjoint and in the order of time. */
class Intervals {
  readonly from = new Float64Array(DEPTH);
  readonly until = new Float64Array(DEPTH);
  readonly mode = new Uint8Array(DEPTH);
  /** Number of the next one; number n is at n modulo the depth. */
  next = 0;

  add(from: number, until: number, mode: number): void {
    const at = this.next++ % DEPTH;
    this.from[at] = from;
    this.until[at] = until;
    this.mode[at] = mode;
  }

  /** Start of the first interval after a time that keeps this mode out, or infinity. */
  firstAfter(time: number, mode: number): number {
    let first = Number.POSITIVE_INFINITY;
    for (let n = this.next - 1; n >= 0 && n >= this.next - DEPTH && this.from[n % DEPTH] > time; n--)
      if (mode === LockMode.Exclusive || this.mode[n % DEPTH] === LockMode.Exclusive)
        first = this.from[n % DEPTH];
    return first;
  }

  /** Place of the interval that has `time` in it, or -1. */
  at(time: number): number {
    let low = Math.max(0, this.next - DEPTH);
    let high = this.next;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.until[middle % DEPTH] > time) high = middle;
      else low = middle + 1;
    }
    const place = low % DEPTH;
    return low < this.next && this.from[place] <= time ? place : -1;
  }
}

/**
 * A lock of Xen's between processors whose clocks are their own: a ticket spinlock, or a reader-writer lock. What runs on one
 * thread cannot find a lock taken; instead each processor leaves the interval of simulated time in which it waited for and
 * held the lock, and who arrives inside another's interval waits until its end (`lock-wait` in the ledger). Readers do not wait
 * for readers. An interval begins with the arrival, as tickets are served in that order and as waiting writers stop new
 * readers.
 *
 * The wait of the processor that is simulated later is exact, given what the others did. One that was simulated first may turn
 * out to have arrived while another was there already: it owes that wait, and pays it when it takes the lock the next time.
 * What it did meanwhile stays where it was, so that a wait may come late by one turn of the scheduler and the hypercall in
 * which that ended, and what is owed at the end of a run is never paid.
 */
export class SimulatedLock {
  private readonly running: RunningProcessor;
  private readonly held: (Intervals | undefined)[] = [];
  /** Ticks by processor that it should have waited before. */
  private readonly owed: number[] = [];
  private depth = 0;
  private from = 0;
  private mode: number = LockMode.Shared;

  constructor(running: RunningProcessor) {
    this.running = running;
  }

  /** Takes the lock, at once if this processor holds it already. The wait is charged to the ledger's present phase. */
  acquire(mode: number): void {
    if (this.depth++ > 0) return;
    const { ledger, processor } = this.running;
    if (ledger === undefined) return;
    const debt = this.owed[processor] ?? 0;
    if (debt > 0) {
      this.owed[processor] = 0;
      ledger.charge(Cause.LockWait, debt);
    }
    const arrival = ledger.clock[0];
    const free = this.freeAt(arrival, mode);
    if (free > arrival) ledger.charge(Cause.LockWait, free - arrival);
    this.from = arrival;
    this.mode = mode;
  }

  release(): void {
    if (--this.depth > 0) return;
    const { ledger, processor } = this.running;
    if (ledger === undefined || ledger.clock[0] === this.from) return;
    let own = this.held[processor];
    if (own === undefined) {
      own = new Intervals();
      this.held[processor] = own;
    }
    own.add(this.from, ledger.clock[0], this.mode);
    this.delayOthers(processor, ledger.clock[0]);
  }

  /** Those who were simulated already, and arrived after this one in its interval. */
  private delayOthers(processor: number, until: number): void {
    const { from, mode } = this;
    for (let other = 0; other < this.held.length; other++) {
      const intervals = this.held[other];
      if (other === processor || intervals === undefined) continue;
      // Only the first of its arrivals: the wait moves the others past the end.
      const arrival = intervals.firstAfter(from, mode);
      if (arrival < until) this.owed[other] = (this.owed[other] ?? 0) + until - arrival;
    }
  }

  /** @param now nobody will arrive before */
  snapshot(now: number): LockSnapshot {
    return { intervals: this.intervalsAfter(now), owed: Array.from(this.owed, (ticks) => ticks ?? 0) };
  }

  /** Intervals that end after a time. */
  intervalsAfter(time: number): LockInterval[] {
    const found: LockInterval[] = [];
    this.held.forEach((own, processor) => {
      if (own === undefined) return;
      for (let n = Math.max(0, own.next - DEPTH); n < own.next; n++) {
        const at = n % DEPTH;
        const until = own.until[at];
        if (until > time) found.push({ processor, from: own.from[at], until, mode: own.mode[at] });
      }
    });
    return found;
  }

  /** @throws RangeError for intervals that a processor cannot have left */
  restore({ intervals, owed }: LockSnapshot, processors: number): void {
    if (owed.length > processors || !owed.every((ticks) => ticks >= 0 && ticks < Number.POSITIVE_INFINITY))
      throw new RangeError("waits that cannot be owed");
    this.owed.splice(0, this.owed.length, ...owed);
    this.held.length = 0;
    for (const { processor, from, until, mode } of intervals) {
      const own = this.held[processor] ?? new Intervals();
      const last = own.next === 0 ? 0 : own.until[(own.next - 1) % DEPTH];
      const isProcessor = Number.isInteger(processor) && processor >= 0 && processor < processors;
      if (!isProcessor || !(from >= last && until > from) || (mode !== 0 && mode !== 1))
        throw new RangeError("a lock was held by nobody, or backwards in time");
      own.add(from, until, mode);
      this.held[processor] = own;
    }
  }

  private freeAt(arrival: number, mode: number): number {
    const { processor } = this.running;
    let time = arrival;
    for (let moved = true; moved; ) {
      moved = false;
      for (let other = 0; other < this.held.length; other++) {
        const intervals = this.held[other];
        if (other === processor || intervals === undefined) continue;
        const at = intervals.at(time);
        if (at < 0 || (mode === LockMode.Shared && intervals.mode[at] === LockMode.Shared)) continue;
        time = intervals.until[at];
        moved = true;
      }
    }
    return time;
  }
}
