import { ExitKind, Flag, type Processor, StopReason, type VmExit } from "@hyperwalk/cpu";
import { Cause, FRAME_BYTES, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { Domain } from "../domain.js";
import type { ExitAccounting } from "../exit-accounting.js";
import type { HypervisorCounters } from "../hypervisor-counters.js";
import type { StagePathCost } from "../path-cost/stage-path-cost.js";
import type { Vcpu } from "../vcpu.js";
import { engineStop, ripInProcessor } from "./engine-stop.js";
import { exitName } from "./exit-name.js";
import type { GuestRegisters } from "./guest-registers.js";
import type { Hypervisor } from "./hypervisor.js";
import { type RunOutcome, SHUTDOWN_REASONS } from "./run-outcome.js";
import type { ShadowControl } from "./shadow-control.js";
import type { TurnEnd, TurnHost } from "./vcpu-turns.js";
import type { VirtualInterrupts } from "./xen/virtual-interrupts.js";

/** What a vCPU waits for in HLT, and one that is down. */
export const HLT = "HLT";
export const COMING_UP = "VCPUOP_up or SIPI";

/** What others ask of a vCPU; it is done when the vCPU is out of its guest. A SIPI's vector is in bits 15:8. */
export const Request = { EventCheck: 1, Flush: 2, FlushSecondStage: 4, Init: 8, StartUp: 16 } as const;
const VECTOR_SHIFT = 8;

/** Vector of the SIPI in requests. */
export function startUpVector(requests: number): number {
  return (requests >>> VECTOR_SHIFT) & 0xff;
}

/** What a vCPU does when INIT and SIPI come. */
export interface VcpuReset {
  reset(): void;
  startUp(vector: number): void;
}

/** One VM exit as listeners see it; valid only during the call. */
export interface VmExitEvent {
  readonly exit: Readonly<VmExit>;
  /** The reason in the words of the vendor's manual. */
  readonly name: string;
  /** Guest's cycle count when it left off. */
  readonly cycle: number;
  /** Guest RIP as a hexadecimal number. */
  readonly rip: string;
  /** Number of the vCPU. */
  readonly vcpu: number;
}

/** Where the loop around a vCPU is, as plain data. */
export interface VcpuLoopSnapshot {
  /** The guest is on hold inside the processor, or about to be entered. */
  readonly ready: boolean;
  readonly ended: RunOutcome | undefined;
  /** What the vCPU sleeps in; empty while it does not. */
  readonly waitsFor: string;
  /** The guest is to leave once it can take an interrupt. */
  readonly windowWanted: boolean;
  /** It is to leave again after one instruction. */
  readonly stepsOverIret: boolean;
  /** Bits of `Request`. */
  readonly requests: number;
}

/** What a loop around a vCPU is made from, whosever it is. */
export interface VcpuLoopOptions {
  readonly processor: Processor;
  readonly domain: Domain;
  readonly vcpu: Vcpu;
  readonly control: ShadowControl;
  readonly cost: StagePathCost;
  readonly counters: HypervisorCounters;
  readonly interrupts: VirtualInterrupts;
  /** Undefined for the only vCPU, which nobody wakes. */
  readonly others: VcpuReset | undefined;
}

/**
 * A hypervisor's loop around one vCPU, as far as it is the same whichever hypervisor it is: budgets, timers, sleep, and when the
 * guest is entered. What is done between an exit and the next entry is the hypervisor's own.
 */
export abstract class VcpuLoop implements Hypervisor, TurnHost {
  /** Told about every exit while set. */
  onExit: ((event: VmExitEvent) => void) | undefined;
  /** Told about every exit while set. */
  accounting: ExitAccounting | undefined;
  turnIsOver = false;
  protected readonly processor: Processor;
  protected readonly domain: Domain;
  protected readonly vcpu: Vcpu;
  protected readonly control: ShadowControl;
  protected readonly registers: GuestRegisters;
  protected readonly cost: StagePathCost;
  protected readonly counters: HypervisorCounters;
  protected readonly interrupts: VirtualInterrupts;
  protected readonly others: VcpuReset | undefined;
  protected readonly isAmd: boolean;
  /** The guest is on hold inside the processor, or about to be entered: nothing of the hypervisor's is left to run. */
  protected ready = false;
  protected ended: RunOutcome | undefined;
  /** The guest leaves again after one instruction, for an NMI that waits: what virtual NMIs do without. */
  protected stepsOverIret = false;
  /** What the vCPU sleeps in; empty while it does not. */
  protected waitsFor = "";
  /** Bits of `Request`. */
  protected requests = 0;
  /** Somebody else is in the middle of a hypercall for the vCPU, which {@link goOnWithCall} goes on with. */
  protected inCall = false;
  /** Vector of the processor's own timer, and of what tells it to look. */
  private readonly timerVector: number;
  protected readonly checkVector: number;
  /** Moves RIP past an instruction. */
  protected skipStage = 0;

  /** @param vectors of the physical interrupts */
  constructor(options: VcpuLoopOptions, vectors: { readonly timer: number; readonly check: number }) {
    const { control } = options;
    this.processor = options.processor;
    this.domain = options.domain;
    this.vcpu = options.vcpu;
    this.control = control;
    this.registers = control.registers;
    this.cost = options.cost;
    this.counters = options.counters;
    this.interrupts = options.interrupts;
    this.others = options.others;
    this.isAmd = control.hardware.vendor === "amd";
    this.timerVector = vectors.timer;
    this.checkVector = vectors.check;
    if (options.vcpu.down) this.waitsFor = COMING_UP;
  }

  run(maxInstructions: number, untilTicks: number): RunOutcome {
    const end = this.turn(maxInstructions, untilTicks);
    if (typeof end === "object") return end;
    return end === "asleep" ? this.halted(this.waitsFor) : this.outOfBudget(end);
  }

  /**
   * One vCPU's turn among several: {@link run} without a report on how it came to its end.
   * @returns how the guest ended, or why it goes on later
   */
  turn(maxInstructions: number, untilTicks: number): RunOutcome | TurnEnd {
    if (this.ended !== undefined) return this.ended;
    const { processor, control } = this;
    const { engine, memory, ledger } = processor;
    const limit = engine.instructions + maxInstructions;
    for (;;) {
      if (ledger.clock[0] >= untilTicks || this.turnIsOver) return "cycles";
      const left = limit - engine.instructions;
      if (left <= 0) return "instructions";
      if (this.inCall) {
        const outcome = this.goOnWithCall();
        if (outcome !== undefined) return this.end(outcome);
        continue;
      }
      if (this.requests !== 0 && !this.ready) {
        this.attend();
        if (this.domain.shutdownReason >= 0) return this.end(this.shutdown());
      }
      if (this.waitsFor !== "" && !this.wait(untilTicks)) {
        if (this.ended !== undefined) return this.ended;
        if (this.others !== undefined && !this.canBeWoken(this.waitsFor)) return "asleep";
        continue;
      }
      if (!this.ready) this.returnToGuest();
      if (memory.arena.free < memory.headroom * FRAME_BYTES) memory.grow();
      // Without a timer nothing asks for the number, which V8 would allocate to pass it on.
      const due = this.interrupts.timerRuns ? this.interrupts.due : untilTicks;
      // biome-ignore lint/complexity/useMathMinMax: its result is a new number, which V8 would allocate to pass it on
      const exit = control.hardware.enter(this.stepsOverIret ? 1 : left, due < untilTicks ? due : untilTicks);
      const stopped = exit.kind === ExitKind.EngineStop;
      if (stopped && exit.stop === StopReason.Budget) {
        if (this.stepsOverIret) {
          this.stepsOverIret = false;
          control.interruptGuest(this.timerVector);
          continue;
        }
        if (ledger.clock[0] < due || ledger.clock[0] >= untilTicks)
          return ledger.clock[0] >= untilTicks ? "cycles" : "instructions";
        control.interruptGuest(this.timerVector);
        continue;
      }
      if (stopped && exit.stop === StopReason.Requested && processor.stopPoint.reached !== undefined)
        return "stop-point";
      const outcome = stopped ? engineStop(exit.stop, processor, this.runningRip()) : this.vmExit(exit);
      if (outcome !== undefined) return this.end(outcome);
    }
  }

  /** Whether the vCPU waits, up or down. */
  get asleep(): boolean {
    return this.waitsFor !== "";
  }

  /** Ledger clock at which a vCPU that waits wakes by itself; infinity when only others can wake it. */
  get wakesAt(): number {
    return this.canBeWoken(this.waitsFor) ? this.interrupts.due : Number.POSITIVE_INFINITY;
  }

  /** RIP of a vCPU that is out of its guest, as a hexadecimal number. */
  get rip(): string {
    return this.registers.rip;
  }

  /** Asks something of the vCPU. @param request bits of `Request` */
  request(request: number): void {
    this.requests |= request;
    // What INIT resets has no start-up to follow any more.
    if ((request & Request.Init) !== 0) this.requests &= ~Request.StartUp;
  }

  /** A SIPI has come. */
  requestStartUp(vector: number): void {
    this.requests = (this.requests & 0xff) | Request.StartUp | (vector << VECTOR_SHIFT);
  }

  abstract interrupt(mode?: number): void;

  /** What a run reports that a budget ended. */
  outOfBudget(budget: NonNullable<RunOutcome["budget"]>): RunOutcome {
    return { reason: "budget", budget, rip: this.runningRip() };
  }

  /** Between two calls of {@link run}. */
  snapshot(): VcpuLoopSnapshot {
    const { ready, ended, waitsFor, interrupts, stepsOverIret, requests } = this;
    return { ready, ended, waitsFor, windowWanted: interrupts.windowWanted, stepsOverIret, requests };
  }

  restore(snapshot: VcpuLoopSnapshot): void {
    this.ready = snapshot.ready;
    this.ended = snapshot.ended;
    this.waitsFor = snapshot.waitsFor;
    this.interrupts.windowWanted = snapshot.windowWanted;
    this.stepsOverIret = snapshot.stepsOverIret;
    this.requests = snapshot.requests;
  }

  /** From the end of the exit's handling to just before the entry. */
  protected abstract returnToGuest(): void;

  /** Takes a VM exit. @returns how the guest ended, if it did */
  protected abstract vmExit(exit: VmExit): RunOutcome | undefined;

  /** Does what others have asked for. */
  protected abstract attend(): void;

  /** A vCPU that slept goes on. */
  protected abstract wakeUp(): void;

  /** Something has come that a vCPU which waits is told of. */
  protected abstract get hasNews(): boolean;

  /** VM entry would refuse RIP as it is now. */
  protected abstract refuseRip(): void;

  /** @returns how the guest ended, if it did */
  protected goOnWithCall(): RunOutcome | undefined {
    return undefined;
  }

  protected end(outcome: RunOutcome): RunOutcome {
    this.ended = outcome;
    return outcome;
  }

  /** What every exit does first: counts itself and tells who listens. */
  protected noteExit(exit: VmExit): void {
    this.ready = false;
    this.stepsOverIret = false;
    this.counters.vmExits++;
    this.accounting?.begin(exit.code, exit.enteredAt, exit.leftAt);
    if (this.onExit !== undefined)
      this.onExit({
        exit,
        name: exitName(this.control.hardware.vendor, exit.code),
        cycle: Math.floor(exit.leftAt / TICKS_PER_CYCLE),
        rip: this.rip,
        vcpu: this.vcpu.id,
      });
  }

  /** An event was being delivered when the guest left for what is in order now: it is delivered again. */
  protected repeatEvent(): void {
    const { control } = this;
    control.repeatEvent(control.eventInDelivery);
  }

  /** Moves RIP past an instruction: one done for the guest single-steps as one that it did itself. */
  protected moveOn(length: number): void {
    const { registers } = this;
    this.cost.run(this.skipStage);
    registers.skip(length);
    if ((registers.rflags & Flag.Tf) !== 0) registers.injectDebugTrap();
    if (registers.ripRefused) this.refuseRip();
  }

  /** The exit that an interrupt or an NMI which waits asked for has come. */
  protected windowOpen(exit: VmExit): undefined {
    this.stepsOverIret = this.control.windowOpened(exit) && this.interrupts.nmiPending;
    this.interrupts.closeWindow();
    return undefined;
  }

  /** A write to an exit port ends the domain. */
  protected afterPort(): RunOutcome | undefined {
    const { exitCode } = this.domain;
    return exitCode < 0 ? undefined : { reason: "exit-port", exitCode, rip: this.rip };
  }

  protected shutdown(): RunOutcome {
    const { shutdownReason } = this.domain;
    const name = SHUTDOWN_REASONS[shutdownReason];
    return {
      reason: "shutdown",
      shutdown: name ?? "crash",
      rip: this.rip,
      ...(name === undefined ? { detail: `unknown shutdown reason ${shutdownReason}` } : {}),
    };
  }

  /** Only timers come by themselves: the local APIC's as a maskable interrupt, the others as events. */
  protected canBeWoken(what: string): boolean {
    if (what === COMING_UP) return this.vcpu.timers.hasWatchdogs;
    const interruptible = (this.registers.rflags & Flag.If) !== 0;
    // Events end a HLT with interrupts off no more than they do on a real processor.
    if ((interruptible || what !== HLT) && this.interrupts.eventTimerRuns) return true;
    return interruptible && this.interrupts.timerCanWake;
  }

  protected halted(what: string): RunOutcome {
    return {
      reason: "halted",
      rip: this.rip,
      detail: `${what} with no event pending and no source of one`,
    };
  }

  /** Lets time pass up to the next timer expiry, or the end of the budget. @returns whether the vCPU goes on */
  private wait(untilTicks: number): boolean {
    const { interrupts } = this;
    const { ledger } = this.processor;
    const wakesByItself = this.canBeWoken(this.waitsFor);
    if (wakesByItself) {
      const until = Math.min(untilTicks, interrupts.due);
      if (until > ledger.clock[0]) ledger.charge(Cause.Idle, until - ledger.clock[0]);
      interrupts.expire(ledger.clock[0]);
      if (this.domain.shutdownReason >= 0) {
        this.end(this.shutdown());
        return false;
      }
    }
    if (this.waitsFor === COMING_UP || !this.hasNews) {
      if (this.others === undefined && !wakesByItself) this.ended = this.halted(this.waitsFor);
      return false;
    }
    this.waitsFor = "";
    this.wakeUp();
    return true;
  }

  /** RIP of a guest that stopped without an exit: the control structure does not have it yet. */
  private runningRip(): string {
    return this.ready ? ripInProcessor(this.processor) : this.rip;
  }
}
