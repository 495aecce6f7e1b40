import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  KVM_INJECT,
  KVM_INTERRUPT_WINDOW,
  KVM_TIMER_INTERRUPT,
  KVM_VCPU_TIMER_INTERRUPT,
} from "../../path-cost/stages/kvm-entry-exit.js";
import type { Vcpu } from "../../vcpu.js";
import type { Vlapic } from "../../vlapic.js";
import type { VcpuControl } from "../vcpu-control.js";
import { VirtualInterrupts } from "../xen/virtual-interrupts.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";

/** What wakes and interrupts a vCPU: its virtual local APIC, the monitor's timers, and the timers that KVM has for Xen. */
export class KvmInterrupts extends VirtualInterrupts {
  private readonly own: Vcpu;
  private readonly xen: KvmVcpuXen;
  private readonly pathCost: StagePathCost;

  constructor(vcpu: Vcpu, xen: KvmVcpuXen, vlapic: Vlapic, control: VcpuControl, cost: StagePathCost) {
    super(vcpu, vlapic, control, cost, {
      timer: KVM_TIMER_INTERRUPT,
      vcpuTimer: KVM_VCPU_TIMER_INTERRUPT,
      injection: KVM_INJECT,
      window: KVM_INTERRUPT_WINDOW,
    });
    this.own = vcpu;
    this.xen = xen;
    this.pathCost = cost;
  }

  /** Whether one of KVM's timers for Xen runs. */
  get xenTimerRuns(): boolean {
    return this.xen.timer.due !== Number.POSITIVE_INFINITY;
  }

  override get eventTimerRuns(): boolean {
    return super.eventTimerRuns || this.xenTimerRuns;
  }

  override get due(): number {
    if (!this.xenTimerRuns) return super.due;
    return Math.min(super.due, this.own.timers.clockAt(this.xen.timer.due));
  }

  override get timerRuns(): boolean {
    return super.timerRuns || this.xenTimerRuns;
  }

  override expire(now: number): void {
    super.expire(now);
    const { own, xen, pathCost } = this;
    if (!this.xenTimerRuns || own.timers.clockAt(xen.timer.due) > now) return;
    pathCost.run(pathCost.compile(KVM_VCPU_TIMER_INTERRUPT));
    xen.timer.expire(own.nowNs);
  }
}
