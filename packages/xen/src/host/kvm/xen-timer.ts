import type { PathCost } from "../../path-cost/path-cost.js";
import { KVM_XEN_TIMER, KVM_XEN_TIMER_CALLBACK } from "../../path-cost/stages/kvm-events.js";
import { EWOULDBLOCK, type KvmXenEvtchn, type XenEvents } from "./xen-events.js";

const STOPPED = Number.POSITIVE_INFINITY;
const NS_PER_MS = 1e6;
/** CONFIG_HZ=250, as distributions have it: SCHEDOP_poll's time-out counts in these. */
const JIFFY_NS: number = 4 * NS_PER_MS;

/** Who delivers the timer's event. */
export interface TimerOwner {
  readonly cost: PathCost;
  readonly nowNs: () => number;
  readonly events: Pick<XenEvents, "setFast" | "set">;
}

/** A vCPU's timers as plain data; nanoseconds of the kvmclock, -1: none. */
export interface XenTimerSnapshot {
  readonly port: number;
  readonly expiresNs: number;
  readonly armed: boolean;
  readonly pending: boolean;
  readonly pollExpiresNs: number;
}

/**
 * A vCPU's one-shot timer in the kernel, whose expiry is an event on a port of its own, and the time-out of SCHEDOP_poll.
 * What keeps time asks {@link due} and calls {@link expire}.
 */
export class XenTimer {
  /** Port of VIRQ_TIMER, 0: the timer is user space's business. */
  port = 0;
  /** What the guest asked for, 0: nothing, or it has been delivered. */
  expiresNs = 0;
  /** The event could not be delivered from the interrupt: the vCPU does it (`timer_pending`). */
  pending = false;
  private armed = false; // the hrtimer runs
  private pollExpires = STOPPED;
  private readonly owner: TimerOwner;
  private readonly vcpuId: number;
  private readonly vcpuIndex: number;
  private readonly kick: () => void;

  /** @param kick request and kick of the vCPU */
  constructor(owner: TimerOwner, vcpuId: number, vcpuIndex: number, kick: () => void) {
    this.owner = owner;
    this.vcpuId = vcpuId;
    this.vcpuIndex = vcpuIndex;
    this.kick = kick;
  }

  /** `kvm_xen_timer_enabled` */
  get isEnabled(): boolean {
    return this.port !== 0;
  }

  /** Kvmclock of the next expiry in nanoseconds, infinity when nothing runs. */
  get due(): number {
    return Math.min(this.armed ? this.expiresNs : STOPPED, this.pollExpires);
  }

  /** The attribute TIMER: another port and another expiry, 0 for none. */
  set(port: number, expiresNs: number): number {
    this.stop();
    this.port = port;
    if (port !== 0 && expiresNs !== 0) this.start(expiresNs);
    return 0;
  }

  /** `kvm_xen_start_timer`; an instant that has passed expires at once. @param expiresNs of the kvmclock, not 0 */
  start(expiresNs: number): void {
    this.run(KVM_XEN_TIMER);
    this.pending = false;
    this.expiresNs = expiresNs;
    this.armed = expiresNs > this.owner.nowNs();
    if (!this.armed) this.callback();
  }

  /**
   * `kvm_xen_hcall_set_timer_op`: 0 stops it; an instant that is negative or more than 2^50 ns away becomes one 100 ms
   * from now. @param timeout nanoseconds as the guest gave them, unsigned
   */
  setTimerOp(timeout: bigint): void {
    if (timeout === 0n) {
      this.stop();
      return;
    }
    const now = this.owner.nowNs();
    const delta = BigInt.asIntN(64, timeout - BigInt(now));
    const isAbsurd =
      BigInt.asIntN(64, timeout) < 0n || (delta > 0n && BigInt.asUintN(32, delta >> 50n) !== 0n);
    this.start(isAbsurd ? now + 100 * NS_PER_MS : Number(timeout));
  }

  /** `kvm_xen_stop_timer` */
  stop(): void {
    this.run(KVM_XEN_TIMER);
    this.armed = false;
    this.expiresNs = 0;
    this.pending = false;
  }

  /** The attribute as user space reads it: an event that waits for the vCPU is delivered first. */
  read(): number {
    if (this.expiresNs !== 0) this.injectPending();
    return this.expiresNs;
  }

  /** SCHEDOP_poll's time-out, which counts from now on. @param timeout nanoseconds, 0: none */
  startPoll(timeout: number): void {
    if (timeout === 0) return;
    const jiffies = Math.floor(this.owner.nowNs() / JIFFY_NS) + Math.max(1, Math.floor(timeout / JIFFY_NS));
    this.pollExpires = jiffies * JIFFY_NS;
  }

  stopPoll(): void {
    this.pollExpires = STOPPED;
  }

  /** What is due at this instant of the kvmclock happens. */
  expire(now: number): void {
    if (this.pollExpires <= now) {
      this.stopPoll();
      this.kick(); // cancel_evtchn_poll
    }
    if (!this.armed || this.expiresNs > now) return;
    this.armed = false;
    this.callback();
  }

  /** `kvm_xen_inject_timer_irqs`, by the vCPU: whatever becomes of it, the timer is done. */
  injectPending(): void {
    if (!this.pending) return;
    this.owner.events.set(this.event(), true);
    this.expiresNs = 0;
    this.pending = false;
  }

  snapshot(): XenTimerSnapshot {
    const { port, expiresNs, armed, pending, pollExpires } = this;
    return { port, expiresNs, armed, pending, pollExpiresNs: pollExpires === STOPPED ? -1 : pollExpires };
  }

  /** @throws RangeError for instants that are none */
  restore({ port, expiresNs, armed, pending, pollExpiresNs }: XenTimerSnapshot): void {
    const isInstant = (ns: number) => Number.isSafeInteger(ns) && ns >= 0;
    if (!isInstant(port) || !isInstant(expiresNs) || !isInstant(pollExpiresNs + 1) || (armed && port === 0))
      throw new RangeError(`timer of port ${port} at ${expiresNs} ns`);
    Object.assign(this, { port, expiresNs, armed, pending });
    this.pollExpires = pollExpiresNs < 0 ? STOPPED : pollExpiresNs;
  }

  /** `xen_timer_callback`, in the timer's interrupt: nobody may sleep here. */
  private callback(): void {
    this.run(KVM_XEN_TIMER_CALLBACK);
    if (this.pending) return;
    if (this.owner.events.setFast(this.event()) !== -EWOULDBLOCK) {
      this.expiresNs = 0;
      return;
    }
    this.pending = true;
    this.kick();
  }

  private event(): KvmXenEvtchn {
    return { port: this.port, vcpuId: this.vcpuId, vcpuIndex: this.vcpuIndex };
  }

  private run(stage: typeof KVM_XEN_TIMER): void {
    const { cost } = this.owner;
    cost.run(cost.compile(stage));
  }
}
