import type { Continuation } from "../continuation.js";
import type { Operation, OperationCall } from "../operations/operation.js";
import type { PlainData } from "../snapshot/plain-data.js";
import type { HypercallArguments } from "./hypercall-arguments.js";

/**
 * How a hypercall's number, values and results travel. An interface turns registers and guest memory into an
 * {@link OperationCall} and back; it knows every operation only through its descriptor.
 */
export interface HypercallAbi {
  readonly id: string;
  /** Callers in other modes than 64-bit do not have it. */
  readonly longModeOnly: boolean;
  /** Debug builds of Xen overwrite the argument registers after its calls. */
  readonly debugClobbers?: true;
  /** Does this interface claim a call with this number in rax (low word; bits 63:32 are zero)? */
  claims(number: number): boolean;
  /** The operation that the guest's registers name, or `undefined` for -ENOSYS. */
  decode(number: number): Operation | undefined;
  /** {@link decode} of a call whose arguments are elsewhere; absent where they can only be in registers. */
  decodeFrom?(number: number, from: HypercallArguments): Operation | undefined;
  /** Brings the inputs in, runs the operation, takes the outputs out. @returns the result-register value (int32, sign-extended by the caller) */
  invoke(operation: Operation, call: OperationCall): number;
  /** A call of this interface goes on later: its number and arguments become what it goes on with here. Default: they stay. */
  resume?(continuation: Continuation): void;
  /** What it remembers from call to call, as plain data; absent with {@link restore} where that is nothing. */
  snapshot?(): PlainData;
  /** Puts it back. @throws RangeError for what cannot be its own */
  restore?(snapshot: never): void;
}
