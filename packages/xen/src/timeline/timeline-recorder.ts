import { FAST_FORWARD_PHASE } from "@hyperwalk/cpu";
import {
  CAUSES,
  type CauseName,
  type CycleLedger,
  type LedgerSnapshot,
  type PhaseWatcher,
} from "@hyperwalk/mmu";
import type {
  CauseTicks,
  TimelineHypercall,
  TimelineListener,
  TimelineSpan,
  TimelineStretch,
} from "./timeline-stretch.js";

const GUEST = "guest";
const VM_EXIT = "vm-exit";
const VM_ENTRY = "vm-entry";
/** What leads to the guest's first instruction. */
const START = "start";

/** Ticks by cause number. */
export type TicksByCause = Float64Array;

/** A span of which not everything is known yet. */
interface OpenSpan {
  readonly name: string;
  readonly phase: string;
  readonly start: number;
  readonly depth: number;
  readonly own: TicksByCause;
  end: number;
}

/**
 * Follows one ledger and tells where its clock went, in the order of time. What is charged between two changes of phase goes
 * to the cells of one node: their difference is the own time of the span on top.
 */
export class TimelineRecorder implements PhaseWatcher {
  private readonly ledger: CycleLedger;
  private readonly vcpu: number;
  private readonly listener: TimelineListener;
  /** Cells of the node on top as of the last look. */
  private readonly seen: TicksByCause = new Float64Array(CAUSES.length);
  /** Spans of the exit that is going on, the exit itself first; none while it is not known whether there is one. */
  private spans: OpenSpan[] = [];
  /** Those of them that are open. */
  private readonly stack: OpenSpan[] = [];
  /** Nothing but the guest has run since {@link enteredAt}, if anything has. */
  private mayBeGuest = true;
  private enteredAt = 0;
  private guestOwn: TicksByCause = new Float64Array(CAUSES.length);
  private exitName: string | undefined;
  private call: TimelineHypercall | undefined;
  private timestamps: number[] = [];
  private runsStage = false;
  private forwarding: { readonly since: LedgerSnapshot; readonly depth: number } | undefined;

  constructor(ledger: CycleLedger, vcpu: number, listener: TimelineListener) {
    this.ledger = ledger;
    this.vcpu = vcpu;
    this.listener = listener;
    this.startOver();
    ledger.watch(this);
  }

  entering(phase: number): void {
    if (this.runsStage || this.forwarding !== undefined) return;
    const { ledger } = this;
    const name = ledger.phaseName(phase);
    this.look();
    if (name === FAST_FORWARD_PHASE) {
      this.flush();
      this.forwarding = { since: ledger.snapshot(), depth: ledger.phaseDepth };
      return;
    }
    if (name === VM_EXIT && this.mayBeGuest) {
      this.flush();
      this.begin();
    } else this.goOn();
    this.push(name, name);
  }

  leaving(): void {
    if (this.runsStage) return;
    const { ledger, stack, forwarding } = this;
    if (forwarding !== undefined) {
      if (ledger.phaseDepth === forwarding.depth + 1) this.endFastForward(forwarding.since);
      return;
    }
    this.look();
    const span = stack.pop();
    if (span === undefined) return;
    span.end = ledger.clock[0];
    if (span.phase !== VM_ENTRY || stack.length !== 1) return;
    this.mayBeGuest = true;
    this.enteredAt = span.end;
  }

  moved(): void {
    if (this.runsStage || this.forwarding !== undefined) return;
    const { ledger, seen } = this;
    const { cells, base } = ledger;
    for (let cause = 0; cause < seen.length; cause++) seen[cause] = cells[base + cause];
  }

  /** The running exit is for this. */
  exit(name: string): void {
    this.exitName = name;
  }

  /** The running exit is this hypercall. */
  hypercall({ operation, number, result }: TimelineHypercall): void {
    this.call = { operation, number, result };
  }

  /** The guest reads the time stamp counter. */
  timestamp(): void {
    if (this.forwarding === undefined) this.timestamps.push(this.ledger.clock[0]);
  }

  /** A stage is about to run. @returns whether its parts are wanted by {@link part} */
  beginStage(): boolean {
    if (this.forwarding !== undefined) return false;
    this.look();
    this.goOn();
    this.runsStage = true;
    return true;
  }

  /** A part of the stage: it follows the one before. @param start clock in ticks @returns its end */
  part(name: string, phase: string, start: number, own: TicksByCause): number {
    const end = start + sumOf(own);
    if (end !== start) this.spans.push({ name, phase, start, depth: this.stack.length, own, end });
    return end;
  }

  endStage(): void {
    this.runsStage = false;
    this.moved();
  }

