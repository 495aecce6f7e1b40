/**
 * Where the doorbell's handler runs: in the hypervisor (KVM: in the kernel); in another thread that an eventfd wakes (KVM
 * alone); in a process that emulates devices (Xen: an ioreq server in another domain, KVM: the monitor).
 */
export const DOORBELL_HANDLERS = ["hypervisor", "ioeventfd", "user-space"] as const;
export type DoorbellHandlerName = (typeof DOORBELL_HANDLERS)[number];

/** A device that the guest can notify, see `Doorbell`. */
export interface DoorbellConfig {
  readonly handler: DoorbellHandlerName;
  /** Hypercalls notify it, too; default true. */
  readonly hypercalls?: boolean | undefined;
  /**
   * A write to the page of registers is matched by its address, without fetching and decoding the instruction. KVM does so
   * for an ioeventfd of length 0; Xen has nothing like it. Default false. It needs an exit that tells the instruction's
   * length, which AMD's nested page faults do not.
   */
  readonly fastMmio?: boolean | undefined;
}

export type ResolvedDoorbell = Required<{
  readonly [K in keyof DoorbellConfig]: Exclude<DoorbellConfig[K], undefined>;
}>;

/**
 * What the hypervisor does about a hypercall instruction of the other vendor's, which is #UD: nothing, so that the guest
 * takes it; rewrites the instruction where it is, and lets the guest repeat it (KVM); does the call and leaves the
 * instruction as it is.
 */
export const HYPERCALL_FIXUPS = ["none", "patch", "emulate"] as const;
export type HypercallFixup = (typeof HYPERCALL_FIXUPS)[number];
