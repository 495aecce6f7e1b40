import {
  type Guest as GuestProgram,
  GuestSourceError,
  hypercallBenchImage,
  type OperationName,
  operationLoop,
  runstateLoop as runstateProgram,
} from "@hyperwalk/guest-sdk";
import { GUEST_OPERATIONS, type Guest, type GuestOperation, guestCmdline } from "./guest.js";
import { ABIS, COMPARED_ABIS } from "./result.js";

/** A guest that the SDK builds from its source, for each interface anew; `operations` is what its loop calls. */
export function programGuest(program: GuestProgram, operations: readonly GuestOperation[]): Guest {
  return {
    name: program.name,
    operations,
    image: ({ abi, vendor, iterations, guestPage, confidential }) =>
      program.build({ abi, vendor, iterations, leaf: guestPage, confidential }),
    cmdline: guestCmdline,
  };
}

/** C guest that measures one operation in a loop and prints what it found. */
export const hypercallBench: Guest = {
  name: "hypercall-bench",
  operations: GUEST_OPERATIONS,
  abis: COMPARED_ABIS,
  encryptable: false,
  image: hypercallBenchImage,
  cmdline: guestCmdline,
};

/** The loop of the published figure, emitted by the guest SDK. */
export const runstateLoop: Guest = programGuest(runstateProgram, ["get_runstate_info"]);

/** Guests that need no file. */
export const BUILT_IN_GUESTS: readonly Guest[] = [hypercallBench, runstateLoop];

/**
 * A guest that calls one operation in a loop, after `warmUp` calls of it, through the interfaces that carry it.
 * @throws GuestSourceError for an operation that no loop calls
 */
export function operationLoopGuest(operation: string, warmUp: number): Guest {
  const program = operationLoop(operation as OperationName, { warmUp });
  return {
    name: `${program.name} ${operation}`,
    operations: GUEST_OPERATIONS,
    abis: ABIS.filter((abi) => carries(program, abi)),
    image: ({ abi, vendor, iterations, guestPage, confidential }) =>
      program.build({ abi, vendor, iterations, leaf: guestPage, confidential }),
    cmdline: ({ cmdline }) => cmdline,
  };
}

/** Whether a guest can be built for an interface; found by trying. */
function carries(program: GuestProgram, abi: (typeof ABIS)[number]): boolean {
  try {
    program.build({ abi, vendor: "amd" });
    return true;
  } catch (error) {
    if (error instanceof GuestSourceError && error.code === "UNSUPPORTED_BY_ABI") return false;
    throw error;
  }
}
