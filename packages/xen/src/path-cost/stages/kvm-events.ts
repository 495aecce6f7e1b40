import { KvmPhase } from "../kvm-phases.js";
import type { Stage } from "../stage.js";

/*
 * KVM's event channels and the caches of guest pages behind them. Nothing here was counted: estimates from reading Linux
 * (arch/x86/kvm/xen.c, virt/kvm/pfncache.c, virt/kvm/kvm_main.c, 6.x) as a distribution's compiler makes it, with return
 * thunks. `domain` is struct kvm, `vcpu` struct kvm_vcpu. The guest's own pages are touched where the bits are.
 */

const READ = "read in source:";

/** Fast path up to the answer from shared_info. */
export const KVM_SET_EVTCHN_FAST: Stage = {
  name: "kvm_xen_set_evtchn_fast",
  phase: KvmPhase.EventDelivery,
  instructions: 150,
  basis: "estimate",
  source: `${READ} vCPU look-up, SRCU read lock with its full barriers, read lock of the cache with interrupts off, kvm_gpc_check, test-and-set of the pending bit, test of the mask`,
  range: [90, 300],
  atomics: 5,
  cliSti: 1,
  touches: [
    { object: "domain", offsets: [0x0, 0x40, 0x180] }, // vcpu_array, srcu, memslots
    { object: "domain", offsets: [0x200, 0x240], write: true }, // shinfo_cache and its lock
    { object: "percpu", offsets: [0x80], write: true }, // srcu's counter
  ],
};

/** The rest of it, for a port that was neither pending nor masked: the vCPU's own record. */
export const KVM_SET_EVTCHN_VCPU: Stage = {
  name: "kvm_xen_set_evtchn_fast (vcpu_info)",
  phase: KvmPhase.EventDelivery,
  instructions: 80,
  basis: "estimate",
  source: `${READ} read lock of the second cache, kvm_gpc_check, test-and-set of the selector's bit, upcall_pending`,
  range: [50, 160],
  atomics: 3,
  cliSti: 1,
  touches: [{ object: "vcpu", offsets: [0x200, 0x240], write: true }],
};

/** `kvm_xen_check_poller` */
export const KVM_CHECK_POLLER: Stage = {
  name: "kvm_xen_check_poller",
  phase: KvmPhase.EventDelivery,
  instructions: 18,
  basis: "estimate",
  source: `${READ} comparison of the port, test-and-clear of the vCPU's bit`,
  range: [10, 35],
  atomics: 1,
};

/** Request and kick of a vCPU, wherever it is. */
export const KVM_VCPU_KICK: Stage = {
  name: "kvm_make_request, kvm_vcpu_kick",
  phase: KvmPhase.EventDelivery,
  instructions: 90,
  basis: "estimate",
  source: `${READ} request bit, wake-up of nobody, test whether the vCPU is in guest mode, preemption off and on`,
  range: [50, 200],
  atomics: 2,
  touches: [{ object: "vcpu", offsets: [0x0, 0x40], write: true }],
};

/** Over and above that, where it runs guest code: the interrupt to its processor. */
export const KVM_KICK_IPI: Stage = {
  name: "smp_send_reschedule",
  phase: KvmPhase.EventDelivery,
  instructions: 60,
  basis: "estimate",
  source: `${READ} x2APIC ICR by WRMSR behind MFENCE and LFENCE; what the WRMSR takes beyond an instruction's price is not counted`,
  range: [35, 400],
  lfences: 1,
};

/** Over and above that, where it is blocked: its thread is made runnable. */
export const KVM_WAKE_UP: Stage = {
  name: "kvm_vcpu_wake_up, try_to_wake_up",
  phase: KvmPhase.EventDelivery,
  instructions: 700,
  basis: "estimate",
  source: `${READ} rcuwait, choice of a processor, run queue lock, enqueue; the switch to the thread is its own processor's`,
  range: [400, 2500],
  atomics: 8,
  cliSti: 2,
};

/** `kvm_xen_inject_vcpu_vector` */
export const KVM_INJECT_VECTOR: Stage = {
  name: "kvm_xen_inject_vcpu_vector",
  phase: KvmPhase.EventDelivery,
  instructions: 260,
  basis: "estimate",
  source: `${READ} kvm_irq_delivery_to_apic_fast through the APIC map, __apic_accept_irq, posted interrupt or request with kick`,
  range: [150, 700],
  atomics: 3,
  touches: [{ object: "vlapic", offsets: [0x200], write: true }],
};

