import { type Processor, type ProcessorProfile, profileEstimates } from "@hyperwalk/cpu";
import type { CycleLedger } from "@hyperwalk/mmu";
import { EventEmitter } from "eventemitter3";
import type { ConsoleSource } from "./console.js";
import type { Domain } from "./domain.js";
import { type ExitAccount, ExitAccounting, together } from "./exit-accounting.js";
import { type FastForward, type FastForwardTarget, resolveTarget } from "./fast-forward.js";
import { exitName } from "./host/exit-name.js";
import type { Pcpu } from "./host/pcpu.js";
import type { RunOutcome } from "./host/run-outcome.js";
import type { VmExitEvent } from "./host/vcpu-loop.js";
import type { HypercallEvent } from "./host/xen/hypercall-handler.js";
import type {
  GuestCopyEvent,
  HypercallBeginEvent,
  HypercallObserver,
  MulticallEntryEvent,
} from "./hypercall-observer.js";
import { type MeasuredWindow, type SystemCounters, sumOf, WindowRecorder } from "./measured-window.js";
import type { StageEstimate } from "./path-cost/stage-path-cost.js";

/** Cycles that a run may take when the caller names no budget. */
export const DEFAULT_MAX_CYCLES = 20e9;

/** Budgets of one {@link GuestSystem.run}; the first that is used up ends it. */
export interface RunBudget {
  /** Guest instructions; default unlimited. */
  readonly maxInstructions?: number | undefined;
  /** Cycles from now on; default {@link DEFAULT_MAX_CYCLES}. */
  readonly maxCycles?: number | undefined;
}

/** What {@link GuestSystem.on} tells. Objects are valid only during the call. */
export interface GuestSystemEvents {
  "vm-exit": [VmExitEvent];
  hypercall: [HypercallEvent];
  /** Before `hypercall`, and before each `multicall-entry`: what the guest asks for. Xen alone. */
  "hypercall-begin": [HypercallBeginEvent];
  "multicall-entry": [MulticallEntryEvent];
  /** Any copy between Xen and guest memory that a guest's address names, within hypercalls and outside. Xen alone. */
  "guest-copy": [GuestCopyEvent];
  /** Text that the guest printed, in order; the bytes are valid only during the call. */
  console: [ConsoleSource, Uint8Array];
  shutdown: [RunOutcome];
}

/** What needs an observer. */
const OBSERVED = ["hypercall-begin", "multicall-entry", "guest-copy"] as const;

/** A vCPU of a system, on the physical CPU that it is pinned to. */
export interface SystemVcpu {
  readonly pcpu: Pcpu;
  /** Exits and hypercalls of this vCPU, while they are counted. */
  accounting: ExitAccounting | undefined;
  /** Keeps accounts in `accounting`, or none. */
  account(accounting: ExitAccounting | undefined): void;
  /** Totals of this vCPU and its physical CPU. */
  counters(): SystemCounters;
}

/** Those who are told of exits and hypercalls; undefined: nobody is. */
export interface SystemListeners {
  readonly onExit: ((event: VmExitEvent) => void) | undefined;
  readonly onHypercall: ((event: HypercallEvent) => void) | undefined;
  readonly observer: HypercallObserver | undefined;
}

/**
 * A simulated machine with a hypervisor and one guest: what is the same whichever hypervisor it is. Nothing is shared between
 * two systems; the same options give the same bytes. What has no number in its name is vCPU 0's.
 */
export abstract class GuestSystem {
  abstract readonly processor: Processor;
  abstract readonly ledger: CycleLedger;
  abstract readonly domain: Domain;
  /** All vCPUs by number, with their processors. */
  abstract readonly vcpus: readonly SystemVcpu[];
  protected abstract readonly profile: ProcessorProfile;
  protected recorder: WindowRecorder | undefined;
  protected forwarded: { instructions: number; cycles: number } = { instructions: 0, cycles: 0 };
  private readonly events = new EventEmitter<GuestSystemEvents>();

