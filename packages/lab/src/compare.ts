import { Processor, type ProcessorProfile, ProcessorStorage } from "@hyperwalk/cpu";
import {
  type ConfidentialKind,
  createKvmSystem,
  createXenSystem,
  type FastForwardTarget,
  type KvmConfig,
  type StagePriceRecord,
  type XenConfig,
} from "@hyperwalk/xen";
import { CompareError } from "./compare-error.js";
import {
  DEFAULT_ITERATIONS,
  DEFAULT_MAX_INSTRUCTIONS,
  DEFAULT_MEMORY_MIB,
  DEFAULT_MMIO_HANDLERS,
} from "./defaults.js";
import { mergeEstimates } from "./estimates.js";
import { targetName } from "./fast-forward.js";
import type { Guest, GuestOperation, GuestSettings } from "./guest.js";
import { machineSettings } from "./machine-settings.js";
import {
  ABIS,
  type AbiName,
  COMPARED_ABIS,
  type CompareDocument,
  type GuestPage,
  HOSTS,
  type HostName,
  KVM_ABIS,
  type Mitigations,
  type P2mPage,
} from "./result.js";
import { runGuest } from "./run-guest.js";
import type { KvmSystemFactory, SimulatedSystem, SystemFactory } from "./simulated-system.js";
import { TOOL } from "./tool.js";

/** One comparison: a guest, a machine, and the interfaces to run it through. Everything else has a default. */
export interface CompareRequest {
  readonly guest: Guest;
  readonly machine: ProcessorProfile;
  /** Default: {@link COMPARED_ABIS}. */
  readonly abis?: readonly AbiName[];
  /** Hypervisors to run the guest under; KVM has the linear interface alone, and is run with none of the others. Default Xen. */
  readonly hosts?: readonly HostName[];
  /** Default: as Linux chooses on this machine. */
  readonly kvm?: KvmConfig;
  /** Hypercalls in the guest's measured loop. Default {@link DEFAULT_ITERATIONS}. */
  readonly iterations?: number;
  /** Default `get_runstate_info`. */
  readonly operation?: GuestOperation;
  /** Appended to the guest's command line. */
  readonly cmdline?: string;
  /** Leaf size of the guest's page tables. Default 4 KiB. */
  readonly guestPage?: GuestPage;
  /** Largest leaf of the p2m. Default 4 KiB, as in the domain whose instructions were counted on real Xen. */
  readonly p2mPage?: P2mPage;
  /** MMIO handlers that Xen asks on each guest copy, 0 to 16. Default {@link DEFAULT_MMIO_HANDLERS}. */
  readonly mmioHandlers?: number;
  /** Default 64. */
  readonly memoryMiB?: number;
  /** Default: what Xen chooses on this machine, and lock hardening. `parseSpecCtrl` and `parseEpt` make one of text. */
  readonly mitigations?: XenConfig;
  /** Other prices of the hypervisors' code, see `applyPrices` of `@hyperwalk/xen`. Default none. */
  readonly prices?: StagePriceRecord | undefined;
  /** A run that has not ended after so many guest instructions is stopped. Default {@link DEFAULT_MAX_INSTRUCTIONS}. */
  readonly maxInstructions?: number;
  /** Encrypts the domains, on machines with SEV, and counts what calls return; default not. */
  readonly confidential?: ConfidentialKind | undefined;
  /** Run each guest with timing off up to here first; default not. */
  readonly fastForward?: FastForwardTarget | undefined;
  /** `whole-run`: figures of everything, also where a guest reads time stamps. Default `auto`. */
  readonly window?: "auto" | "whole-run" | undefined;
  /** Of pseudo-random replacement, on machines that have any; default 1. */
  readonly seed?: number | undefined;
  /** Host memory that this comparison's processors take from those of the one before; default its own. */
  readonly storage?: ProcessorStorage | undefined;
}

/** What one comparison runs: each interface under each hypervisor that has it. */
interface Place {
  readonly host: HostName;
  readonly abi: AbiName;
}

/**
 * The runs of a comparison, in their order.
 * @throws CompareError when no interface or hypervisor is given, the guest cannot make the requested call or be encrypted, or
 * KVM is asked for what it does not have
 */
export function comparedPlaces(request: CompareRequest): readonly Place[] {
  const { guest, machine } = request;
  const operation = request.operation ?? "get_runstate_info";
  if (!guest.operations.includes(operation))
    throw new CompareError(
      "operation",
      `${guest.name} does not call ${operation}`,
      guest.operations.join(", "),
    );
  const monitor = request.kvm?.monitor;
  if (monitor !== undefined && request.hosts?.includes("kvm") !== true)
    throw new CompareError("monitor", `${monitor} under Xen, which has none`, "none without kvm");
  const abis = request.abis ?? COMPARED_ABIS;
  if (abis.length === 0) throw new CompareError("abis", "none is given", ABIS.join(", "));
  const refused = abis.find((abi) => guest.abis?.includes(abi) === false);
  if (refused !== undefined)
    throw new CompareError("abis", `${guest.name} has no stubs for ${refused}`, guest.abis?.join(", ") ?? "");
  const { confidential } = request;
  if (confidential !== undefined && guest.encryptable === false)
    throw new CompareError(
      "confidential",
      `${guest.name} cannot be built for an encrypted domain`,
      "runstate-loop",
    );
  if (confidential !== undefined && machine.vendor !== "amd")
    throw new CompareError("confidential", `${machine.id} has no ${confidential}`, "machines of AMD's");
  const hosts = request.hosts ?? ["xen"];
  if (hosts.length === 0) throw new CompareError("hosts", "none is given", HOSTS.join(", "));
  const carried = (host: HostName) => (host === "xen" ? abis : abis.filter((abi) => KVM_ABIS.includes(abi)));
  const idle = hosts.find((host) => carried(host).length === 0);
  if (idle !== undefined)
    throw new CompareError("abis", `${abis.join(", ")} under ${idle}`, KVM_ABIS.join(", "));
  if (confidential !== undefined && hosts.includes("kvm"))
    throw new CompareError("confidential", "encrypted guests under kvm", "under xen");
  return hosts.flatMap((host) => carried(host).map((abi) => ({ host, abi })));
}

