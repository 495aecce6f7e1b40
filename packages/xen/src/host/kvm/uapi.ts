/*
 * The part of Linux's KVM interface that Xen guests use, under its own names and numbers
 * (`arch/x86/include/uapi/asm/kvm.h`, `include/uapi/linux/kvm.h`). Addresses and frame numbers are numbers, exact up to
 * 2^53, as no processor has more; counts of nanoseconds that a guest or a monitor may set to anything are bigints.
 */

/** KVM_CAP_XEN_HVM, what KVM_CHECK_EXTENSION is asked for. */
export const KVM_CAP_XEN_HVM = 38;
/** `kvm_run.exit_reason` of a hypercall that the kernel leaves to user space, and its `type`. */
export const KVM_EXIT_XEN = 34;
export const KVM_EXIT_XEN_HCALL = 1;

/** Bits that KVM_CHECK_EXTENSION answers for {@link KVM_CAP_XEN_HVM}, and `flags` of `kvm_xen_hvm_config`. */
export const KvmXenHvmConfigFlag = {
  HYPERCALL_MSR: 0x1,
  INTERCEPT_HCALL: 0x2,
  SHARED_INFO: 0x4,
  RUNSTATE: 0x8,
  EVTCHN_2LEVEL: 0x10,
  EVTCHN_SEND: 0x20,
  RUNSTATE_UPDATE_FLAG: 0x40,
  PVCLOCK_TSC_UNSTABLE: 0x80,
  SHARED_INFO_HVA: 0x100,
} as const;

/** ioctl numbers (KVMIO 0xae), for logs: the classes here are called instead. */
export const KvmIoctl = {
  SET_USER_MEMORY_REGION: 0x46,
  XEN_HVM_CONFIG: 0x7a,
  XEN_HVM_GET_ATTR: 0xc8,
  XEN_HVM_SET_ATTR: 0xc9,
  XEN_VCPU_GET_ATTR: 0xca,
  XEN_VCPU_SET_ATTR: 0xcb,
  XEN_HVM_EVTCHN_SEND: 0xd0,
} as const;

/** Where the MSR of the hypercall page may be. */
export const KVM_XEN_MSR_MIN_INDEX = 0x40000000;
export const KVM_XEN_MSR_MAX_INDEX = 0x4fffffff;

/** VM attributes (KVM_XEN_ATTR_TYPE_*). */
export const KvmXenAttrType = {
  LONG_MODE: 0x0,
  SHARED_INFO: 0x1,
  UPCALL_VECTOR: 0x2,
  EVTCHN: 0x3,
  XEN_VERSION: 0x4,
  RUNSTATE_UPDATE_FLAG: 0x5,
  SHARED_INFO_HVA: 0x6,
} as const;

/** vCPU attributes (KVM_XEN_VCPU_ATTR_TYPE_*). */
export const KvmXenVcpuAttrType = {
  VCPU_INFO: 0x0,
  VCPU_TIME_INFO: 0x1,
  RUNSTATE_ADDR: 0x2,
  RUNSTATE_CURRENT: 0x3,
  RUNSTATE_DATA: 0x4,
  RUNSTATE_ADJUST: 0x5,
  VCPU_ID: 0x6,
  TIMER: 0x7,
  UPCALL_VECTOR: 0x8,
  VCPU_INFO_HVA: 0x9,
} as const;

/** Guest frame and address that stand for none: all ones, of which a number keeps the magnitude. */
export const KVM_XEN_INVALID_GFN: number = 2 ** 64;
export const KVM_XEN_INVALID_GPA: number = 2 ** 64;

/** `flags` of the attribute EVTCHN; one at most. */
export const KvmXenEvtchnFlag = { DEASSIGN: 1, UPDATE: 2, RESET: 4 } as const;
/** The only priority there is: 2-level event channels have none. */
export const KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL = 0xffffffff;
/** Type of a GSI's route that ends in an event channel. */
export const KVM_IRQ_ROUTING_XEN_EVTCHN = 5;

/** `state` of RUNSTATE_ADJUST that leaves the state as it is: all ones. */
export const KVM_XEN_RUNSTATE_SAME = -1;

/** vCPU ids end below this (KVM_MAX_VCPUS). */
export const KVM_MAX_VCPUS = 1024;

/** `struct kvm_userspace_memory_region`. */
export interface KvmUserspaceMemoryRegion {
  /** 0 to {@link KVM_USER_MEM_SLOTS} - 1. */
  readonly slot: number;
  /** {@link KvmMemFlag} */
  readonly flags: number;
  readonly guestPhysAddr: number;
  /** Bytes; 0 deletes the slot. */
  readonly memorySize: number;
  readonly userspaceAddr: number;
}

