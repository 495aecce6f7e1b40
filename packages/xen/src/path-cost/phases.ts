/**
 * Ledger phases of the modelled hypervisor, in the order in which a hypercall passes through them. The root phase
 * `guest` is the guest's own code; what the processor does in VM exit and entry is charged by `@hyperwalk/cpu`.
 */
export const Phase = {
  /** From the first instruction after the exit: saving registers, finding `current`. */
  EntryAssembly: "entry assembly",
  /** Mitigations have a phase each, wherever on the path they stand: `spec-ctrl=ibpb-entry`, */
  Ibpb: "mitigations: IBPB",
  /** `rsb`, */
  RsbOverwrite: "mitigations: RSB overwrite",
  /** `msr-sc`, */
  SpecCtrl: "mitigations: SPEC_CTRL",
  /** `bhb-entry`, */
  BhbClear: "mitigations: BHB clearing",
  /** `verw`. */
  Verw: "mitigations: VERW",
  /** `svm_vmexit_handler`, `vmx_vmexit_handler`: exit reason, instruction length, RIP update. */
  ExitHandler: "exit handler",
  /** `hvm_hypercall`: mode, privilege, table. */
  HypercallDispatch: "hypercall dispatch",
  /** The hypercall's own body, and what it calls that has no phase of its own. */
  Operation: "operation",
  /** `copy_{from,to}_guest` outside the phases below. */
  Copy: "copy",
  /** Software walk of the guest's page tables. */
  GuestWalk: "guest walk",
  /** `p2m_get_page_from_gfn` and `put_page`. */
  P2mLookup: "p2m lookup",
  /** `map_domain_page`: arithmetic on the direct map. */
  Map: "map",
  /** `hvm_mmio_internal`: asks each MMIO handler of the domain. */
  MmioScan: "mmio scan",
  /** CPUID, MSR, I/O and other exits: their own work. */
  ExitOperation: "exit operation",
  /** The switch of a physical CPU from one domain's vCPU to another's. */
  DomainSwitch: "domain switch",
  /** Kernel of the domain that a device model runs in. */
  DeviceModelKernel: "device model's kernel",
  /** A process that emulates devices: Xen's device model, KVM's monitor. */
  UserSpaceMonitor: "user-space monitor",
  /** What a device does about a notification, wherever its handler runs. */
  DeviceHandler: "device handler",
  /** KVM alone: faults of the second stage (`kvm_mmu_page_fault`). */
  PageFault: "page fault",
  /** KVM alone: from the decision that the monitor has to see an exit to its first instruction after KVM_RUN. */
  ExitToUser: "exit to user space",
  /** KVM alone: IBPB before user space runs (`vmscape=ibpb`). */
  ExitToUserIbpb: "mitigations: IBPB on exit to user space",
  /** KVM alone: system calls of the monitor's while it serves an exit, KVM_TRANSLATE among them. */
  MonitorCall: "system calls of the monitor",
  /** KVM alone: KVM_RUN, from the system call to the loop around the guest. */
  KvmRun: "KVM_RUN",
  /** Interrupt assist, nested-virtualization checks, softirqs, VM-entry helper. */
  ReturnPath: "return path",
  /** Restoring registers up to VMRUN or VMRESUME. */
  ExitAssembly: "exit assembly",
} as const;

/** What phases have in common that are lines of one part of the path: the name up to a colon. */
export function familyOf(phase: string): string {
  const end = phase.indexOf(":");
  return end < 0 ? phase : phase.slice(0, end);
}

/** All of them, in path order. */
export const HYPERVISOR_PHASES: readonly string[] = Object.values(Phase);