/**
 * Runs a guest once through each interface, each on a fresh machine, and returns what came out as plain data. The machines
 * follow each other in the same host memory: only the last is of use afterwards.
 *
 * @throws ImageError when the guest's image cannot be booted
 * @throws CompareError when no interface or hypervisor is given, the guest cannot make the requested call or be encrypted, or
 * KVM is asked for what it does not have
 * @throws XenConfigError when the machine cannot encrypt
 * @throws ProfileError for prices that do not exist or make no sense
 */
export function compare(
  request: CompareRequest,
  createSystem: SystemFactory = createXenSystem,
  createKvm: KvmSystemFactory = createKvmSystem,
): CompareDocument {
  const { guest, machine, confidential, prices, storage = new ProcessorStorage() } = request;
  const places = comparedPlaces(request);
  const memoryMiB = request.memoryMiB ?? DEFAULT_MEMORY_MIB;
  const operation = request.operation ?? "get_runstate_info";
  const isPlain = places.every(({ host }) => host === "xen");
  const isPartial = request.kvm?.monitor === "qemu";
  const settingsFor = (abi: AbiName): GuestSettings => ({
    abi,
    vendor: machine.vendor,
    iterations: request.iterations ?? DEFAULT_ITERATIONS,
    guestPage: request.guestPage ?? "4k",
    operation,
    cmdline: request.cmdline ?? "",
    confidential,
  });
  const runs = places.map(({ host, abi }) => {
    const settings = settingsFor(abi);
    const domain = {
      image: guest.image(settings),
      memoryBytes: memoryMiB * 2 ** 20,
      cmdline: guest.cmdline(settings),
      abi,
      p2mPage: request.p2mPage ?? "4k",
      mmioHandlers: request.mmioHandlers ?? DEFAULT_MMIO_HANDLERS,
      ...(confidential === undefined ? {} : { confidential }),
    };
    const measureWindow = request.window !== "whole-run";
    const processor = new Processor({ profile: machine, storage, seed: request.seed });
    const parts = { profile: machine, domain, measureWindow, processor, prices };
    const system: SimulatedSystem =
      host === "kvm"
        ? createKvm({ ...parts, kvm: request.kvm })
        : createSystem({ ...parts, xen: request.mitigations ?? {} });
    const run = runGuest(system, {
      abi,
      host: isPlain ? undefined : host,
      iterations: settings.iterations,
      ghz: machine.frequency.value,
      maxInstructions: request.maxInstructions ?? DEFAULT_MAX_INSTRUCTIONS,
      fastForward: request.fastForward,
      resultsOf: confidential !== undefined || (host === "kvm" && isPartial) ? operation : undefined,
    });
    return { ...run, config: system.config };
  });
  const settings = settingsFor(places[0].abi);
  return {
    tool: TOOL,
    machine: machineSettings(machine, prices),
    host: {
      ...hostSettings(configOf(runs.map(({ config }) => config)), settings.guestPage, memoryMiB),
      ...(confidential === undefined ? {} : { confidential }),
      ...(request.fastForward === undefined ? {} : { fastForward: targetName(request.fastForward) }),
    },
    guest: { name: guest.name, operation: settings.operation, cmdline: guest.cmdline(settings) },
    runs: runs.map((run) => run.result),
    estimates: mergeEstimates(runs.map((run) => run.estimates)),
  };
}

/** What the systems of one comparison say together: Xen's switches and KVM's. */
export function configOf(configs: readonly SimulatedSystem["config"][]): SimulatedSystem["config"] {
  const kvm = configs.find((config) => config.kvm !== undefined)?.kvm;
  const xen = configs.find((config) => config.xen !== undefined)?.xen;
  return { xen, kvm, domain: configs[0].domain };
}

const NO_MITIGATIONS: Mitigations = {
  ibpbEntry: false,
  rsbOverwrite: false,
  specCtrlWrite: false,
  verw: false,
  bhbClear: false,
  l1dFlush: false,
  lockHarden: false,
};

/** How a system was configured, as results say it. */
export function hostSettings(
  { xen, kvm, domain }: SimulatedSystem["config"],
  guestPage: GuestPage,
  memoryMiB: number,
): Omit<CompareDocument["host"], "fastForward"> {
  return {
    kind: kvm === undefined ? "xen" : xen === undefined ? "kvm" : "xen,kvm",
    ...xenSettings(xen, domain.p2mPage),
    ...(kvm === undefined ? {} : { kvm }),
    p2mPage: domain.p2mPage,
    guestPage,
    memoryMiB,
    mmioHandlers: domain.mmioHandlers,
  };
}

function xenSettings(
  xen: SimulatedSystem["config"]["xen"],
  p2mPage: P2mPage,
): Pick<CompareDocument["host"], "mitigations" | "execSp"> {
  if (xen === undefined) return { mitigations: NO_MITIGATIONS };
  const { debugBuild: _build, execSp, pml: _pml, bhbSeq, ...mitigations } = xen;
  return {
    mitigations: { ...mitigations, ...(xen.bhbClear && bhbSeq !== undefined ? { bhbSeq } : {}) },
    ...(execSp === false && p2mPage !== "4k" ? { execSp } : {}),
  };
}
