import type { DoorbellHandlerName } from "@hyperwalk/xen";
import type { TransportHost, TransportName } from "./transport-names.js";

/** How far a published figure was checked: read where it was published, read second-hand, remembered and not verified. */
export type PublishedMark = "M" | "S" | "R";

export const MARK_MEANING: Readonly<Record<PublishedMark, string>> = {
  M: "read in the source named",
  S: "read in a secondary source",
  R: "recalled, not verified: no primary text was found",
};

/** One figure, and what is like it here; absent where nothing is. */
export interface PublishedNotification {
  readonly what: string;
  readonly value: number;
  readonly like?: { readonly handler: DoorbellHandlerName; readonly transport: TransportName };
}

/** Notifications as somebody measured them on real hardware. */
export interface PublishedTransports {
  readonly machine: string;
  readonly hypervisor: string;
  /** Whose column its ratios belong beside. */
  readonly host: TransportHost;
  readonly unit: "cycles" | "ns" | "µs";
  /** The first is what the others are compared with. */
  readonly figures: readonly PublishedNotification[];
  readonly mark: PublishedMark;
  readonly source: string;
}

const figure = (
  what: string,
  value: number,
  handler?: DoorbellHandlerName,
  transport?: TransportName,
): PublishedNotification => ({
  what,
  value,
  ...(handler === undefined || transport === undefined ? {} : { like: { handler, transport } }),
});

/**
 * Those that there are. Only the Xeon Platinum 8160 under KVM is modelled (`skylake-sp`), and some of that profile's prices come
 * from the same measurement; for all others nothing but ratios compares.
 */
export const PUBLISHED_TRANSPORTS: readonly PublishedTransports[] = [
  {
    machine: "unnamed, 2009",
    hypervisor: "KVM",
    host: "kvm",
    unit: "µs",
    figures: [
      figure("ioeventfd, hypercall (extrapolated)", 2.37, "ioeventfd", "hypercall-inline"),
      figure("ioeventfd, PIO", 2.72, "ioeventfd", "pio"),
      figure("ioeventfd, MMIO", 5.0, "ioeventfd", "mmio"),
      figure("user space, PIO (extrapolated)", 6.53, "user-space", "pio"),
      figure("user space, MMIO", 9.09, "user-space", "mmio"),
    ],
    mark: "R",
    source: "G. Haskins's table in the commit of ioeventfd, d34e6b175e61; verify before quoting",
  },
  {
    machine: "unnamed Intel, 2017",
    hypervisor: "KVM",
    host: "kvm",
    unit: "cycles",
    figures: [
      figure("vmcall", 1181, "hypervisor", "hypercall-inline"),
      figure("OUT to the kernel", 1391, "hypervisor", "pio"),
      figure("IN from the kernel", 2339),
      figure("IN from QEMU", 6209),
    ],
    mark: "M",
    source: "KVM commit b7ffc44d5b2e, kvm-unit-tests vmexit",
  },
  {
    machine: "Xeon Platinum 8160, all mitigations, 2026",
    hypervisor: "KVM, Linux 6.14",
    host: "kvm",
    unit: "cycles",
    figures: [
      figure("vmcall", 3864, "hypervisor", "hypercall-inline"),
      figure("OUT to QEMU", 23726, "user-space", "pio"),
      figure("unbacked MMIO to QEMU", 28624, "user-space", "mmio"),
    ],
    mark: "M",
    source: "exit-anatomy; 57 % of the way to QEMU is an IBPB on exits to user space",
  },
  {
    machine: "EPYC 9334",
    hypervisor: "KVM, Linux 6.8",
    host: "kvm",
    unit: "ns",
    figures: [
      figure("VMMCALL", 1255, "hypervisor", "hypercall-inline"),
      figure("IN 0x40 from the kernel", 1635),
    ],
    mark: "M",
    source: "TUM-DSE/CVM_eval, benchmarks/vmexit, 2024",
  },
  {
    machine: "Xeon E5-2450",
    hypervisor: "Xen 4.5, HVM",
    host: "xen",
    unit: "cycles",
    figures: [
      figure("hypercall", 1228, "hypervisor", "hypercall-inline"),
      figure("I/O out, to a device model, one way", 11262),
    ],
    mark: "R",
    source: "Dall et al., ISCA 2016, table II; the table could not be retrieved",
  },
  {
    machine: "Xeon E5-2450",
    hypervisor: "KVM 4.0",
    host: "kvm",
    unit: "cycles",
    figures: [
      figure("hypercall", 1300, "hypervisor", "hypercall-inline"),
      figure("I/O out, ioeventfd, one way", 560),
    ],
    mark: "S",
    source: "Dall et al., ISCA 2016, table II",
  },
];

/** What was said without figures. */
export const PUBLISHED_STATEMENT: {
  readonly statement: string;
  readonly mark: PublishedMark;
  readonly source: string;
} = {
  statement:
    '"on VMX MMIO EVENTFD is essentially as fast as PIO" where a zero-length match needs no decoding',
  mark: "M",
  source: "KVM commit 68c3b4d1676d",
};
