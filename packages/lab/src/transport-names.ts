/** Ways to notify a device, as the guest and the hypervisor agree on them. */
export const TRANSPORTS = [
  "hypercall-inline",
  "hypercall-page",
  "hypercall-patched",
  "hypercall-emulated",
  "pio",
  "mmio",
  "mmio-fast",
  "mmio-over-hypercall",
] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** Hypervisors that the experiment runs under. */
export const TRANSPORT_HOSTS = ["xen", "kvm"] as const;
export type TransportHost = (typeof TRANSPORT_HOSTS)[number];

export const DEFAULT_NOTIFICATIONS = 1024;
