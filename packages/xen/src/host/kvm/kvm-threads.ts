import { DeliveryMode } from "@hyperwalk/cpu";
import type { MonitorPhysmap } from "../../monitor/monitor-physmap.js";
import { KVM_SEND_IPI } from "../../path-cost/stages/kvm-entry-exit.js";
import { KVM_KICK_IPI, KVM_WAKE_UP } from "../../path-cost/stages/kvm-events.js";
import { EVENT_CHECK, RESCHEDULE, VcpuTurns, type VcpuTurnsSnapshot } from "../vcpu-turns.js";
import type { KvmVcpu } from "./kvm-vcpu.js";
import type { KvmVm } from "./kvm-vm.js";

/** What is between the vCPUs, as plain data. */
export interface KvmThreadsSnapshot extends VcpuTurnsSnapshot {
  /** Number of the vCPU on whose processor the kernel worked last. */
  readonly kernelOn: number;
}

/**
 * The threads that run a VM's vCPUs, each on a processor of its own and never preempted: what is left of Linux's scheduler is
 * who blocks and what wakes it.
 */
export class KvmThreads extends VcpuTurns<KvmVcpu> {
  private readonly vm: KvmVm;
  private readonly physmap: MonitorPhysmap;
  private kernelOn = 0;

  constructor(vm: KvmVm, physmap: MonitorPhysmap) {
    super();
    this.vm = vm;
    this.physmap = physmap;
  }

  /** The kvmclock: that of the processor on which the kernel works, or between two runs of the one that is furthest. */
  get nowNs(): number {
    const { current } = this;
    if (current !== undefined) return current.vcpu.nowNs;
    return Math.max(0, ...this.vcpus.map(({ vcpu }) => vcpu.nowNs));
  }

  /** Does a thread of another processor ask? Then this vCPU may be in its guest while the caller works. */
  isElsewhere(vcpu: KvmVcpu): boolean {
    const { current } = this;
    return current !== undefined && current !== vcpu;
  }

  /** Has a vCPU look at what has changed; who asks has paid for it. @param unblocks KVM_REQ_UNBLOCK is with it */
  kick(vcpu: KvmVcpu, unblocks: boolean): void {
    this.post(vcpu.id, unblocks ? EVENT_CHECK : RESCHEDULE, 0, false);
  }

  /** A fixed interrupt for the local APIC of a vCPU; who sends it has paid for it. */
  deliver(vcpu: KvmVcpu, vector: number): void {
    this.post(vcpu.id, DeliveryMode.Fixed, vector, false);
  }

  /** The thread that works now sends one interrupt to a processor that runs another vCPU. */
  payReschedule(): void {
    this.charge(KVM_KICK_IPI);
  }

  override snapshot(): KvmThreadsSnapshot {
    return { ...super.snapshot(), kernelOn: this.kernelOn };
  }

  override restore(snapshot: KvmThreadsSnapshot | undefined): void {
    super.restore(snapshot);
    const vcpu = this.vcpus[snapshot?.kernelOn ?? -1];
    if (vcpu === undefined) throw new RangeError(`the kernel is on processor ${snapshot?.kernelOn}`);
    this.takeOver(vcpu);
  }

  /** From now on kernel and monitor work there. */
  protected override takeOver({ id, pcpu }: KvmVcpu): void {
    this.kernelOn = id;
    this.vm.cost = pcpu.cost;
    this.physmap.runOn(pcpu.cost, pcpu.counters);
  }

  /** `kvm_apic_send_ipi` */
  protected override payInterrupt(target: KvmVcpu): void {
    this.charge(KVM_SEND_IPI);
    this.charge(target.isBlocked ? KVM_WAKE_UP : KVM_KICK_IPI);
  }
}