/** What the slow path takes over and above the fast ones that it makes and the refreshes. */
export const KVM_SET_EVTCHN_SLOW: Stage = {
  name: "kvm_xen_set_evtchn",
  phase: KvmPhase.EventDelivery,
  instructions: 70,
  basis: "estimate",
  source: `${READ} mutex of the Xen state, loop, SRCU read lock around the refresh; another thread's wait for the mutex is not counted`,
  range: [45, 160],
  atomics: 4,
  touches: [{ object: "domain", offsets: [0x1c0], write: true }], // xen_lock
};

/** `kvm_xen_inject_pending_events` with something to inject: the vCPU writes its own record. */
export const KVM_INJECT_PENDING: Stage = {
  name: "kvm_xen_inject_pending_events",
  phase: KvmPhase.EventDelivery,
  instructions: 90,
  basis: "estimate",
  source: `${READ} lock and check of the cache, OR into the guest's selector, AND of the kernel's`,
  range: [55, 180],
  atomics: 4,
  cliSti: 1,
  touches: [{ object: "vcpu", offsets: [0x200, 0x240], write: true }],
};

/** `__kvm_xen_has_interrupt` */
export const KVM_HAS_INTERRUPT: Stage = {
  name: "__kvm_xen_has_interrupt",
  phase: KvmPhase.EventDelivery,
  instructions: 45,
  basis: "estimate",
  source: `${READ} lock and check of the cache, one byte`,
  range: [30, 90],
  atomics: 2,
  cliSti: 1,
  touches: [{ object: "vcpu", offsets: [0x200, 0x240], write: true }],
};

/** Locks, tests and the state of a cache around a refresh. */
export const KVM_GPC_REFRESH: Stage = {
  name: "__kvm_gpc_refresh",
  phase: KvmPhase.PfnCache,
  instructions: 110,
  basis: "estimate",
  source: `${READ} refresh mutex, write lock with interrupts off, comparison of identity and generation`,
  range: [70, 220],
  atomics: 4,
  cliSti: 1,
};

/** Guest address to host address through the slots. */
export const KVM_GPC_GPA_TO_HVA: Stage = {
  name: "__gfn_to_memslot, gfn_to_hva_memslot",
  phase: KvmPhase.PfnCache,
  instructions: 55,
  basis: "estimate",
  source: `${READ} last slot used, red-black tree of a few slots, flags`,
  range: [25, 120],
  touches: [{ object: "domain", offsets: [0x180, 0x2c0, 0x300] }],
};

/** Host address to frame, and its mapping in the kernel: once more for every retry. */
export const KVM_GPC_HVA_TO_PFN: Stage = {
  name: "hva_to_pfn_retry",
  phase: KvmPhase.PfnCache,
  instructions: 380,
  basis: "estimate",
  source: `${READ} fast get_user_pages: four levels of the process's tables with interrupts off, reference on the page; the direct map for kmap; locks dropped and taken. The process's own tables are not in simulated memory: four of its lines are taken as four of the kernel's`,
  range: [220, 900],
  atomics: 5,
  cliSti: 2,
  touches: [{ object: "data", offsets: [0x400, 0x480, 0x500, 0x580] }],
};

/** `kvm_gpc_activate*` over and above its refresh. */
export const KVM_GPC_ACTIVATE: Stage = {
  name: "__kvm_gpc_activate",
  phase: KvmPhase.PfnCache,
  instructions: 45,
  basis: "estimate",
  source: `${READ} entry in the VM's list under its spin lock, write lock for the flag`,
  range: [25, 90],
  atomics: 4,
  cliSti: 1,
};

/** `kvm_gpc_deactivate` */
export const KVM_GPC_DEACTIVATE: Stage = {
  name: "kvm_gpc_deactivate",
  phase: KvmPhase.PfnCache,
  instructions: 80,
  basis: "estimate",
  source: `${READ} refresh mutex, write lock, removal from the list, unmapping`,
  range: [50, 160],
  atomics: 6,
  cliSti: 1,
};