/** `flags` of a memory region. */
export const KvmMemFlag = { LOG_DIRTY_PAGES: 1, READONLY: 2 } as const;
/** Slots that user space can have: 32767 less three that the kernel keeps. */
export const KVM_USER_MEM_SLOTS = 32764;
/** Pages of one slot at most. */
export const KVM_MEM_MAX_NR_PAGES: number = 2 ** 31 - 1;

/** `struct kvm_xen_hvm_config`. */
export interface KvmXenHvmConfig {
  readonly flags: number;
  /** MSR that a guest writes to get its hypercall page; 0: none. */
  readonly msr: number;
  readonly blobAddr32: number;
  readonly blobAddr64: number;
  /** Pages. */
  readonly blobSize32: number;
  readonly blobSize64: number;
}

/** `struct kvm_irq_routing_xen_evtchn`: also what KVM_XEN_HVM_EVTCHN_SEND takes. */
export interface KvmIrqRoutingXenEvtchn {
  readonly port: number;
  /** vCPU id. */
  readonly vcpu: number;
  readonly priority: number;
}

/** Where the events that a guest sends on a port go: a port of its own, or an eventfd (port 0). */
export type KvmXenEvtchnDelivery =
  | { readonly port: KvmIrqRoutingXenEvtchn }
  | { readonly eventfd: { readonly fd: number } };

/** One VM attribute with its value. */
export type KvmXenHvmAttr =
  | { readonly type: typeof KvmXenAttrType.LONG_MODE; readonly longMode: boolean }
  | { readonly type: typeof KvmXenAttrType.SHARED_INFO; readonly gfn: number }
  | { readonly type: typeof KvmXenAttrType.SHARED_INFO_HVA; readonly hva: number }
  | { readonly type: typeof KvmXenAttrType.UPCALL_VECTOR; readonly vector: number }
  | { readonly type: typeof KvmXenAttrType.XEN_VERSION; readonly xenVersion: number }
  | { readonly type: typeof KvmXenAttrType.RUNSTATE_UPDATE_FLAG; readonly runstateUpdateFlag: boolean }
  | {
      readonly type: typeof KvmXenAttrType.EVTCHN;
      readonly sendPort: number;
      /** `EVTCHNSTAT_ipi` or `EVTCHNSTAT_interdomain`. */
      readonly evtchnType: number;
      /** {@link KvmXenEvtchnFlag} */
      readonly flags: number;
      readonly deliver: KvmXenEvtchnDelivery;
    };

/** Nanoseconds in each state, as RUNSTATE_DATA and RUNSTATE_ADJUST carry them; unsigned 64-bit numbers. */
export interface KvmXenRunstate {
  /** 0 to 3, or {@link KVM_XEN_RUNSTATE_SAME}. */
  readonly state: number;
  readonly stateEntryTime: bigint;
  readonly timeRunning: bigint;
  readonly timeRunnable: bigint;
  readonly timeBlocked: bigint;
  readonly timeOffline: bigint;
}

/** A vCPU attribute that is a guest address, or {@link KVM_XEN_INVALID_GPA}. */
export type KvmXenGpaAttr<T extends number> = { readonly type: T; readonly gpa: number };
/** A vCPU attribute that is a run state with its times. */
export type KvmXenRunstateAttr<T extends number> = { readonly type: T; readonly runstate: KvmXenRunstate };

/** One vCPU attribute with its value. */
export type KvmXenVcpuAttr =
  | KvmXenGpaAttr<typeof KvmXenVcpuAttrType.VCPU_INFO>
  | { readonly type: typeof KvmXenVcpuAttrType.VCPU_INFO_HVA; readonly hva: number }
  | KvmXenGpaAttr<typeof KvmXenVcpuAttrType.VCPU_TIME_INFO>
  | KvmXenGpaAttr<typeof KvmXenVcpuAttrType.RUNSTATE_ADDR>
  | { readonly type: typeof KvmXenVcpuAttrType.RUNSTATE_CURRENT; readonly state: number }
  | KvmXenRunstateAttr<typeof KvmXenVcpuAttrType.RUNSTATE_DATA>
  | KvmXenRunstateAttr<typeof KvmXenVcpuAttrType.RUNSTATE_ADJUST>
  | { readonly type: typeof KvmXenVcpuAttrType.VCPU_ID; readonly vcpuId: number }
  | {
      readonly type: typeof KvmXenVcpuAttrType.TIMER;
      readonly port: number;
      readonly priority: number;
      /** Of the kvmclock; 0: not running. */
      readonly expiresNs: number;
    }
  | { readonly type: typeof KvmXenVcpuAttrType.UPCALL_VECTOR; readonly vector: number };

/** The Xen part of `struct kvm_run` after an exit to user space for a hypercall; `result` is what user space writes. */
export interface KvmXenExitHcall {
  readonly longmode: boolean;
  readonly cpl: number;
  readonly input: bigint;
  readonly params: readonly bigint[];
  result: bigint;
}
