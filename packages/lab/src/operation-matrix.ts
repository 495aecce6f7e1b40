import type { ProcessorProfile } from "@hyperwalk/cpu";
import { type OperationName, operationTour } from "@hyperwalk/guest-sdk";
import { createXenSystem, OPERATIONS, type XenConfig } from "@hyperwalk/xen";
import { hostSettings } from "./compare.js";
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY_MIB, DEFAULT_MMIO_HANDLERS } from "./defaults.js";
import { estimatesUsed, mergeEstimates } from "./estimates.js";
import {
  ABIS,
  type AbiName,
  type CompareDocument,
  type EstimateUsed,
  type GuestPage,
  type P2mPage,
  type RunExit,
} from "./result.js";
import { runExit } from "./run-guest.js";
import { TOOL } from "./tool.js";

/** Every operation through every interface. Everything but the machine has a default. */
export interface MatrixRequest {
  readonly machine: ProcessorProfile;
  /** Default: all of {@link ABIS}. */
  readonly abis?: readonly AbiName[];
  /** Names of `OperationDescriptor.name`; default all that Xen has here. */
  readonly operations?: readonly string[];
  readonly guestPage?: GuestPage;
  readonly p2mPage?: P2mPage;
  readonly mmioHandlers?: number;
  readonly memoryMiB?: number;
  readonly mitigations?: XenConfig;
  readonly maxInstructions?: number;
}

/** One operation through one interface. */
export type MatrixCell =
  | {
      readonly abi: AbiName;
      /** What the guest's two time stamps around the call saw, less those of two without a call between. */
      readonly cyclesPerCall: number;
      /** Share of the cycles that the first interface takes; `null` for that one, and where it carries nothing. */
      readonly saving: number | null;
      /** What rax had afterwards, as a signed number: a value or a negative errno. */
      readonly result: number;
    }
  | { readonly abi: AbiName; readonly cyclesPerCall: null; readonly reason: string };

export interface MatrixRow {
  readonly operation: string;
  /** Where the count of the operation's own instructions is from. */
  readonly basis: string;
  /** What the cost depends on, and how that is here; absent where that needs no saying. */
  readonly condition?: string;
  /** In the order of the interfaces. */
  readonly cells: readonly MatrixCell[];
}

/** Plain data, the same bytes for the same inputs. */
export interface MatrixDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly machine: {
    readonly id: string;
    readonly name: string;
    readonly vendor: string;
    readonly ghz: number;
  };
  readonly host: Omit<CompareDocument["host"], "fastForward">;
  readonly guest: { readonly name: string };
  readonly abis: readonly AbiName[];
  readonly operations: readonly MatrixRow[];
  /** How each interface's guest ended. */
  readonly exits: readonly RunExit[];
  readonly estimates: readonly EstimateUsed[];
}

/** Names of all operations that can be asked for. */
export const MATRIX_OPERATIONS: readonly string[] = OPERATIONS.map(({ descriptor }) => descriptor.name);

/**
 * Measures operations one after the other in one guest for each interface.
 * @throws RangeError when an operation does not exist, or none or no interface is given
 */
export function compareOperations(request: MatrixRequest): MatrixDocument {
  const { machine } = request;
  const abis = request.abis ?? ABIS;
  const names = request.operations ?? MATRIX_OPERATIONS;
  const unknown = names.find((name) => !MATRIX_OPERATIONS.includes(name));
  if (unknown !== undefined)
    throw new RangeError(`operations: "${unknown}" does not exist; allowed: ${MATRIX_OPERATIONS.join(", ")}`);
  if (names.length === 0) throw new RangeError(`operations: none is given`);
  if (abis.length === 0) throw new RangeError(`abis: none is given; allowed: ${ABIS.join(", ")}`);
  const memoryMiB = request.memoryMiB ?? DEFAULT_MEMORY_MIB;
  const guestPage = request.guestPage ?? "4k";
  const runs = abis.map((abi) => {
    const tour = operationTour({
      abi,
      vendor: machine.vendor,
      leaf: guestPage,
      operations: names as readonly OperationName[],
    });
    const system = createXenSystem({
      profile: machine,
      xen: request.mitigations ?? {},
      domain: {
        image: tour.image,
        memoryBytes: memoryMiB * 2 ** 20,
        abi,
        p2mPage: request.p2mPage ?? "4k",
        mmioHandlers: request.mmioHandlers ?? DEFAULT_MMIO_HANDLERS,
      },
      measureWindow: false,
    });
    const outcome = system.run({ maxInstructions: request.maxInstructions ?? DEFAULT_MAX_INSTRUCTIONS });
    const left: ReadonlyMap<string, string> = tour.left;
    const conditions: ReadonlyMap<string, string> = tour.conditions;
    return {
      abi,
      left,
      conditions,
      measured: measuredIn(system.console),
      exit: runExit(outcome),
      config: system.config,
      estimates: estimatesUsed(system),
    };
  });
  return {
    tool: TOOL,
    machine: { id: machine.id, name: machine.name, vendor: machine.vendor, ghz: machine.frequency.value },
    host: hostSettings(runs[0].config, guestPage, memoryMiB),
    guest: { name: "tour" },
    abis,
    operations: names.map((operation) => {
      const first = runs[0].measured.get(operation);
      const condition = runs[0].conditions.get(operation);
      return {
        operation,
        ...(condition !== undefined && { condition }),
        basis: OPERATIONS.find(({ descriptor }) => descriptor.name === operation)?.stage.basis ?? "estimate",
        cells: runs.map(({ abi, measured, left }, i): MatrixCell => {
          const found = measured.get(operation);
          if (found === undefined)
            return {
              abi,
              cyclesPerCall: null,
              reason: left.get(operation) ?? "the guest did not come to it",
            };
          const { cycles, result } = found;
          // A refusal that comes sooner saves nothing.
          const isAlike = first !== undefined && first.result < 0 === result < 0;
          const saving = i === 0 || !isAlike ? null : 1 - cycles / first.cycles;
          return { abi, cyclesPerCall: cycles, saving, result };
        }),
      };
    }),
    exits: runs.map(({ exit }) => exit),
    estimates: mergeEstimates(runs.map(({ estimates }) => estimates)),
  };
}

/** The lines of a tour, by operation. */
function measuredIn(
  console: string,
): ReadonlyMap<string, { readonly cycles: number; readonly result: number }> {
  const lines = console.matchAll(/^tour: op=(\S+) cycles=(\d+) result=(0x[0-9a-f]+)$/gm);
  return new Map(
    [...lines].map(([, operation, cycles, result]) => [
      operation,
      { cycles: Number(cycles), result: Number(BigInt.asIntN(64, BigInt(result))) },
    ]),
  );
}