  /** Runs the guest until it ends or a budget is used up. May be called again after `budget`. */
  abstract run(budget?: RunBudget): RunOutcome;

  /** Simulated time since the domain was built, in cycles: that of the processor that is furthest. */
  abstract readonly cycles: number;

  /**
   * Runs the guest with timing off until a target is reached: the same architectural state, without caches, TLBs, branch
   * prediction and hypervisor lines, which stay as they are. Simulated time passes by fixed costs alone, in a ledger phase
   * of its own (`fast-forward`); neither {@link window} nor the exit accounts take any of it in. Guests that read the time
   * or are interrupted by timers see that other time.
   * @throws RangeError for a target that makes no sense
   */
  fastForward(target: FastForwardTarget, budget: RunBudget = {}): FastForward {
    const { marker, address, instructions } = resolveTarget(target);
    const { maxInstructions = Number.MAX_SAFE_INTEGER } = budget;
    const { vcpus } = this;
    const processors = vcpus.map(({ pcpu }) => pcpu.processor);
    const { probes } = this.processor;
    const instructionsBefore = this.guestInstructions;
    const cyclesBefore = this.cycles;
    this.recorder?.interrupt();
    const { onTimestamp } = probes;
    probes.onTimestamp = undefined;
    for (const vcpu of vcpus) vcpu.account(undefined);
    for (const processor of processors) {
      processor.setTimed(false);
      processor.stopAt(marker, address);
    }
    try {
      const outcome = this.run({ ...budget, maxInstructions: Math.min(instructions, maxInstructions) });
      const ran = this.guestInstructions - instructionsBefore;
      const cycles = this.cycles - cyclesBefore;
      this.forwarded = {
        instructions: this.forwarded.instructions + ran,
        cycles: this.forwarded.cycles + cycles,
      };
      const ended =
        outcome.reason !== "budget"
          ? "outcome"
          : (processors.find(({ stopPoint }) => stopPoint.reached)?.stopPoint.reached ??
            (ran >= instructions ? "instructions" : "outcome"));
      return { ended, ...(ended === "outcome" ? { outcome } : {}), instructions: ran, cycles };
    } finally {
      for (const processor of processors) {
        processor.stopNowhere();
        processor.setTimed(true);
      }
      for (const vcpu of vcpus) vcpu.account(vcpu.accounting);
      probes.onTimestamp = onTimestamp;
    }
  }

  /** What all fast-forwards together ran: guest instructions, and simulated cycles that are no timed ones. */
  get fastForwarded(): { readonly instructions: number; readonly cycles: number } {
    return this.forwarded;
  }

  /** What the guest printed: PV console ring or console_io, else Xen's debug port. */
  get console(): string {
    return this.domain.console.text;
  }

  /** Totals since the system was made, of all vCPUs. */
  counters(): SystemCounters {
    return this.vcpus.map((vcpu) => vcpu.counters()).reduce(sumOf);
  }

  /** The interval between two consecutive RDTSCs of vCPU 0 that held most of its hypercalls. */
  get window(): MeasuredWindow | undefined {
    return this.recorder?.window;
  }

  /** Exits by reason with their cycles, most first, of all vCPUs; empty without `accounting`. */
  exitAccounts(): readonly ExitAccount[] {
    const { vendor } = this.profile;
    return this.accounts((accounting) => accounting.exitAccounts((code) => exitName(vendor, code)));
  }

  /** The same by hypercall; their cycles are part of those of the exits that they are. */
  hypercallAccounts(): readonly ExitAccount[] {
    return this.accounts((accounting) => accounting.hypercallAccounts());
  }

  /** Everything that results rest on and nobody measured: numbers of the profile, and stages that ran. */
  estimates(): readonly StageEstimate[] {
    const stages = new Map<string, StageEstimate>();
    for (const { pcpu } of this.vcpus)
      for (const estimate of pcpu.cost.estimates())
        if (!stages.has(estimate.key)) stages.set(estimate.key, estimate);
    return [...profileEstimates(this.profile), ...this.furtherEstimates(), ...stages.values()];
  }

