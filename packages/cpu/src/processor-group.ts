import { Cause, ticks } from "@hyperwalk/mmu";
import {
  type ApicBus,
  type InterruptMessage,
  InterruptMessages,
  type LocalApic,
  routeCommand,
} from "./apic/index.js";
import { Activity, Attention, Flag, State } from "./cpu-state.js";
import { StopReason } from "./execution-engine.js";
import { Processor, type ProcessorOptions } from "./processor.js";
import { ALL_DONE, NOBODY, TurnOrder } from "./turn-order.js";

/** What a {@link ProcessorGroup} is made with. */
export interface ProcessorGroupOptions extends Omit<ProcessorOptions, "apicId" | "bootstrap"> {
  /** 1 to 254; APIC IDs count from 0. */
  readonly count: number;
  /** Cycles that one processor may run ahead of the slowest one that has work; default 1000. */
  readonly slice?: number;
}

/** How a run of the group ended. */
export interface GroupStop {
  /** A `StopReason` number; `Halted` when no processor has anything left to wait for. */
  readonly reason: number;
  /** Number of the processor that stopped it; -1 for budgets and `Halted`. */
  readonly processor: number;
}

/** A group's own state as plain data; processors, memory and APICs are snapshots of their own. */
export interface ProcessorGroupSnapshot {
  readonly messages: readonly InterruptMessage[];
}

const DEFAULT_SLICE = 1000;
const MAX_PROCESSORS = 254;
/** The engine's reasons after which another processor, or the same one, goes on. */
const GOES_ON: ReadonlySet<number> = new Set([
  StopReason.Budget,
  StopReason.Halted,
  StopReason.Requested,
  StopReason.ArenaLow,
]);

/**
 * Logical processors over one memory, run in turns by simulated time on one thread: always the one whose clock is
 * furthest behind (on a tie the lower number), until it is a slice ahead of the next. Interrupt messages carry the
 * sender's time and arrive at exactly that time on a target whose clock is behind, otherwise before its next
 * instruction; a processor that sleeps is woken at the message's time. The order depends on nothing but the guest.
 *
 * Application processors wait for INIT and SIPI. Each processor has caches, TLBs and a ledger of its own; lines that
 * another one writes are not taken away.
 */
export class ProcessorGroup implements ApicBus {
  readonly processors: readonly Processor[];
  private readonly turns: TurnOrder;
  private readonly messages = new InterruptMessages();
  private running = 0;
  private readonly deliver = (target: LocalApic, mode: number, vector: number, level: boolean): void => {
    this.post(target, mode, vector, level);
  };

  /** @throws RangeError for a count that APIC IDs do not allow */
  constructor(options: ProcessorGroupOptions) {
    const { count, slice = DEFAULT_SLICE, ...shared } = options;
    if (!Number.isInteger(count) || count < 1 || count > MAX_PROCESSORS)
      throw new RangeError(`${count} processors: allowed are 1 to ${MAX_PROCESSORS}`);
    if (!(slice >= 1)) throw new RangeError(`slice of ${slice} cycles: allowed is 1 or more`);
    const first = new Processor({ ...shared, apicId: 0 });
    const others = Array.from(
      { length: count - 1 },
      (_, i) => new Processor({ ...shared, memory: first.memory, apicId: i + 1 }),
    );
    this.processors = [first, ...others];
    this.turns = new TurnOrder(
      this.processors.map((_, number) => ({ readyAt: () => this.readyAt(number) })),
      ticks(slice),
    );
    for (const { apic, state } of this.processors) {
      apic.bus = this;
      if (apic.id !== 0) state.words[State.Activity] = Activity.WaitForSipi;
    }
  }

  send(source: LocalApic, lo: number, destination: number): void {
    routeCommand(
      this.processors.map(({ apic }) => apic),
      source,
      lo,
      destination,
      this.deliver,
    );
  }

  /**
   * Runs until one of them stops for a reason of its own, all of them wait for ever, or a budget is used up.
   * @param maxInstructions of all together @param maxTicks clock that no processor runs beyond, but for its last block
   */
  run(maxInstructions: number, maxTicks: number): GroupStop {
    let left = maxInstructions;
    for (;;) {
      const number = this.turns.next(maxTicks);
      if (number === NOBODY) return { reason: StopReason.Halted, processor: -1 };
      if (number === ALL_DONE || left <= 0) return { reason: StopReason.Budget, processor: -1 };
      const processor = this.processors[number];
      this.running = number;
      this.receive(number);
      const before = processor.engine.instructions;
      const reason = processor.engine.run(left, this.until(number, maxTicks));
      left -= processor.engine.instructions - before;
      if (!GOES_ON.has(reason)) return { reason, processor: number };
    }
  }

  snapshot(): ProcessorGroupSnapshot {
    return { messages: this.messages.snapshot() };
  }

  restore(snapshot: ProcessorGroupSnapshot): void {
    this.messages.restore(snapshot.messages);
  }

  /** Ledger clock at which a processor has something to do; infinity when it waits for others. */
  private readyAt(number: number): number {
    const { ledger, state, apic } = this.processors[number];
    const { words } = state;
    const now = ledger.clock[0];
    if (words[State.Activity] === Activity.Running) return now;
    if (words[State.PendingSignals] !== 0) return now;
    let time = this.messages.first(number);
    if (words[State.Activity] === Activity.Halted) {
      if (words[State.NmiPending] !== 0 && words[State.NmiBlocked] === 0) return now;
      if ((words[State.Flags] & Flag.If) !== 0) {
        if (apic.pending >= 0) return now;
        if (apic.timerCanInterrupt) time = Math.min(time, apic.due);
      }
    }
    return Math.max(time, now);
  }

  /** Lets a sleeper's time pass up to what wakes it, and hands over the messages that have arrived. */
  private receive(number: number): void {
    const { ledger, state, apic } = this.processors[number];
    const ready = this.readyAt(number);
    if (state.words[State.Activity] !== Activity.Running && ready > ledger.clock[0])
      ledger.charge(Cause.Idle, ready - ledger.clock[0]);
    this.messages.receive(number, ledger.clock[0], ({ mode, vector, level }) =>
      apic.accept(mode, vector, level),
    );
  }

  /** How far it may run: to the next message of its own, and a slice beyond the next of the others. */
  private until(number: number, maxTicks: number): number {
    return Math.min(maxTicks, this.turns.until(number), this.messages.first(number));
  }

  /** A command reaches its target: the sender itself at once, others through their message queue. */
  private post(target: LocalApic, mode: number, vector: number, level: boolean): void {
    const sender = this.processors[this.running];
    if (target === sender.apic) {
      target.accept(mode, vector, level);
      return;
    }
    const number = this.processors.findIndex(({ apic }) => apic === target);
    this.messages.post({ at: sender.ledger.clock[0], target: number, mode, vector, level });
    // Whoever was asleep may have something to do before the sender's slice is over.
    sender.state.words[State.Attention] |= Attention.Stop;
  }
}
