import type { ProcessorProfile } from "@hyperwalk/cpu";
import { type OperationName, operationTour } from "@hyperwalk/guest-sdk";
import {
  createKvmSystem,
  createXenSystem,
  type GuestSystem,
  type KvmConfig,
  type KvmSystem,
  OPERATIONS,
  type XenConfig,
  type XenSystem,
} from "@hyperwalk/xen";
import { configOf, hostSettings } from "./compare.js";
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY_MIB, DEFAULT_MMIO_HANDLERS } from "./defaults.js";
import { estimatesUsed, mergeEstimates } from "./estimates.js";
import {
  ABIS,
  type AbiName,
  type CompareDocument,
  type EstimateUsed,
  type GuestPage,
  HOSTS,
  type HostName,
  KVM_ABIS,
  type LedgerCell,
  type P2mPage,
  type RunExit,
} from "./result.js";
import { runExit } from "./run-guest.js";
import { TOOL } from "./tool.js";
import { type ServedBy, type TourCall, TourMeter } from "./tour-meter.js";

/** Every operation through every interface, under one hypervisor or both. Everything but the machine has a default. */
export interface MatrixRequest {
  readonly machine: ProcessorProfile;
  /** Default: all of {@link ABIS}. */
  readonly abis?: readonly AbiName[];
  /** Default Xen; KVM is run through those of the interfaces that it has. */
  readonly hosts?: readonly HostName[];
  /** Default: as Linux chooses on this machine. */
  readonly kvm?: KvmConfig;
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
      /** Only where others than Xen were asked for. */
      readonly host?: HostName;
      /** What the guest's two time stamps around the call saw, less those of two without a call between. */
      readonly cyclesPerCall: number;
      /** Share of the cycles that the first interface takes; `null` for that one, and where it carries nothing. */
      readonly saving: number | null;
      /** What rax had afterwards, as a signed number: a value or a negative errno. */
      readonly result: number;
      /** Only under KVM. */
      readonly servedBy?: ServedBy;
      /** Sums to `cyclesPerCall`. */
      readonly ledger: readonly LedgerCell[];
    }
  | {
      readonly abi: AbiName;
      readonly host?: HostName;
      readonly cyclesPerCall: null;
      readonly reason: string;
    };

export interface MatrixRow {
  readonly operation: string;
  /** Where the count of the operation's own instructions is from. */
  readonly basis: string;
  /** What the cost depends on, and how that is here; absent where that needs no saying. */
  readonly condition?: string;
  /** In the order of the columns. */
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
  /** Of each column. */
  readonly abis: readonly AbiName[];
  /** Of each column; only where others than Xen were asked for. */
  readonly hosts?: readonly HostName[];
  readonly operations: readonly MatrixRow[];
  /** How each column's guest ended. */
  readonly exits: readonly RunExit[];
  readonly estimates: readonly EstimateUsed[];
}

/** Names of all operations that can be asked for. */
export const MATRIX_OPERATIONS: readonly string[] = OPERATIONS.map(({ descriptor }) => descriptor.name);

const TIMER_PORT = "with VIRQ_TIMER bound, as Linux binds it; else KVM leaves it to the monitor";

/** What a cost depends on under KVM alone. */
const KVM_CONDITIONS: ReadonlyMap<string, string> = new Map([
  [
    "sched.poll",
    "under Xen until an instant that has passed; KVM takes that for a time from now and sleeps to the next tick of Linux's",
  ],
  ["vcpu.set_singleshot_timer", TIMER_PORT],
  ["vcpu.stop_singleshot_timer", TIMER_PORT],
  ["set_timer_op.set", TIMER_PORT],
]);

/**
 * Measures operations one after the other in one guest for each interface under each hypervisor.
 * @throws RangeError when an operation does not exist, none, no interface or no hypervisor is given, or a hypervisor has none
 * of the interfaces
 */
