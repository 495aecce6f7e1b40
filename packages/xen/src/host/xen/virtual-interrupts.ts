import { State } from "@hyperwalk/cpu";
import type { Stage } from "../../path-cost/stage.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { APIC_INJECTION, INTERRUPT_WINDOW, TIMER_INTERRUPT } from "../../path-cost/stages/interrupts.js";
import { VCPU_TIMER } from "../../path-cost/stages/time.js";
import type { Vcpu } from "../../vcpu.js";
import type { Vlapic } from "../../vlapic.js";
import type { GuestRegisters } from "../guest-registers.js";
import type { VcpuControl } from "../vcpu-control.js";

const HIGHEST_VECTOR = 0xff;

/** What its steps cost. */
export interface InterruptStages {
  /** The processor's timer has expired. */
  readonly timer: Stage;
  /** A timer of the vCPU's has, besides the local APIC's. */
  readonly vcpuTimer: Stage;
  readonly injection: Stage;
  readonly window: Stage;
}

const XEN_STAGES: InterruptStages = {
  timer: TIMER_INTERRUPT,
  vcpuTimer: VCPU_TIMER,
  injection: APIC_INJECTION,
  window: INTERRUPT_WINDOW,
};

/** `svm_intr_assist` and `vmx_intr_assist`: what the virtual local APIC has for the guest before each VM entry. */
export class VirtualInterrupts {
  private readonly vcpu: Vcpu;
  private readonly vlapic: Vlapic;
  private readonly control: VcpuControl;
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;
  private readonly stages: InterruptStages;
  /** The guest is to leave once it can take an interrupt. */
  windowWanted = false;

  constructor(
    vcpu: Vcpu,
    vlapic: Vlapic,
    control: VcpuControl,
    cost: StagePathCost,
    stages: InterruptStages = XEN_STAGES,
  ) {
    this.stages = stages;
    this.vcpu = vcpu;
    this.vlapic = vlapic;
    this.control = control;
    this.registers = control.registers;
    this.cost = cost;
  }

  /** Ledger clock of the next expiry of a timer, the local APIC's or one of Xen's for the vCPU. */
  get due(): number {
    return Math.min(this.vlapic.due, this.vcpu.timers.due);
  }

  get nmiPending(): boolean {
    return this.vlapic.nmiPending;
  }

  get timerRuns(): boolean {
    return this.vlapic.apic.timerRuns || this.vcpu.timers.running;
  }

  /** Whether a timer runs whose expiry is an event. */
  get eventTimerRuns(): boolean {
    return this.vcpu.timers.running;
  }

  /** Whether the local APIC's timer has an expiry that a guest with interrupts on would take. */
  get timerCanWake(): boolean {
    this.followTaskPriority();
    return this.vlapic.due !== Number.POSITIVE_INFINITY && this.vlapic.apic.timerCanInterrupt;
  }

  /** Runs timers that have expired. @param now ledger clock */
  expire(now: number): void {
    const { vcpu, vlapic, cost } = this;
    if (vlapic.due <= now) {
      cost.run(cost.compile(this.stages.timer));
      vlapic.apic.advance();
    }
    if (vcpu.timers.due > now) return;
    cost.run(cost.compile(this.stages.vcpuTimer));
    vcpu.runTimers(cost);
  }

  /** Whether the guest would take an interrupt or NMI if it were entered now (`hvm_local_events_need_delivery`). */
  get deliverable(): boolean {
    const { vlapic, registers } = this;
    if (vlapic.nmiPending && registers.canTakeNmi) return true;
    this.followTaskPriority();
    return vlapic.apic.pending >= 0 && registers.canTakeInterrupt;
  }

  /**
   * Injects the pending vector, or asks for an exit when the guest can take it.
   * @param event an interrupt of another controller's waits for that too, whatever the task priority
   */
  assist(event = false): void {
    const { vlapic, registers, cost, control } = this;
    const { apic } = vlapic;
    if (vlapic.nmiPending) this.assistNmi();
    const waiting = event ? HIGHEST_VECTOR : apic.waiting;
    if (waiting < 0) {
      if (this.windowWanted && !vlapic.nmiPending) this.closeWindow();
      return;
    }
    this.followTaskPriority();
    if (apic.pending >= 0 && registers.canTakeInterrupt) {
      registers.injectInterrupt(apic.acknowledge());
      cost.run(cost.compile(this.stages.injection));
      if (this.windowWanted && !vlapic.nmiPending) this.closeWindow();
      return;
    }
    if (!this.windowWanted) cost.run(cost.compile(this.stages.window));
    this.windowWanted = true;
    control.setInterruptWindow(waiting >> 4);
  }

  /** The exit that {@link assist} asked for has come. */
  closeWindow(): void {
    this.windowWanted = false;
    this.control.setInterruptWindow(-1);
    this.control.setNmiWindow(false);
  }

  private assistNmi(): void {
    const { vlapic, registers, cost, control } = this;
    if (registers.canTakeNmi) {
      vlapic.nmiPending = false;
      registers.injectNmi();
      cost.run(cost.compile(this.stages.injection));
      return;
    }
    cost.run(cost.compile(this.stages.window));
    control.setNmiWindow(true);
    this.windowWanted = true;
  }

  private followTaskPriority(): void {
    this.vlapic.followTaskPriority(this.registers.words[State.Cr8]);
  }
}
