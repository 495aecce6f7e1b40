import { Processor, type ProcessorProfile, ProcessorStorage } from "@hyperwalk/cpu";
import { type NotifyTransport, notifyLoop } from "@hyperwalk/guest-sdk";
import type { LedgerSnapshot } from "@hyperwalk/mmu";
import {
  createKvmSystem,
  createXenSystem,
  type DomainConfig,
  type DoorbellHandlerName,
  type HypercallFixup,
  measureMemory,
  type XenConfig,
} from "@hyperwalk/xen";
import { DEFAULT_MAX_INSTRUCTIONS } from "./defaults.js";
import { estimatesUsed, mergeEstimates } from "./estimates.js";
import type { EstimateUsed, LedgerCell, RunExit } from "./result.js";
import { cellsPerCall, runExit } from "./run-guest.js";
import { TOOL } from "./tool.js";
import {
  DEFAULT_NOTIFICATIONS,
  TRANSPORT_HOSTS,
  TRANSPORTS,
  type TransportHost,
  type TransportName,
} from "./transport-names.js";

/** What a transport is made of. */
interface Recipe {
  readonly guest: NotifyTransport;
  readonly fixup?: HypercallFixup;
  readonly fastMmio?: true;
}

const RECIPES: Readonly<Record<TransportName, Recipe>> = {
  "hypercall-inline": { guest: "hypercall-inline" },
  "hypercall-page": { guest: "hypercall-page" },
  "hypercall-patched": { guest: "hypercall-patched", fixup: "patch" },
  "hypercall-emulated": { guest: "hypercall-patched", fixup: "emulate" },
  pio: { guest: "pio" },
  mmio: { guest: "mmio" },
  "mmio-fast": { guest: "mmio", fastMmio: true },
  "mmio-over-hypercall": { guest: "mmio-over-hypercall" },
};

/** Where a handler can run under each. */
export const TRANSPORT_HANDLERS: Readonly<Record<TransportHost, readonly DoorbellHandlerName[]>> = {
  xen: ["hypervisor", "user-space"],
  kvm: ["hypervisor", "ioeventfd", "user-space"],
};

/** Messages before each notification. */
export const RING_BATCHES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
const MEMORY_BYTES = 16 * 2 ** 20;
/** Time stamps of the guest: before and after the first notification, the warm-up, the measured loop. */
const LOOP_BEGINS = 4;
const LOOP_ENDS = 5;

/** What a run of {@link compareTransports} asks for. */
export interface TransportsRequest {
  readonly machine: ProcessorProfile;
  /** Default all. */
  readonly hosts?: readonly TransportHost[];
  readonly transports?: readonly TransportName[];
  /** Notifications in the measured loop, 2 or more; default {@link DEFAULT_NOTIFICATIONS}. */
  readonly iterations?: number;
  /** Default {@link RING_BATCHES}; empty for none. */
  readonly batches?: readonly number[];
  /** Xen's; default as it chooses on the machine. KVM has those that Linux chooses. */
  readonly mitigations?: XenConfig;
}

/** Guest memory that was measured before the guest ran, and after it. */
export interface Attestation {
  readonly launch: string;
  readonly after: string;
  readonly changed: boolean;
}

/** One transport with one handler. All figures are views of the ledger. */
export interface TransportResult {
  readonly host: TransportHost;
  readonly handler: DoorbellHandlerName;
  readonly transport: TransportName;
  readonly cyclesPerNotification: number;
  readonly nsPerNotification: number;
  /** The first one, with two time stamps. */
  readonly firstCycles: number;
  /** Against `hypercall-inline` with the same handler. */
  readonly ratio: number | null;
  /** Per notification; they sum to `cyclesPerNotification`. */
  readonly ledger: readonly LedgerCell[];
  /** SHA-256 of the guest's own code, and of the page that the hypervisor fills. */
  readonly text: Attestation;
  readonly hypercallPage: Attestation;
  readonly exit: RunExit;
}

/** A shared ring whose doorbell is rung once for so many messages. */
export interface BatchResult {
  readonly host: TransportHost;
  readonly handler: DoorbellHandlerName;
  readonly transport: TransportName;
  readonly batch: number;
  readonly cyclesPerNotification: number;
  readonly cyclesPerMessage: number;
}

export interface TransportsDocument {
  readonly tool: typeof TOOL;
  readonly machine: {
    readonly id: string;
    readonly name: string;
    readonly vendor: "amd" | "intel";
    readonly ghz: number;
  };
  readonly results: readonly TransportResult[];
  readonly batches: readonly BatchResult[];
  readonly estimates: readonly EstimateUsed[];
}

