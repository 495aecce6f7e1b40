import type { CycleLedger } from "@hyperwalk/mmu";
import { Continuation } from "./continuation.js";
import type { Domain } from "./domain.js";
import { Errno } from "./errno.js";
import type { GuestAccess } from "./guest-access/guest-access.js";
import { GuestAreas, type GuestAreasSnapshot } from "./guest-areas.js";
import type { VcpuContext } from "./host/vcpu-context.js";
import { RUNSTATE_OFFLINE, RUNSTATE_RUNNING, SHUTDOWN_WATCHDOG } from "./operations/descriptors.gen.js";
import type { Constituents, OperationCall } from "./operations/operation.js";
import type { PathCost } from "./path-cost/path-cost.js";
import { Runstate, type RunstateSnapshot } from "./runstate.js";
import { VcpuTimers, type VcpuTimersSnapshot } from "./vcpu-timers.js";
import { VIRQ_TIMER } from "./virq.js";

/** Until the vCPU has interfaces. */
const NO_CONSTITUENTS: Constituents = { invoke: () => -Errno.ENOSYS };
/** Values of one call; more than any operation has. */
const CALL_WORDS = 64;

/** A vCPU's accounting and clock as plain data. */
export interface VcpuSnapshot {
  readonly runstate: RunstateSnapshot;
  /** System time of the latest look at it. */
  readonly time: readonly [number, number];
  readonly initialised: boolean;
  readonly down: boolean;
  readonly pollPort: number;
  readonly unblocked: boolean;
  readonly timers: VcpuTimersSnapshot;
  readonly areas: GuestAreasSnapshot;
}

/** What runs a vCPU, as operations that name it see it; the caller is another one, or the same. */
export interface VcpuRunner {
  /** Whether a long hypercall of the vCPU's own makes room: a softirq or an event waits (`hypercall_preempt_check`). */
  readonly preempts: boolean;
  /** Drops the vCPU's cached translations. */
  flushTlb(): void;
  /** Takes over first registers (`arch_set_info_hvm_guest`). @returns 0 or -EINVAL */
  load(context: VcpuContext): number;
  /** Has it look at what has changed: {@link Vcpu.down}, an NMI. @param cost who pays for telling it */
  kick(cost: PathCost): void;
  /** An edge-triggered interrupt arrives at its virtual local APIC (`vlapic_set_irq`). @param cost who pays for telling it */
  sendInterrupt(vector: number, cost: PathCost): void;
  /** An NMI is to be delivered. @param cost who pays for telling it */
  sendNmi(cost: PathCost): void;
}

export interface VcpuOptions {
  readonly id: number;
  readonly domain: Domain;
  /** Of the processor that it is pinned to. */
  readonly ledger: CycleLedger;
  /** Cycles a nanosecond. */
  readonly ghz: number;
  readonly cost: PathCost;
  readonly access: GuestAccess;
  readonly runner: VcpuRunner;
  /** Cycles that the guest's time stamp is ahead of the processor's. */
  readonly timestampOffset: () => number;
  /** Xen is a debug build. */
  readonly debugBuild: boolean;
}

/** A virtual CPU: its accounting, its clock, whether it is up, and the hypercall it is making. */
export class Vcpu {
  readonly id: number;
  readonly domain: Domain;
  readonly runstate: Runstate;
  /** The hypercall being handled; reused. */
  readonly call: OperationCall;
  readonly runner: VcpuRunner;
  /** SCHEDOP_yield in the present hypercall: the scheduler is to run before the guest does. */
  yielded = false;
  /** System time of the latest {@link systemTimeNs}, nanoseconds since the domain was built. */
  timeLo = 0;
  timeHi = 0;
  /** It has registers to start with: vCPU 0, and others by VCPUOP_initialise or SIPI. */
  initialised: boolean;
  /** It does not run until VCPUOP_up, SIPI or an NMI (`_VPF_down`). */
  down: boolean;
  /** Port that it polls (SCHEDOP_poll), -1 for several, 0 when it polls none. */
  pollPort = 0;
  /** What it waited for has come, without an upcall (`vcpu_unblock`). */
  unblocked = false;
  readonly timers: VcpuTimers;
  /** Copies of its time and run state in guest memory. */
  readonly areas: GuestAreas;
  private readonly ledger: CycleLedger;

