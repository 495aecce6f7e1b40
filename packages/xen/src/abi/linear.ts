import { PointerAbi } from "./pointer-abi.js";

/** Today's HVM interface: pointers are guest linear addresses. */
export class LinearAbi extends PointerAbi {
  readonly id = "linear";
}
