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
import type { Domain } from "../../domain.js";
import type { P2m } from "../../p2m.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import type { Stage } from "../../path-cost/stage.js";
import { FLUSH_IPI, VCPU_KICK } from "../../path-cost/stages/inter-processor.js";
import { DomainLocks, type DomainLocksSnapshot } from "../domain-locks.js";
import type { Hypervisor } from "../hypervisor.js";
import type { RunOutcome } from "../run-outcome.js";
import type { HvmVcpu } from "./hvm-vcpu.js";
import { Request } from "./xen-host.js";

/** Cycles that one vCPU may run ahead of the slowest that has something to do. */
const SLICE_CYCLES = 1000;
/** A message that is no interrupt of the guest's, but Xen's own: look at what has changed. */
const EVENT_CHECK = 8;

/** What is between the vCPUs, as plain data. */
export interface NullSchedulerSnapshot {
  readonly messages: readonly InterruptMessage[];
  /** Number of the vCPU whose turn it is, or -1, and the clock at which its turn ends; -1: never. */
  readonly running: number;
  readonly until: number;
  readonly ended: RunOutcome | undefined;
  readonly locks: DomainLocksSnapshot;
}

/**
 * The vCPUs of one domain, each on a physical CPU of its own (`sched=null`): nothing is ever scheduled, and what is left of
 * a scheduler is who sleeps and what wakes it. On one thread they take turns by simulated time, as a `ProcessorGroup` does.
 *
 * What one vCPU sends another (interrupts, INIT and SIPI, event-channel upcalls, TLB flushes) carries the sender's time. It
 * arrives when the target's clock gets there, or before its next instruction when that clock is ahead; a vCPU that sleeps
 * wakes at that time, one that runs leaves its guest. The order depends on nothing but the guest.
 */
export class NullScheduler implements Hypervisor, ApicBus {
  private readonly vcpus: HvmVcpu[] = [];
  private readonly apics: LocalApic[] = [];
  private readonly turnTakers: { readyAt(): number }[] = [];
  private readonly messages = new InterruptMessages();
  private readonly turns: TurnOrder;
  private readonly domain: Domain;
  private readonly locks: DomainLocks;
  /** p2ms of other domains, which Xen looks into on behalf of this one's vCPUs. */
  otherP2ms: readonly P2m[] = [];
  private running = NOBODY;
  private until = 0;
  private ended: RunOutcome | undefined;

  constructor(domain: Domain) {
    this.domain = domain;
    this.turns = new TurnOrder(this.turnTakers, ticks(SLICE_CYCLES));
    const { events } = domain.eventChannels;
    events.onUpcall = (id, cost) => this.kick(this.vcpus[id], cost);
    events.onPending = (port, cost) => this.wakePollers(port, cost);
    domain.p2m.onChange = () => this.flushSecondStage();
    this.locks = new DomainLocks(domain.config.vcpus);
    domain.locks = this.locks;
    domain.p2m.lock = this.locks.of("p2m");
    domain.eventChannels.useLocks(this.locks);
  }