  /** Tells what is known of the stretch that is going on; what comes now is another one. */
  flush(): void {
    if (this.forwarding !== undefined) return;
    this.look();
    const { enteredAt, guestOwn } = this;
    const now = this.ledger.clock[0];
    const isEntered = this.mayBeGuest;
    const exitEnd = isEntered ? enteredAt : now;
    if (this.spans.length > 0) {
      for (const span of this.stack) span.end = exitEnd;
      this.tell("exit", this.spans, exitEnd);
    }
    if (isEntered && now > enteredAt) {
      const span = { name: GUEST, phase: GUEST, start: enteredAt, depth: 0, own: guestOwn, end: now };
      this.tell("guest", [span], now);
    }
    this.startOver();
  }

  /** The ledger's state has been replaced: what is told begins here. */
  restart(): void {
    this.timestamps = [];
    this.startOver();
  }

  private startOver(): void {
    this.spans = [];
    this.stack.length = 0;
    this.mayBeGuest = true;
    this.enteredAt = this.ledger.clock[0];
    this.guestOwn = new Float64Array(CAUSES.length);
    this.exitName = undefined;
    this.call = undefined;
    this.moved();
  }

  /** An exit begins here. */
  private begin(): void {
    this.mayBeGuest = false;
    this.push("", GUEST);
  }

  /** It was not the guest that ran since the latest VM entry, or there was none: what there is of an exit goes on. */
  private goOn(): void {
    if (!this.mayBeGuest) return;
    if (this.spans.length > 0 && this.ledger.clock[0] > this.enteredAt) this.flush();
    this.mayBeGuest = false;
    if (this.spans.length > 0) return;
    const { guestOwn, enteredAt } = this;
    this.push("", GUEST, enteredAt);
    this.part(nameOf(guestOwn), GUEST, enteredAt, guestOwn);
    this.guestOwn = new Float64Array(CAUSES.length);
  }

  private push(name: string, phase: string, start = this.ledger.clock[0]): void {
    const own = new Float64Array(CAUSES.length);
    const span: OpenSpan = { name, phase, start, depth: this.stack.length, own, end: start };
    this.spans.push(span);
    this.stack.push(span);
  }

  /** Gives what was charged since the last look to the span on top; what an exit was charged itself is a span in it. */
  private look(): void {
    const { ledger, seen, stack } = this;
    const { cells, base } = ledger;
    const isRoot = !this.mayBeGuest && stack.length === 1;
    const own = isRoot
      ? new Float64Array(seen.length)
      : this.mayBeGuest
        ? this.guestOwn
        : stack[stack.length - 1].own;
    for (let cause = 0; cause < seen.length; cause++) {
      own[cause] += cells[base + cause] - seen[cause];
      seen[cause] = cells[base + cause];
    }
    if (isRoot) this.part(nameOf(own), GUEST, ledger.clock[0] - sumOf(own), own);
  }

  private endFastForward(since: LedgerSnapshot): void {
    const { ledger } = this;
    const own = new Float64Array(CAUSES.length);
    for (const { cause, ticks } of ledger.rows(since)) own[CAUSES.indexOf(cause)] += ticks;
    const name = FAST_FORWARD_PHASE;
    const end = ledger.clock[0];
    this.forwarding = undefined;
    if (end > since.clock)
      this.tell(name, [{ name, phase: name, start: since.clock, depth: 0, own, end }], end);
    this.startOver();
  }

  private tell(kind: TimelineStretch["kind"], spans: readonly OpenSpan[], end: number): void {
    const { vcpu, timestamps, call } = this;
    const isExit = kind === "exit";
    const exit = isExit ? this.exitName : undefined;
    const name = isExit ? (call?.operation ?? exit ?? START) : spans[0].name;
    this.timestamps = timestamps.filter((at) => at > end);
    this.listener({
      vcpu,
      kind,
      exit,
      hypercall: isExit ? call : undefined,
      start: spans[0].start,
      end,
      spans: spans
        .filter((span) => span.end > span.start)
        .map((span, at) => finished(span, at === 0 ? name : span.name)),
      timestamps: timestamps.filter((at) => at <= end),
    });
  }
}

function sumOf(own: TicksByCause): number {
  let sum = 0;
  for (const amount of own) sum += amount;
  return sum;
}

/** Causes that say by themselves what went on. */
const SPEAKING: readonly CauseName[] = ["idle", "lock-wait", "l1d-flush"];

/** What time of an exit that belongs to no stage and no phase is called. */
function nameOf(own: TicksByCause): string {
  const greatest = CAUSES[own.indexOf(Math.max(...own))];
  return SPEAKING.includes(greatest) ? greatest : "access";
}

function finished({ phase, start, end, depth, own }: OpenSpan, name: string): TimelineSpan {
  const causes: CauseTicks[] = [];
  for (let cause = 0; cause < own.length; cause++)
    if (own[cause] !== 0) causes.push({ cause: CAUSES[cause], ticks: own[cause] });
  return { name, phase, start, end, depth, causes };
}