/** `gfn_to_pfn_cache_invalidate_start`: the walk of the list, once for all caches; each cache is a stage of its own. */
export const KVM_GPC_INVALIDATE: Stage = {
  name: "gfn_to_pfn_cache_invalidate_start",
  phase: KvmPhase.PfnCache,
  instructions: 40,
  basis: "estimate",
  source: `${READ} counters of the notifier, spin lock, end of the list`,
  range: [25, 120],
  atomics: 4,
};

/** One cache of that list. */
export const KVM_GPC_INVALIDATE_ONE: Stage = {
  name: "gfn_to_pfn_cache_invalidate_start (one cache)",
  phase: KvmPhase.PfnCache,
  instructions: 30,
  basis: "estimate",
  source: `${READ} read lock with interrupts off, comparison of the range; the write lock where it is hit is in the range`,
  range: [18, 60],
  atomics: 2,
  cliSti: 1,
};

/** KVM_SET_USER_MEMORY_REGION without its publications: system call, checks, allocation, commit. */
export const KVM_SET_MEMORY_REGION: Stage = {
  name: "kvm_vm_ioctl_set_memory_region",
  phase: KvmPhase.MemorySlots,
  instructions: 900,
  basis: "estimate",
  source: `${READ} system call and copy of the argument, slots_lock, checks, search for overlaps, two allocations, commit`,
  range: [500, 2500],
  atomics: 10,
  strings: 1,
};

/** One replacement of the set of slots. */
export const KVM_SWAP_MEMSLOTS: Stage = {
  name: "kvm_replace_memslot, kvm_swap_active_memslots",
  phase: KvmPhase.MemorySlots,
  instructions: 320,
  basis: "estimate",
  source: `${READ} hash, interval tree and red-black tree of the inactive set, publication under the notifier's lock`,
  range: [180, 700],
  atomics: 4,
  touches: [{ object: "domain", offsets: [0x180, 0x2c0, 0x300], write: true }],
};

/** Until nobody reads the former set: the caller's own instructions. */
export const KVM_SYNCHRONIZE_SRCU: Stage = {
  name: "synchronize_srcu_expedited",
  phase: KvmPhase.MemorySlots,
  instructions: 1200,
  basis: "estimate",
  source: `${READ} grace period by polling, work queue, completion, two switches of context; the time that the caller sleeps, some tens of microseconds on real systems, is not charged`,
  range: [600, 6000],
  atomics: 16,
};

/** `kvm_arch_flush_shadow_memslot` without the entries that are zapped. */
export const KVM_FLUSH_SHADOW_MEMSLOT: Stage = {
  name: "kvm_arch_flush_shadow_memslot",
  phase: KvmPhase.MemorySlots,
  instructions: 350,
  basis: "estimate",
  source: `${READ} mmu_lock, obsolete roots, request to all vCPUs; interrupts to their processors are not counted`,
  range: [200, 2000],
  atomics: 6,
};

/** An ioctl that gets or sets an attribute: system call, argument, lock. */
export const KVM_XEN_ATTR: Stage = {
  name: "KVM_XEN_{HVM,VCPU}_{GET,SET}_ATTR",
  phase: KvmPhase.XenAttributes,
  instructions: 420,
  basis: "estimate",
  source: `${READ} system call with its mitigations, file look-up, dispatch, copy of the argument, mutex`,
  range: [250, 900],
  lfences: 2,
  atomics: 4,
  strings: 1,
};

/** Wall clock in shared_info. */
export const KVM_WALLCLOCK: Stage = {
  name: "kvm_xen_shared_info_init",
  phase: KvmPhase.XenAttributes,
  instructions: 190,
  basis: "estimate",
  source: `${READ} epoch of the kvmclock by a 64-bit division, five stores, request to all vCPUs`,
  range: [110, 400],
  atomics: 3,
};

/** KVM_XEN_HVM_EVTCHN_SEND around the delivery. */
export const KVM_EVTCHN_SEND_IOCTL: Stage = {
  name: "kvm_xen_hvm_evtchn_send",
  phase: KvmPhase.EventDelivery,
  instructions: 390,
  basis: "estimate",
  source: `${READ} system call with its mitigations, file look-up, dispatch, copy of twelve bytes, checks`,
  range: [230, 850],
  lfences: 2,
  atomics: 2,
  strings: 1,
};