/** Has one guest notify one device through every transport, each on a fresh machine. @throws RangeError, XenConfigError */
export function compareTransports(request: TransportsRequest): TransportsDocument {
  const { machine, hosts = TRANSPORT_HOSTS, transports = TRANSPORTS, batches = RING_BATCHES } = request;
  const storage = new ProcessorStorage();
  const runs = hosts.flatMap((host) =>
    TRANSPORT_HANDLERS[host].flatMap((handler) =>
      transports.map((transport) => runTransport(request, { host, handler, transport }, storage)),
    ),
  );
  const results = runs.map(({ result }) => result);
  const rings = hosts.flatMap((host) =>
    (["hypercall-inline", "pio", "mmio"] as const)
      .filter((transport) => transports.includes(transport))
      .flatMap((transport) => batches.map((batch) => ({ host, transport, batch }))),
  );
  return {
    tool: TOOL,
    machine: {
      id: machine.id,
      name: machine.name,
      vendor: machine.vendor,
      ghz: machine.frequency.value,
    },
    results: results.map((result) => ({ ...result, ratio: ratioOf(result, results) })),
    batches: rings.map(({ host, transport, batch }) => {
      const handler = "hypervisor";
      const { result } = runTransport(request, { host, handler, transport, batch }, storage);
      const { cyclesPerNotification } = result;
      return {
        host,
        handler,
        transport,
        batch,
        cyclesPerNotification,
        cyclesPerMessage: cyclesPerNotification / batch,
      };
    }),
    estimates: mergeEstimates(runs.map(({ estimates }) => estimates)),
  };
}

function ratioOf(result: TransportResult, all: readonly TransportResult[]): number | null {
  const base = all.find(
    ({ host, handler, transport }) =>
      host === result.host && handler === result.handler && transport === "hypercall-inline",
  );
  return base === undefined ? null : result.cyclesPerNotification / base.cyclesPerNotification;
}

interface Setting {
  readonly host: TransportHost;
  readonly handler: DoorbellHandlerName;
  readonly transport: TransportName;
  readonly batch?: number;
}

function runTransport(
  { machine, iterations = DEFAULT_NOTIFICATIONS, mitigations = {} }: TransportsRequest,
  { host, handler, transport, batch }: Setting,
  storage: ProcessorStorage,
): { readonly result: TransportResult; readonly estimates: readonly EstimateUsed[] } {
  const { guest, fixup = "none", fastMmio = false } = RECIPES[transport];
  const image = notifyLoop({ transport: guest, batch }).link({
    abi: "linear",
    vendor: machine.vendor,
    iterations,
  });
  const domain: DomainConfig = {
    image: image.elf,
    memoryBytes: MEMORY_BYTES,
    abi: "linear",
    doorbell: { handler, fastMmio },
    hypercallFixup: fixup,
  };
  const processor = new Processor({ profile: machine, storage });
  const system =
    host === "xen"
      ? createXenSystem({ profile: machine, processor, xen: mitigations, domain, measureWindow: false })
      : createKvmSystem({ profile: machine, processor, domain, measureWindow: false });
  const { guestMemory } = system.domain;
  const measure = () => ({
    text: measureMemory(guestMemory, image.text),
    hypercallPage: measureMemory(guestMemory, { address: image.hypercallPage, bytes: 4096 }),
  });
  const launch = measure();
  const { ledger, probes } = system.processor;
  const instants: { readonly ledger: LedgerSnapshot; readonly cycles: number }[] = [];
  probes.onTimestamp = () => {
    instants.push({ ledger: ledger.snapshot(), cycles: ledger.cycles });
  };
  const outcome = system.run({ maxInstructions: DEFAULT_MAX_INSTRUCTIONS });
  const after = measure();
  const begin = instants.at(LOOP_BEGINS);
  const end = instants.at(LOOP_ENDS);
  const cycles = begin === undefined || end === undefined ? Number.NaN : end.cycles - begin.cycles;
  const rows = begin === undefined || end === undefined ? [] : ledger.rows(begin.ledger, end.ledger);
  const attested = (part: keyof typeof launch): Attestation => ({
    launch: launch[part],
    after: after[part],
    changed: launch[part] !== after[part],
  });
  return {
    result: {
      host,
      handler,
      transport,
      cyclesPerNotification: cycles / iterations,
      nsPerNotification: cycles / iterations / machine.frequency.value,
      firstCycles: instants.length < 2 ? Number.NaN : instants[1].cycles - instants[0].cycles,
      ratio: null,
      ledger: cellsPerCall(rows, iterations),
      text: attested("text"),
      hypercallPage: attested("hypercallPage"),
      exit: runExit(outcome),
    },
    estimates: estimatesUsed(system),
  };
}
