import {
  ALL_DONE,
  type ApicBus,
  type InterruptMessage,
  InterruptMessages,
  type LocalApic,
  NOBODY,
  routeCommand,
  TurnOrder,
} from "@hyperwalk/cpu";
import { Cause, ticks } from "@hyperwalk/mmu";
import type { PathCost } from "../path-cost/path-cost.js";
import type { Stage } from "../path-cost/stage.js";
import type { Vcpu } from "../vcpu.js";
import type { Vlapic } from "../vlapic.js";
import type { Hypervisor } from "./hypervisor.js";
import type { Pcpu } from "./pcpu.js";
import type { RunOutcome } from "./run-outcome.js";

/** Cycles that one vCPU may run ahead of the slowest that has something to do. */
const SLICE_CYCLES = 1000;
/** Messages that are no interrupts of the guest's, but the hypervisor's own: look at what has changed; the same, and sleep on. */
export const EVENT_CHECK = 8;
export const RESCHEDULE = 9;

/** Why a turn ended, when not for good: a budget, or because the vCPU sleeps until another one wakes it. */
export type TurnEnd = NonNullable<RunOutcome["budget"]> | "asleep";

/** The loop around one vCPU, as turns are taken with it. */
export interface TurnHost {
  /** Another vCPU may have something to do before this one's turn would end. */
  turnIsOver: boolean;
  /** Whether the vCPU waits, up or down. */
  readonly asleep: boolean;
  /** RIP of a vCPU that is out of its guest, as a hexadecimal number. */
  readonly rip: string;
  /** One vCPU's turn among several. @returns how the guest ended, or why it goes on later */
  turn(maxInstructions: number, untilTicks: number): RunOutcome | TurnEnd;
  /** A message has arrived at the vCPU's processor: it leaves its guest, or wakes. @param mode of the message */
  interrupt(mode: number): void;
  outOfBudget(budget: NonNullable<RunOutcome["budget"]>): RunOutcome;
}

/** A vCPU that takes turns, on a physical CPU of its own. */
export interface TurnVcpu {
  readonly pcpu: Pcpu;
  readonly vcpu: Vcpu;
  readonly vlapic: Vlapic;
  readonly host: TurnHost;
  /** Ledger clock in ticks at which it has something to do by itself: now, at its timer's expiry, or never (infinity). */
  readonly wakesAt: number;
}

/** What is between the vCPUs, as plain data. */
export interface VcpuTurnsSnapshot {
  readonly messages: readonly InterruptMessage[];
  /** Number of the vCPU whose turn it is, or -1, and the clock at which its turn ends; -1: never. */
  readonly running: number;
  readonly until: number;
  readonly ended: RunOutcome | undefined;
}

/**
 * The vCPUs of one guest, each on a physical CPU of its own. On one thread they take turns by simulated time, as a
 * `ProcessorGroup` does.
 *
 * What one vCPU sends another (interrupts, INIT and SIPI, kicks) carries the sender's time. It arrives when the target's
 * clock gets there, or before its next instruction when that clock is ahead; a vCPU that sleeps wakes at that time, one that
 * runs leaves its guest. The order depends on nothing but the guest.
 */
export abstract class VcpuTurns<V extends TurnVcpu> implements Hypervisor, ApicBus {
  protected readonly vcpus: V[] = [];
  private readonly apics: LocalApic[] = [];
  private readonly turnTakers: { readyAt(): number }[] = [];
  private readonly messages = new InterruptMessages();
  private readonly turns = new TurnOrder(this.turnTakers, ticks(SLICE_CYCLES));
  /** Number of the vCPU whose turn it is, or NOBODY. */
  private running: number = NOBODY;
  private until = 0;
  private ended: RunOutcome | undefined;

  /** The next vCPU, in the order of their numbers. */
  add(vcpu: V): void {
    const number = this.vcpus.push(vcpu) - 1;
    this.apics.push(vcpu.vlapic.apic);
    this.turnTakers.push({ readyAt: () => this.readyAt(number) });
  }

  /** Simulated time in ticks: the clock of the vCPU that is furthest. */
  get now(): number {
    let now = 0;
    for (const { pcpu } of this.vcpus) now = Math.max(now, pcpu.ledger.clock[0]);
    return now;
  }

  /** The vCPU whose turn it is. */
  protected get current(): V | undefined {
    return this.vcpus[this.running];
  }

  /** Is it this one's turn? */
  isRunning(vcpu: V): boolean {
    return this.running !== NOBODY && this.vcpus[this.running] === vcpu;
  }

  /** Is it anybody's turn? */
  protected get isAnyRunning(): boolean {
    return this.running !== NOBODY;
  }

  /** @param maxInstructions of all together @param untilTicks clock that no vCPU passes, but for its last block */
  run(maxInstructions: number, untilTicks: number): RunOutcome {
    if (this.ended !== undefined) return this.ended;
    let left = maxInstructions;
    for (;;) {
      if (left <= 0) return this.outOfBudget("instructions");
      if (this.running === NOBODY) {
        const number = this.turns.next(untilTicks);
        if (number === NOBODY) return this.end(this.halted());
        if (number === ALL_DONE) return this.sleepUntil(untilTicks);
        this.begin(number);
      }
      const vcpu = this.vcpus[this.running];
      const { engine } = vcpu.pcpu.processor;
      const before = engine.instructions;
      const limit = Math.min(this.until, untilTicks);
      const end = vcpu.host.turn(left, limit);
      left -= engine.instructions - before;
      if (typeof end === "object") return this.end({ ...end, vcpu: this.running });
      // A budget ends in the middle of a turn, which goes on with the next run as if nothing had been.
      if (end === "instructions" || end === "stop-point") return this.outOfBudget(end);
      if (end === "cycles" && limit < this.until && !vcpu.host.turnIsOver) return this.outOfBudget(end);
      this.running = NOBODY;
    }
  }