/** The table of ports that a guest sends on. */
export const KVM_EVTCHN_PORT_LOOKUP: Stage = {
  name: "kvm_xen_hcall_evtchn_send",
  phase: KvmPhase.EventDelivery,
  instructions: 60,
  basis: "estimate",
  source: `${READ} RCU read lock, idr_find in a tree of one or two levels`,
  range: [35, 120],
  touches: [{ object: "domain", offsets: [0x340, 0x380] }],
};

/** `eventfd_signal` with one waiter. */
export const EVENTFD_SIGNAL: Stage = {
  name: "eventfd_signal",
  phase: KvmPhase.EventDelivery,
  instructions: 90,
  basis: "estimate",
  source: `${READ} wait queue's lock with interrupts off, count, call of the waiter`,
  range: [50, 180],
  atomics: 2,
  cliSti: 1,
};

/** `irqfd_wakeup` up to the route's own code. */
export const IRQFD_WAKEUP: Stage = {
  name: "irqfd_wakeup, kvm_arch_set_irq_inatomic",
  phase: KvmPhase.EventDelivery,
  instructions: 110,
  basis: "estimate",
  source: `${READ} count taken off the eventfd, SRCU read lock, copy of the route under its sequence count`,
  range: [60, 220],
  atomics: 3,
};

/** It could not be done without sleeping: a worker is told. */
export const IRQFD_QUEUE_WORK: Stage = {
  name: "schedule_work",
  phase: KvmPhase.EventDelivery,
  instructions: 450,
  basis: "estimate",
  source: `${READ} queue_work_on: pool's lock, list, wake-up of a worker`,
  range: [250, 1500],
  atomics: 7,
  cliSti: 1,
};

/** The worker: it is switched to, borrows the process's memory and injects. */
export const IRQFD_INJECT: Stage = {
  name: "process_one_work, irqfd_inject, kvm_set_irq",
  phase: KvmPhase.IrqfdWork,
  instructions: 1900,
  basis: "estimate",
  source: `${READ} switch to and from the worker, kthread_use_mm with a write of CR3, routes of the GSI, kvm_set_irq`,
  range: [1000, 5000],
  atomics: 14,
  lfences: 2,
};

/** One write of a run state area. */
export const KVM_UPDATE_RUNSTATE_GUEST: Stage = {
  name: "kvm_xen_update_runstate_guest",
  phase: KvmPhase.XenTime,
  instructions: 110,
  basis: "estimate",
  source: `${READ} lock and check of one cache, or of two, state and five times`,
  range: [70, 240],
  atomics: 2,
  cliSti: 1,
  touches: [{ object: "runstate", offsets: [0] }],
};

/** `kvm_xen_update_runstate` without that. */
export const KVM_UPDATE_RUNSTATE: Stage = {
  name: "kvm_xen_update_runstate",
  phase: KvmPhase.XenTime,
  instructions: 75,
  basis: "estimate",
  source: `${READ} kvmclock under its sequence count, stolen time, one addition`,
  range: [45, 150],
  touches: [{ object: "runstate", offsets: [0], write: true }],
};

/** One time record. */
export const KVM_SETUP_GUEST_PVCLOCK: Stage = {
  name: "kvm_setup_guest_pvclock",
  phase: KvmPhase.XenTime,
  instructions: 85,
  basis: "estimate",
  source: `${READ} lock and check of the cache, copy of 32 bytes between two versions`,
  range: [50, 170],
  atomics: 2,
  cliSti: 1,
};

/** Starting or stopping a vCPU's timer. */
export const KVM_XEN_TIMER: Stage = {
  name: "kvm_xen_{start,stop}_timer",
  phase: KvmPhase.XenTime,
  instructions: 330,
  basis: "estimate",
  source: `${READ} hrtimer_cancel, ktime_get, hrtimer_start, the deadline's WRMSR`,
  range: [180, 800],
  atomics: 4,
  cliSti: 2,
};

/** Its interrupt; the event is a stage of its own. */
export const KVM_XEN_TIMER_CALLBACK: Stage = {
  name: "hrtimer_interrupt, xen_timer_callback",
  phase: KvmPhase.XenTime,
  instructions: 520,
  basis: "estimate",
  source: `${READ} interrupt entry and exit, EOI by WRMSR, timer queue, next deadline`,
  range: [300, 1400],
  lfences: 2,
  atomics: 4,
};