  /** Listens. Without listeners events cost nothing. */
  on<E extends keyof GuestSystemEvents>(event: E, listener: (...args: GuestSystemEvents[E]) => void): this {
    this.events.on(event, listener as never);
    this.connect();
    return this;
  }

  off<E extends keyof GuestSystemEvents>(event: E, listener: (...args: GuestSystemEvents[E]) => void): this {
    this.events.off(event, listener as never);
    this.connect();
    return this;
  }

  /** Estimates of what only some systems have. */
  protected furtherEstimates(): readonly StageEstimate[] {
    return [];
  }

  /** Has every vCPU tell these listeners. */
  protected abstract tell(listeners: SystemListeners): void;

  /** Keeps accounts and watches RDTSCs from now on, if asked to. */
  protected observe(accounting: boolean, measureWindow: boolean): void {
    const { vcpus } = this;
    if (accounting)
      for (const vcpu of vcpus) {
        vcpu.accounting = new ExitAccounting();
        vcpu.account(vcpu.accounting);
      }
    if (measureWindow) {
      const recorder = new WindowRecorder(this.processor.ledger, () => vcpus[0].counters());
      this.processor.probes.onTimestamp = (timestamp) => recorder.onTimestamp(timestamp);
      this.recorder = recorder;
    }
    if (vcpus[0].pcpu.recorder !== undefined) this.recordTimeline();
  }

  /**
   * Tells the listener of `timeline` what is going on: with that every tick of every vCPU's clock has been told. A run may go
   * on after it, in a stretch of its own. Without a listener it does nothing.
   */
  endTimeline(): void {
    for (const { pcpu } of this.vcpus) pcpu.recorder?.flush();
  }

  protected tellOutcome(outcome: RunOutcome): void {
    if (outcome.reason !== "budget" && this.events.listenerCount("shutdown") > 0)
      this.events.emit("shutdown", outcome);
  }

  /** Tells the recorders what the ledgers do not know: what exits were for, and when the guest read the time. */
  private recordTimeline(): void {
    const { vcpus } = this;
    let running = vcpus[0].pcpu.recorder;
    this.on("vm-exit", ({ vcpu, name }) => {
      running = vcpus[vcpu].pcpu.recorder;
      running?.exit(name);
    });
    this.on("hypercall", (event) => running?.hypercall(event));
    for (const { pcpu } of vcpus) {
      const { probes } = pcpu.processor;
      const { onTimestamp } = probes;
      probes.onTimestamp = (timestamp) => {
        onTimestamp?.(timestamp);
        pcpu.recorder?.timestamp();
      };
    }
  }

  private get guestInstructions(): number {
    return this.vcpus.reduce((sum, { pcpu }) => sum + pcpu.processor.engine.instructions, 0);
  }

  private accounts(of: (accounting: ExitAccounting) => readonly ExitAccount[]): readonly ExitAccount[] {
    const each = this.vcpus.map(({ accounting, pcpu }) => {
      accounting?.settle(pcpu.ledger.clock[0]);
      return accounting === undefined ? [] : of(accounting);
    });
    return each.length === 1 ? each[0] : together(each.flat());
  }

  private connect(): void {
    const { events } = this;
    this.tell({
      onExit:
        events.listenerCount("vm-exit") > 0
          ? (event: VmExitEvent) => events.emit("vm-exit", event)
          : undefined,
      onHypercall:
        events.listenerCount("hypercall") > 0
          ? (event: HypercallEvent) => events.emit("hypercall", event)
          : undefined,
      observer: OBSERVED.some((name) => events.listenerCount(name) > 0)
        ? {
            onBegin: (event) => events.emit("hypercall-begin", event),
            onEntry: (event) => events.emit("multicall-entry", event),
            onCopy: (event) => events.emit("guest-copy", event),
          }
        : undefined,
    });
    this.domain.console.onText =
      events.listenerCount("console") > 0
        ? (source, bytes) => events.emit("console", source, bytes)
        : undefined;
  }
}