  /** An interrupt command of a virtual local APIC. */
  send(source: LocalApic, lo: number, destination: number): void {
    routeCommand(this.apics, source, lo, destination, (target, mode, vector, level) => {
      if (target === source) target.accept(mode, vector, level);
      else {
        const number = this.apics.indexOf(target);
        this.payInterrupt(this.vcpus[number]);
        this.post(number, mode, vector, level);
      }
    });
  }

  /** A run ended because nothing could wake a vCPU: somebody else may have woken one since. */
  revive(): void {
    if (this.ended?.reason === "halted") this.ended = undefined;
  }

  /** Between two calls of {@link run}. */
  snapshot(): VcpuTurnsSnapshot {
    const { running, until, ended } = this;
    return {
      messages: this.messages.snapshot(),
      running,
      until: until === Number.POSITIVE_INFINITY ? -1 : until,
      ended,
    };
  }

  /** @throws RangeError for what is no snapshot, or of vCPUs that do not exist */
  restore(snapshot: VcpuTurnsSnapshot | undefined): void {
    if (snapshot === undefined) throw new RangeError("nothing is known of what is between the vCPUs");
    const { messages, running, until, ended } = snapshot;
    const exists = (number: number) => this.vcpus[number] !== undefined;
    const makesSense = ({ at, target, mode, vector }: InterruptMessage) =>
      at >= 0 && exists(target) && Number.isInteger(mode) && Number.isInteger(vector);
    if ((running !== NOBODY && !exists(running)) || !messages.every(makesSense))
      throw new RangeError("a message or turn of a vCPU that does not exist");
    this.messages.restore(messages);
    this.running = running;
    this.until = until < 0 ? Number.POSITIVE_INFINITY : until;
    this.ended = ended;
  }

  /** From now on the hypervisor runs on this one's processor. */
  protected abstract takeOver(vcpu: V): void;

  /** The running vCPU's APIC sends this one's an interrupt: what that costs the sender. */
  protected abstract payInterrupt(target: V): void;

  /** Sends a message to another vCPU. */
  protected post(target: number, mode: number, vector: number, level: boolean): void {
    const { running } = this;
    const at = running === NOBODY ? this.now : this.vcpus[running].pcpu.ledger.clock[0];
    this.messages.post({ at, target, mode, vector, level });
    // Whoever was asleep may have something to do before the sender's turn is over.
    if (running !== NOBODY) this.vcpus[running].host.turnIsOver = true;
  }

  /** The running vCPU pays, if one runs. */
  protected charge(stage: Stage): void {
    if (this.running === NOBODY) return;
    const cost: PathCost = this.vcpus[this.running].pcpu.cost;
    cost.run(cost.compile(stage));
  }

  private readyAt(number: number): number {
    const vcpu = this.vcpus[number];
    const { wakesAt } = vcpu;
    const now = vcpu.pcpu.ledger.clock[0];
    return wakesAt === now ? now : Math.max(now, Math.min(wakesAt, this.messages.first(number)));
  }

  /** Lets a sleeper's time pass up to what wakes it, and hands over what has arrived. */
  private begin(number: number): void {
    const vcpu = this.vcpus[number];
    const { host, vlapic, pcpu } = vcpu;
    const { ledger } = pcpu;
    const ready = this.readyAt(number);
    this.running = number;
    this.takeOver(vcpu);
    if (ready > ledger.clock[0]) ledger.charge(Cause.Idle, ready - ledger.clock[0]);
    host.turnIsOver = false;
    this.messages.receive(number, ledger.clock[0], ({ mode, vector, level }) => {
      if (mode < EVENT_CHECK) vlapic.apic.accept(mode, vector, level);
      host.interrupt(mode);
    });
    this.until = Math.min(this.turns.until(number), this.messages.first(number));
  }

  /** All sleep until later: so does the run. */
  private sleepUntil(untilTicks: number): RunOutcome {
    for (const { pcpu, host } of this.vcpus) {
      const { ledger } = pcpu;
      if (host.asleep && untilTicks > ledger.clock[0])
        ledger.charge(Cause.Idle, untilTicks - ledger.clock[0]);
    }
    return this.outOfBudget("cycles");
  }

  private halted(): RunOutcome {
    return {
      reason: "halted",
      rip: this.vcpus[0].host.rip,
      detail: "all vCPUs wait or are down, with no event pending and no source of one",
    };
  }

  private end(outcome: RunOutcome): RunOutcome {
    this.ended = outcome;
    return outcome;
  }

  private outOfBudget(budget: NonNullable<RunOutcome["budget"]>): RunOutcome {
    const number = Math.max(0, this.running);
    return { ...this.vcpus[number].host.outOfBudget(budget), vcpu: number };
  }
}