  /** The next vCPU, in the order of their numbers. */
  add(vcpu: HvmVcpu): void {
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

  /** Is it this one's turn? */
  isRunning(vcpu: HvmVcpu): boolean {
    return this.running !== NOBODY && this.vcpus[this.running] === vcpu;
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

  /** An interrupt command of a virtual local APIC (`vlapic_ipi`). */
  send(source: LocalApic, lo: number, destination: number): void {
    routeCommand(this.apics, source, lo, destination, (target, mode, vector, level) => {
      const number = this.apics.indexOf(target);
      if (target === source) target.accept(mode, vector, level);
      else {
        this.charge(VCPU_KICK);
        this.post(number, mode, vector, level);
      }
    });
  }

  /** Has a vCPU look at what has changed (`vcpu_kick`). @param cost who pays for telling it; nobody: dom0 does */
  kick(vcpu: HvmVcpu, cost: PathCost | undefined): void {
    if (this.isRunning(vcpu)) return;
    cost?.run(cost.compile(VCPU_KICK));
    this.post(vcpu.vcpu.id, EVENT_CHECK, 0, false);
  }

  /** A vCPU other than the running one drops its cached translations. @param request a flush of `Request` */
  flush(vcpu: HvmVcpu, request: number): void {
    vcpu.host.request(request);
    // Nobody who sleeps uses any before it wakes, and then it has flushed.
    if (vcpu.host.asleep) return;
    this.charge(FLUSH_IPI);
    this.post(vcpu.vcpu.id, EVENT_CHECK, 0, false);
  }

  /** A run ended because nothing could wake a vCPU: other domains may have woken one since. */
  revive(): void {
    if (this.ended?.reason === "halted") this.ended = undefined;
  }

  /** Between two calls of {@link run}. */
  snapshot(): NullSchedulerSnapshot {
    const { running, until, ended } = this;
    return {
      messages: this.messages.snapshot(),
      running,
      until: until === Number.POSITIVE_INFINITY ? -1 : until,
      ended,
      locks: this.locks.snapshot(Math.min(...this.vcpus.map(({ pcpu }) => pcpu.ledger.clock[0]))),
    };
  }

  /** @throws RangeError for what is no snapshot, or of vCPUs that do not exist */
  restore(snapshot: NullSchedulerSnapshot | undefined): void {
    if (snapshot === undefined) throw new RangeError("nothing is known of what is between the vCPUs");
    const { messages, running, until, ended } = snapshot;
    const exists = (number: number) => this.vcpus[number] !== undefined;
    const makesSense = ({ at, target, mode, vector }: InterruptMessage) =>
      at >= 0 && exists(target) && Number.isInteger(mode) && Number.isInteger(vector);
    if ((running !== NOBODY && !exists(running)) || !messages.every(makesSense))
      throw new RangeError("a message or turn of a vCPU that does not exist");
    this.messages.restore(messages);
    this.locks.restore(snapshot.locks);
    this.running = running;
    this.until = until < 0 ? Number.POSITIVE_INFINITY : until;
    this.ended = ended;
    if (running !== NOBODY) this.takeOver(this.vcpus[running]);
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
      if (mode !== EVENT_CHECK) vlapic.apic.accept(mode, vector, level);
      host.interrupt();
    });
    this.until = Math.min(this.turns.until(number), this.messages.first(number));
  }

  /** From now on Xen runs there. */
  private takeOver({ pcpu, vcpu }: HvmVcpu): void {
    this.locks.runOn(vcpu.id, pcpu.ledger);
    this.domain.p2m.runOn(pcpu.cost, pcpu.counters);
    for (const p2m of this.otherP2ms) p2m.runOn(pcpu.cost, pcpu.counters);
  }

  private post(target: number, mode: number, vector: number, level: boolean): void {
    const { running } = this;
    const at = running === NOBODY ? this.now : this.vcpus[running].pcpu.ledger.clock[0];
    this.messages.post({ at, target, mode, vector, level });
    // Whoever was asleep may have something to do before the sender's turn is over.
    if (running !== NOBODY) this.vcpus[running].host.turnIsOver = true;
  }

  /** The running vCPU pays, if one runs. */
  private charge(stage: Stage): void {
    if (this.running === NOBODY) return;
    const { cost } = this.vcpus[this.running].pcpu;
    cost.run(cost.compile(stage));
  }

  /** `evtchn_check_pollers` */
  private wakePollers(port: number, cost: PathCost | undefined): void {
    for (const each of this.vcpus) if (each.vcpu.endPoll(port)) this.kick(each, cost);
  }

  private flushSecondStage(): void {
    for (const vcpu of this.vcpus) {
      if (this.running === NOBODY || this.isRunning(vcpu)) vcpu.control.flushSecondStage();
      else this.flush(vcpu, Request.FlushSecondStage);
    }
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
