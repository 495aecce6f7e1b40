import type { GuestAccess } from "../guest-access/guest-access.js";
import type { GuestRegisters } from "../host/guest-registers.js";
import type { Operation } from "../operations/operation.js";
import type { PathCost } from "../path-cost/path-cost.js";
import type { HypercallAbi } from "./hypercall-abi.js";

/** What an interface of one vCPU is made from. */
export interface AbiParts {
  /** All operations that the hypervisor has. */
  readonly operations: readonly Operation[];
  readonly registers: GuestRegisters;
  readonly cost: PathCost;
  /** Guest memory by the two kinds of address. */
  readonly linear: GuestAccess;
  readonly physical: GuestAccess;
}

/**
 * A hypercall interface as a domain is created with it. Those that have a name in a domain's configuration are in
 * `DOMAIN_ABIS`; a configuration may also hold such an object itself.
 */
export interface DomainAbi {
  readonly name: string;
  /** How it differs from what the name alone stands for; part of what a snapshot must match. */
  readonly options?: Readonly<Record<string, boolean | number | string>>;
  /** What addresses of the domain are where no interface says otherwise: areas that Xen writes by itself, operations called by register. */
  readonly pointers: GuestAccess["id"];
  /** Bits of EAX in Xen's HVM CPUID leaf (base + 4) that announce it. */
  readonly cpuidFeatures: number;
  /**
   * Hypercall pages by the index that the guest writes with the page's address: bits that their stubs' numbers have.
   * Default one page with plain numbers.
   */
  readonly hypercallPages?: readonly number[];
  /** The interfaces of one vCPU: the first that claims a number has it. */
  make(parts: AbiParts): readonly HypercallAbi[];
}

/** How an interface is called in messages and snapshots. */
export function describeAbi({ name, options = {} }: DomainAbi): string {
  const given = Object.entries(options).map(([key, value]) => `${key}: ${value}`);
  return given.length === 0 ? name : `${name}({ ${given.join(", ")} })`;
}
