import type { CycleLedger, LedgerRow, LedgerSnapshot } from "@hyperwalk/mmu";

/** Running totals of a system; the difference of two is a window's. */
export interface SystemCounters {
  readonly hypercalls: number;
  readonly vmExits: number;
  readonly hypervisorInstructions: number;
  /** Retired ones: what leaves the guest, a hypercall among others, has not. */
  readonly guestInstructions: number;
  readonly p2mLookups: number;
  readonly pageReferences: number;
  readonly p2mTableReads: number;
  readonly guestPteReads: number;
  readonly copiesFromGuest: number;
  readonly copiesToGuest: number;
  readonly bytesCopied: number;
  readonly accessedDirtyUpdates: number;
}

/** The interval between two consecutive RDTSCs of the guest that held most hypercalls. */
export interface MeasuredWindow {
  /** Ledger cycles between the two reads: an integer, because RDTSC completes the running cycle. */
  readonly cycles: number;
  /** What the guest saw: the second timestamp less the first. */
  readonly tscDifference: number;
  readonly hypercalls: number;
  readonly counters: SystemCounters;
  /** Ledger cells of exactly this interval; they sum to `cycles`. */
  readonly rows: readonly LedgerRow[];
}

/** What is known at one RDTSC. */
export interface Instant {
  ledger: LedgerSnapshot;
  cycles: number;
  timestamp: number;
  counters: SystemCounters;
}

/** What a recorder has seen, as plain data: its instants, and which of them is which; -1: none. */
export interface WindowRecorderSnapshot {
  readonly instants: readonly Readonly<Instant>[];
  readonly last: number;
  readonly bestStart: number;
  readonly bestEnd: number;
}

/** Watches the guest's RDTSCs and keeps the interval with most hypercalls. */
export class WindowRecorder {
  private readonly ledger: CycleLedger;
  private readonly counters: () => SystemCounters;
  private last: Instant | undefined;
  private bestStart: Instant | undefined;
  private bestEnd: Instant | undefined;
  private spare: LedgerSnapshot | undefined;

  constructor(ledger: CycleLedger, counters: () => SystemCounters) {
    this.ledger = ledger;
    this.counters = counters;
  }

  /** The guest reads the time stamp counter; the ledger stands at a whole cycle. @param timestamp what it reads */
  onTimestamp(timestamp: number): void {
    const counters = this.counters();
    const { last } = this;
    const isBest =
      last !== undefined &&
      counters.hypercalls - last.counters.hypercalls >
        (this.bestEnd && this.bestStart
          ? this.bestEnd.counters.hypercalls - this.bestStart.counters.hypercalls
          : 0);
    const now: Instant = {
      ledger: this.ledger.snapshot(isBest ? undefined : this.reusable()),
      cycles: this.ledger.cycles,
      timestamp,
      counters,
    };
    if (isBest) {
      this.bestStart = last;
      this.bestEnd = now;
    }
    this.last = now;
  }

  /** What comes now is not measured: no interval reaches over this moment. */
  interrupt(): void {
    this.last = undefined;
  }

  /** The best interval so far; undefined before the second RDTSC, or when no interval held a hypercall. */
  get window(): MeasuredWindow | undefined {
    const { bestStart, bestEnd } = this;
    if (bestStart === undefined || bestEnd === undefined) return undefined;
    const counters = difference(bestEnd.counters, bestStart.counters);
    return {
      cycles: bestEnd.cycles - bestStart.cycles,
      tscDifference: bestEnd.timestamp - bestStart.timestamp,
      hypercalls: counters.hypercalls,
      counters,
      rows: this.ledger.rows(bestStart.ledger, bestEnd.ledger),
    };
  }

  snapshot(): WindowRecorderSnapshot {
    const { last, bestStart, bestEnd } = this;
    const kept = [...new Set([last, bestStart, bestEnd])].filter((instant) => instant !== undefined);
    const number = (instant: Instant | undefined) => (instant === undefined ? -1 : kept.indexOf(instant));
    return {
      instants: kept.map((instant) => ({
        ...instant,
        ledger: { clock: instant.ledger.clock, cells: instant.ledger.cells.slice() },
      })),
      last: number(last),
      bestStart: number(bestStart),
      bestEnd: number(bestEnd),
    };
  }

  restore(snapshot: WindowRecorderSnapshot): void {
    const instants = snapshot.instants.map((instant) => ({
      ...instant,
      ledger: { clock: instant.ledger.clock, cells: instant.ledger.cells.slice() },
    }));
    this.last = instants[snapshot.last];
    this.bestStart = instants[snapshot.bestStart];
    this.bestEnd = instants[snapshot.bestEnd];
    this.spare = undefined;
  }

  /** A snapshot's buffer that nobody needs any more. */
  private reusable(): LedgerSnapshot | undefined {
    const { last } = this;
    const kept = last === undefined || last === this.bestEnd || last === this.bestStart;
    const { spare } = this;
    this.spare = kept ? undefined : last.ledger;
    return spare;
  }
}

/** @returns a + b, counter by counter */
export function sumOf(a: SystemCounters, b: SystemCounters): SystemCounters {
  const keys = Object.keys(a) as (keyof SystemCounters)[];
  return Object.fromEntries(keys.map((key) => [key, a[key] + b[key]])) as unknown as SystemCounters;
}

/** @returns end − start, counter by counter */
export function difference(end: SystemCounters, start: SystemCounters): SystemCounters {
  const keys = Object.keys(end) as (keyof SystemCounters)[];
  return Object.fromEntries(keys.map((key) => [key, end[key] - start[key]])) as unknown as SystemCounters;
}
