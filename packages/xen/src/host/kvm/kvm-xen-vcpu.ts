/**
 * What KVM's Xen code knows of a vCPU: enough for events to reach it. The vCPU loop implements it, tests stand in for it.
 */
export interface KvmXenVcpu {
  /** `vcpu_id`, which KVM_CREATE_VCPU was given: also its APIC id. */
  readonly id: number;
  /** Is it in long mode (EFER.LMA)? */
  readonly longMode: boolean;
  /** Does it run guest code at this moment, on another processor than that of the caller? */
  readonly inGuestMode: boolean;
  /** Is it blocked (HLT, SCHEDOP_poll)? */
  readonly isBlocked: boolean;
  /** `sched_info.run_delay` of its thread: nanoseconds that it waited for a processor, which are stolen from the guest. */
  readonly runDelayNs: number;
  /** Cycles that the guest's time stamp is ahead of one that began with the kvmclock. */
  readonly timestampOffset: number;
  /**
   * KVM_REQ_UNBLOCK and `kvm_vcpu_kick`: it wakes, or leaves the guest, and looks for interrupts and requests before it
   * goes on.
   */
  kick(): void;
  /** A fixed, edge-triggered interrupt at its local APIC (`kvm_irq_delivery_to_apic_fast`). @param vector 16 to 255 */
  setInterrupt(vector: number): void;
  /** KVM_REQ_CLOCK_UPDATE: the time records are written before the guest runs again. */
  requestClockUpdate(): void;
}
