/** Virtual interrupt sources that Xen knows (`NR_VIRQS`). */
export const NR_VIRQS = 24;
export const VIRQ_TIMER = 0;
export const VIRQ_DEBUG = 1;

/** Who may bind a VIRQ: each vCPU its own, the domain once, or one domain of the host (the hardware domain). */
export type VirqType = "vcpu" | "domain" | "global";

const PER_VCPU = [VIRQ_TIMER, VIRQ_DEBUG, 7 /* XENOPROF */, 13 /* XENPMU */];
const PER_DOMAIN = [11 /* ARGO */];

/** By VIRQ number (public/xen.h). */
export const VIRQ_TYPES: readonly VirqType[] = Array.from({ length: NR_VIRQS }, (_, virq) => {
  if (PER_VCPU.includes(virq)) return "vcpu";
  return PER_DOMAIN.includes(virq) ? "domain" : "global";
});