export function compareOperations(request: MatrixRequest): MatrixDocument {
  const { machine } = request;
  const columns = columnsOf(request);
  const isPlain = columns.every(({ host }) => host === "xen");
  const names = request.operations ?? MATRIX_OPERATIONS;
  const unknown = names.find((name) => !MATRIX_OPERATIONS.includes(name));
  if (unknown !== undefined)
    throw new RangeError(`operations: "${unknown}" does not exist; allowed: ${MATRIX_OPERATIONS.join(", ")}`);
  if (names.length === 0) throw new RangeError(`operations: none is given`);
  const memoryMiB = request.memoryMiB ?? DEFAULT_MEMORY_MIB;
  const guestPage = request.guestPage ?? "4k";
  const runs = columns.map(({ host, abi }) => {
    const tour = operationTour({
      abi,
      vendor: machine.vendor,
      leaf: guestPage,
      operations: names as readonly OperationName[],
      // The same guest under both.
      timerPort: !isPlain,
    });
    const parts = {
      profile: machine,
      domain: {
        image: tour.image,
        memoryBytes: memoryMiB * 2 ** 20,
        abi,
        p2mPage: request.p2mPage ?? "4k",
        mmioHandlers: request.mmioHandlers ?? DEFAULT_MMIO_HANDLERS,
      },
      measureWindow: false,
    };
    const system: XenSystem | KvmSystem =
      host === "kvm"
        ? createKvmSystem({ ...parts, kvm: request.kvm })
        : createXenSystem({ ...parts, xen: request.mitigations ?? {} });
    const meter = new TourMeter(system);
    const outcome = system.run({ maxInstructions: request.maxInstructions ?? DEFAULT_MAX_INSTRUCTIONS });
    const left: ReadonlyMap<string, string> = tour.left;
    const conditions: ReadonlyMap<string, string> = tour.conditions;
    return {
      place: { abi, ...(isPlain ? {} : { host }) },
      left,
      conditions,
      measured: measuredIn(system, meter),
      exit: runExit(outcome),
      config: system.config,
      estimates: estimatesUsed(system),
    };
  });
  return {
    tool: TOOL,
    machine: { id: machine.id, name: machine.name, vendor: machine.vendor, ghz: machine.frequency.value },
    host: hostSettings(configOf(runs.map(({ config }) => config)), guestPage, memoryMiB),
    guest: { name: "tour" },
    abis: columns.map(({ abi }) => abi),
    ...(isPlain ? {} : { hosts: columns.map(({ host }) => host) }),
    operations: names.map((operation) => {
      const first = runs[0].measured.get(operation);
      const kvmCondition = isPlain ? undefined : KVM_CONDITIONS.get(operation);
      const condition = runs[0].conditions.get(operation) ?? kvmCondition;
      return {
        operation,
        ...(condition !== undefined && { condition }),
        basis: OPERATIONS.find(({ descriptor }) => descriptor.name === operation)?.stage.basis ?? "estimate",
        cells: runs.map(({ place, measured, left }, i): MatrixCell => {
          const found = measured.get(operation);
          if (found === undefined)
            return {
              ...place,
              cyclesPerCall: null,
              reason: left.get(operation) ?? "the guest did not come to it",
            };
          const { cycles, result, call } = found;
          // A refusal that comes sooner saves nothing.
          const isAlike = first !== undefined && first.result < 0 === result < 0;
          const saving = i === 0 || !isAlike ? null : 1 - cycles / first.cycles;
          return { ...place, cyclesPerCall: cycles, saving, result, ...call };
        }),
      };
    }),
    exits: runs.map(({ exit }) => exit),
    estimates: mergeEstimates(runs.map(({ estimates }) => estimates)),
  };
}

/** The columns of a matrix: each interface under each hypervisor that has it. */
function columnsOf({ abis = ABIS, hosts = ["xen"] }: MatrixRequest): readonly {
  readonly host: HostName;
  readonly abi: AbiName;
}[] {
  if (abis.length === 0) throw new RangeError(`abis: none is given; allowed: ${ABIS.join(", ")}`);
  if (hosts.length === 0) throw new RangeError(`hosts: none is given; allowed: ${HOSTS.join(", ")}`);
  return hosts.flatMap((host) => {
    const carried = host === "xen" ? abis : abis.filter((abi) => KVM_ABIS.includes(abi));
    if (carried.length === 0)
      throw new RangeError(`abis: ${abis.join(", ")} under ${host}; allowed: ${KVM_ABIS.join(", ")}`);
    return carried.map((abi) => ({ host, abi }));
  });
}

/** What a tour measured, by operation: one line of its console for each, in the order in which they were made. */
function measuredIn(
  { console }: GuestSystem,
  meter: TourMeter,
): ReadonlyMap<string, { readonly cycles: number; readonly result: number; readonly call: TourCall }> {
  const lines = console.matchAll(/^tour: op=(\S+) cycles=(\d+) result=(0x[0-9a-f]+)$/gm);
  return new Map(
    [...lines].map(([, operation, cycles, result], n) => [
      operation,
      {
        cycles: Number(cycles),
        result: Number(BigInt.asIntN(64, BigInt(result))),
        call: meter.call(n),
      },
    ]),
  );
}
