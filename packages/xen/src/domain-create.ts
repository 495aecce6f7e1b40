import { Errno } from "./errno.js";

/** Bits of a domain's creation flags (`XEN_DOMCTL_CDF_*`); the last one is the HVMv2 proposal's. */
export const DomainCreate = {
  Hvm: 0x1,
  Hap: 0x2,
  S3Integrity: 0x4,
  OosOff: 0x8,
  XsDomain: 0x10,
  Iommu: 0x20,
  NestedVirt: 0x40,
  Vpmu: 0x80,
  PhysaddrAbi: 0x100,
} as const;

const KNOWN = Object.values(DomainCreate).reduce((all, bit) => all | bit, 0);
/** What Xen has only in builds, or on hosts, that are not modelled: it answers -EINVAL where they are missing. */
const MISSING = DomainCreate.S3Integrity | DomainCreate.Iommu | DomainCreate.NestedVirt | DomainCreate.Vpmu;

/**
 * What the hypervisor says to a domain's creation flags (`sanitise_domain_config`, with the check that the proposal adds).
 * @param flags bits of {@link DomainCreate}
 * @returns 0, or -EINVAL: unknown bits; hap or physaddr_abi for a domain that is not HVM; what this host lacks
 */
export function checkCreateFlags(flags: number): number {
  const hvm = (flags & DomainCreate.Hvm) !== 0;
  if ((flags & ~KNOWN) !== 0 || (flags & MISSING) !== 0) return -Errno.EINVAL;
  if (!hvm && (flags & (DomainCreate.Hap | DomainCreate.PhysaddrAbi)) !== 0) return -Errno.EINVAL;
  return 0;
}
