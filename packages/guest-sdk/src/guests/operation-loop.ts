import { defineGuest, type Guest } from "../guest.js";
import { GuestSourceError } from "../guest-source-error.js";
import type { OperationName } from "../stubs/operations.gen.js";
import { OPERATION_SAMPLES } from "./operation-samples.js";

/** What an operation loop does besides the operation. */
export interface OperationLoopOptions {
  /** Calls before the measured loop; default 64. */
  readonly warmUp?: number;
}

/**
 * A guest that makes one operation's sample call in a loop of `iterations` between two time stamps. Samples that need other
 * calls before or after each of theirs make those in the loop, too: figures per call are of all of them. Prints
 * `operation-loop: op=… bodies=… cycles=…`.
 * @throws GuestSourceError for an operation that there is no such call of; when it is built, for an interface that does not
 * carry it
 */
export function operationLoop(operation: OperationName, { warmUp = 64 }: OperationLoopOptions = {}): Guest {
  const sample = OPERATION_SAMPLES.find((each) => each.operation === operation);
  if (sample === undefined)
    throw new GuestSourceError("VALUE", `${operation}: no such operation`, LOOPED_OPERATIONS.join(", "));
  if ("unmeasured" in sample) throw new GuestSourceError("VALUE", `${operation}: ${sample.unmeasured}`);
  return defineGuest("operation-loop", (g) => {
    sample.emit(g, {
      data: g.buffer(4096, 4096),
      list: g.buffer(4096, 4096),
      spare: g.buffer(4096, 4096),
      measured: (call) => void call(),
      again: (body) => {
        if (warmUp > 0) g.repeat(warmUp, body);
        const cycles = g.measure(() => g.repeat(g.iterations, body));
        g.print(`operation-loop: op=${operation} bodies=${g.iterations} cycles=`);
        g.printDecimal(cycles);
        g.print("\n");
        cycles.release();
      },
    });
  });
}

/** Operations that {@link operationLoop} can call. */
export const LOOPED_OPERATIONS: readonly OperationName[] = OPERATION_SAMPLES.filter(
  (sample) => "emit" in sample,
).map(({ operation }) => operation);
