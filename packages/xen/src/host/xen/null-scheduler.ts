import type { Domain } from "../../domain.js";
import type { P2m } from "../../p2m.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import { FLUSH_IPI, VCPU_KICK } from "../../path-cost/stages/inter-processor.js";
import { DomainLocks, type DomainLocksSnapshot } from "../domain-locks.js";
import { Request } from "../vcpu-loop.js";
import { EVENT_CHECK, VcpuTurns, type VcpuTurnsSnapshot } from "../vcpu-turns.js";
import type { HvmVcpu } from "./hvm-vcpu.js";

/** What is between the vCPUs, as plain data. */
export interface NullSchedulerSnapshot extends VcpuTurnsSnapshot {
  readonly locks: DomainLocksSnapshot;
}

/**
 * The vCPUs of one domain, each on a physical CPU of its own (`sched=null`): nothing is ever scheduled, and what is left of
 * a scheduler is who sleeps and what wakes it: interrupts, INIT and SIPI, event-channel upcalls, TLB flushes.
 */
export class NullScheduler extends VcpuTurns<HvmVcpu> {
  private readonly domain: Domain;
  private readonly locks: DomainLocks;
  /** p2ms of other domains, which Xen looks into on behalf of this one's vCPUs. */
  otherP2ms: readonly P2m[] = [];

  constructor(domain: Domain) {
    super();
    this.domain = domain;
    const { events } = domain.eventChannels;
    events.onUpcall = (id, cost) => this.kick(this.vcpus[id], cost);
    events.onPending = (port, cost) => this.wakePollers(port, cost);
    domain.p2m.onChange = () => this.flushSecondStage();
    this.locks = new DomainLocks(domain.config.vcpus);
    domain.locks = this.locks;
    domain.p2m.lock = this.locks.of("p2m");
    domain.eventChannels.useLocks(this.locks);
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

  override snapshot(): NullSchedulerSnapshot {
    const locks = this.locks.snapshot(Math.min(...this.vcpus.map(({ pcpu }) => pcpu.ledger.clock[0])));
    return { ...super.snapshot(), locks };
  }

  override restore(snapshot: NullSchedulerSnapshot | undefined): void {
    super.restore(snapshot);
    if (snapshot === undefined) return;
    this.locks.restore(snapshot.locks);
    const running = this.vcpus[snapshot.running];
    if (running !== undefined) this.takeOver(running);
  }

  /** From now on Xen runs there. */
  protected override takeOver({ pcpu, vcpu }: HvmVcpu): void {
    this.locks.runOn(vcpu.id, pcpu.ledger);
    this.domain.p2m.runOn(pcpu.cost, pcpu.counters);
    for (const p2m of this.otherP2ms) p2m.runOn(pcpu.cost, pcpu.counters);
  }

  /** `vlapic_ipi` */
  protected override payInterrupt(): void {
    this.charge(VCPU_KICK);
  }

  /** `evtchn_check_pollers` */
  private wakePollers(port: number, cost: PathCost | undefined): void {
    for (const each of this.vcpus) if (each.vcpu.endPoll(port)) this.kick(each, cost);
  }

  private flushSecondStage(): void {
    for (const vcpu of this.vcpus) {
      if (!this.isAnyRunning || this.isRunning(vcpu)) vcpu.control.flushSecondStage();
      else this.flush(vcpu, Request.FlushSecondStage);
    }
  }
}