  constructor(options: VcpuOptions) {
    const { id, domain } = options;
    this.id = id;
    this.domain = domain;
    this.ledger = options.ledger;
    this.runner = options.runner;
    this.timers = new VcpuTimers(options.ghz);
    this.areas = new GuestAreas(this, options.ghz, options.timestampOffset);
    this.initialised = id === 0;
    this.down = id !== 0;
    this.runstate = new Runstate(this.down ? RUNSTATE_OFFLINE : RUNSTATE_RUNNING, 0, 0);
    this.call = {
      inputs: new Int32Array(CALL_WORDS),
      outputs: new Int32Array(CALL_WORDS),
      startExtent: 0,
      vcpu: this,
      domain,
      cost: options.cost,
      compat: false,
      byRegister: false,
      access: options.access,
      continuation: new Continuation(),
      inMulticall: false,
      debugBuild: options.debugBuild,
      constituents: NO_CONSTITUENTS,
    };
  }

  /** System time in nanoseconds. */
  get nowNs(): number {
    return this.timers.timeAt(this.ledger.clock[0]);
  }

  /** Reads the system time, which follows the ledger, into {@link timeLo} and {@link timeHi}. Allocates nothing. */
  systemTimeNs(): void {
    const ns = this.nowNs;
    this.timeLo = ns | 0;
    this.timeHi = Math.floor(ns / 2 ** 32) | 0;
  }

  /** Enters a run state now. */
  changeRunstate(state: number): void {
    if (this.runstate.state === state) return;
    this.systemTimeNs();
    this.runstate.change(state, this.timeLo, this.timeHi);
  }

  /** Does what its expired timers are for. @param cost who pays for telling it */
  runTimers(cost: PathCost): void {
    const { timers, nowNs } = this;
    if (timers.takeSingleshot(nowNs)) this.sendTimerEvent(cost);
    if (timers.takePeriodic(nowNs)) this.sendTimerEvent(cost);
    if (timers.takePoll(nowNs)) this.endPoll(-1);
    if (timers.takeWatchdogs(nowNs)) this.domain.shutDown(SHUTDOWN_WATCHDOG);
  }

  /** `send_timer_event` */
  sendTimerEvent(cost: PathCost): void {
    this.domain.eventChannels.raiseVirq(VIRQ_TIMER, this.id, cost);
  }

  /**
   * What SCHEDOP_poll waited for has come, if it polls. @param port that has become pending, or -1: the time-out
   * @returns whether it did
   */
  endPoll(port: number): boolean {
    const { pollPort } = this;
    if (pollPort === 0 || (port !== -1 && pollPort !== port && pollPort !== -1)) return false;
    this.pollPort = 0;
    this.unblocked = true;
    return true;
  }

  snapshot(): VcpuSnapshot {
    const { initialised, down, pollPort, unblocked } = this;
    return {
      runstate: this.runstate.snapshot(),
      time: [this.timeLo, this.timeHi],
      initialised,
      down,
      pollPort,
      unblocked,
      timers: this.timers.snapshot(),
      areas: this.areas.snapshot(),
    };
  }

  restore(snapshot: VcpuSnapshot): void {
    this.runstate.restore(snapshot.runstate);
    this.timers.restore(snapshot.timers);
    this.areas.restore(snapshot.areas);
    [this.timeLo, this.timeHi] = snapshot.time;
    ({
      initialised: this.initialised,
      down: this.down,
      pollPort: this.pollPort,
      unblocked: this.unblocked,
    } = snapshot);
  }

  /** Drops cached translations of the vCPU (HVMOP_flush_tlbs). */
  flushTlb(): void {
    this.runner.flushTlb();
  }
}
