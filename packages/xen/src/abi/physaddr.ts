import { PointerAbi } from "./pointer-abi.js";

/**
 * `physaddr_abi` (HVMv2, RFC of April 2025): the same numbers, arguments and structs, but every pointer of the domain is
 * a guest-physical address.
 */
export class PhysaddrAbi extends PointerAbi {
  readonly id = "physaddr";
}
