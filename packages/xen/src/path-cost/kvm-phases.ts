/** Ledger phases of KVM's Xen code, beside those that it has in common with any hypervisor's path. */
export const KvmPhase = {
  /** `kvm_xen_set_evtchn*`: from an event to the bits that tell the guest, and to its vCPU. */
  EventDelivery: "event delivery",
  /** `gfn_to_pfn_cache`: refreshes, activation, deactivation, and what the MMU notifier invalidates. */
  PfnCache: "pfn cache",
  /** KVM_SET_USER_MEMORY_REGION. */
  MemorySlots: "memory slots",
  /** Getting and setting attributes. */
  XenAttributes: "xen attributes",
  /** Run state areas, time records, timers. */
  XenTime: "xen time",
  /** What a worker thread of the kernel does for an irqfd. */
  IrqfdWork: "irqfd work",
} as const;

/** One of them. */
export type KvmPhaseName = (typeof KvmPhase)[keyof typeof KvmPhase];
