import type { Continuation } from "../continuation.js";
import { FlavouredAccess } from "../guest-access/flavoured.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import type { Operation, OperationCall } from "../operations/operation.js";
import { FLAVOUR_DISPATCH } from "../path-cost/stages/flavour.js";
import type { AbiParts, DomainAbi } from "./domain-abi.js";
import type { HypercallArguments } from "./hypercall-arguments.js";
import { PointerAbi } from "./pointer-abi.js";

/** Bit of a hypercall's number: the pointers of this call are guest-physical. */
export const PHYSICAL_FLAVOUR = 0x40000000;
/** XEN_HVM_CPUID_PHYS_ADDR_ABI; says that calls may have the flavour bit. */
const HVM_CPUID_PHYS_ADDR_ABI = 1 << 7;

/** Choices of {@link percall}. */
export interface PercallOptions {
  /**
   * Continuations lose the bit, as in the RFC of May 2025: a call that was preempted goes on with its pointers taken for
   * linear ones. Default false.
   */
  readonly rfcContinuations?: boolean;
}

/** Calls whose number has certain bits in its upper part, with an access to guest memory of their own. */
export class FlavourAbi extends PointerAbi {
  readonly id: string;
  private readonly bits: number;
  private readonly keepsBits: boolean;
  private readonly stage: number;

  /** @param bits those of {@link PHYSICAL_FLAVOUR} that its numbers have @param keepsBits also when a call goes on later */
  constructor(parts: AbiParts, id: string, bits: number, access: GuestAccess, keepsBits = true) {
    super(parts.operations, parts.registers, access, parts.cost);
    this.id = id;
    this.bits = bits;
    this.keepsBits = keepsBits;
    this.stage = parts.cost.compile(FLAVOUR_DISPATCH);
  }

  override claims(number: number): boolean {
    return (number & PHYSICAL_FLAVOUR) === this.bits;
  }

  override decodeFrom(number: number, from: HypercallArguments): Operation | undefined {
    return super.decodeFrom(number & ~PHYSICAL_FLAVOUR, from);
  }

  /** `hcall_physaddr` is set for as long as the call lasts; a multicall's is put back after each of its entries. */
  override invoke(operation: Operation, call: OperationCall): number {
    this.cost.run(this.stage);
    return this.invokeWithOwnAccess(operation, call);
  }

  resume(continuation: Continuation): void {
    if (this.keepsBits) continuation.number |= this.bits;
  }
}

/**
 * The flavour of each call by a bit of its number (Beulich, September 2022; patch 3 of the SEV RFC of May 2025): with
 * {@link PHYSICAL_FLAVOUR} all its pointers, nested ones too, are guest-physical, without it they are linear. In any mode.
 * A multicall's list goes by the multicall's own number, each entry by the entry's. A second hypercall page has stubs with
 * the bit.
 */
export function percall(options: PercallOptions = {}): DomainAbi {
  const { rfcContinuations = false } = options;
  return {
    name: "percall",
    options: rfcContinuations ? { rfcContinuations } : {},
    pointers: "linear",
    cpuidFeatures: HVM_CPUID_PHYS_ADDR_ABI,
    hypercallPages: [0, PHYSICAL_FLAVOUR],
    make: (parts) => [
      new FlavourAbi(parts, "linear", 0, new FlavouredAccess(parts.linear, parts.cost)),
      new FlavourAbi(
        parts,
        "percall",
        PHYSICAL_FLAVOUR,
        new FlavouredAccess(parts.physical, parts.cost),
        !rfcContinuations,
      ),
    ],
  };
}
