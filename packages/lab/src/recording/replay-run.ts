import { ExitKind, type ProcessorProfile } from "@hyperwalk/cpu";
import { replayGuest, stepBytes } from "@hyperwalk/guest-sdk";
import type { LedgerRow } from "@hyperwalk/mmu";
import {
  createKvmSystem,
  createXenSystem,
  type DomainConfig,
  type KvmConfig,
  type XenConfig,
} from "@hyperwalk/xen";
import { estimatesUsed } from "../estimates.js";
import type { AbiName, EstimateUsed, GuestPage, HostName, RunExit } from "../result.js";
import { runExit } from "../run-guest.js";
import { HypercallMeter } from "./hypercall-meter.js";
import type { PlannedStep, ReplayPlan } from "./replay-plan.js";

/** Where a replay runs. */
export interface ReplayPlaceOptions {
  readonly machine: ProcessorProfile;
  readonly host: HostName;
  readonly abi: AbiName;
  readonly xen: XenConfig;
  readonly kvm?: KvmConfig | undefined;
  readonly domain: Pick<DomainConfig, "p2mPage" | "mmioHandlers" | "paging" | "vcpus">;
  /** That the recorded domain had. */
  readonly memoryBytes: number;
  readonly guestPage: GuestPage;
  /** Bytes that the guest's own work goes through between two calls. */
  readonly footprint: number;
}

/** What one step came to; undefined for those that the replay did not come to. */
export interface ReplayedStep {
  readonly result: number;
  readonly cycles: number;
}

/** One replay. */
export interface ReplayRun {
  /** In the order of the plan's steps. */
  readonly steps: readonly (ReplayedStep | undefined)[];
  /** Of those calls alone, in ticks. */
  readonly rows: readonly LedgerRow[];
  /** Domains that it took: the steps are made in pieces of this many. */
  readonly chunks: number;
  /** How the last domain ended, or the first that ended badly. */
  readonly exit: RunExit;
  readonly estimates: readonly EstimateUsed[];
}

/** Bytes of the table and steps that one domain makes at most. */
const CHUNK_BYTES = 8 * 2 ** 20;
const CHUNK_STEPS = 65536;
const MIB = 2 ** 20;
/** Between the recorded guest's memory and the replay's image: frames that the recorded guest may have used beyond its memory. */
const GAP = 16 * MIB;
/** Room for the image, its tables and the page tables. */
const IMAGE_BYTES = 64 * MIB;
/** Where an image can be at most. */
const HIGHEST = 2048 * MIB;
const LARGE_PAGE = 2 * MIB;
/** Instructions of a step that neither filler nor buffers need, at most, and of a byte in the table. */
const STEP_INSTRUCTIONS = 500_000;

/** Makes the calls of a plan, on a fresh machine for each chunk. */
export function runReplay(plan: ReplayPlan, options: ReplayPlaceOptions): ReplayRun {
  const steps: (ReplayedStep | undefined)[] = [];
  const rows: LedgerRow[] = [];
  const estimates = new Map<string, EstimateUsed>();
  let exit: RunExit | undefined;
  const chunks = inChunks(plan.steps);
  for (const chunk of chunks) {
    const run = runChunk(plan, chunk, options);
    steps.push(...run.steps);
    rows.push(...run.rows);
    for (const each of run.estimates) estimates.set(each.key, each);
    if (exit === undefined || exit.ok) exit = run.exit;
  }
  return {
    steps,
    rows,
    chunks: chunks.length,
    exit: exit ?? { ok: true, reason: "shutdown", rip: "0x0" },
    estimates: [...estimates.values()],
  };
}

function inChunks(steps: readonly PlannedStep[]): readonly (readonly PlannedStep[])[] {
  const chunks: PlannedStep[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const planned of steps) {
    const own = stepBytes(planned.step);
    const last = chunks.at(-1);
    if (last === undefined || bytes + own > CHUNK_BYTES || last.length >= CHUNK_STEPS) {
      chunks.push([planned]);
      bytes = own;
    } else {
      last.push(planned);
      bytes += own;
    }
  }
  return chunks;
}

function runChunk(
  plan: ReplayPlan,
  chunk: readonly PlannedStep[],
  options: ReplayPlaceOptions,
): Omit<ReplayRun, "chunks"> {
  const { machine, abi, host, guestPage, footprint, domain: others } = options;
  const physical = Math.min(Math.ceil((options.memoryBytes + GAP) / LARGE_PAGE) * LARGE_PAGE, HIGHEST);
  const image = replayGuest({
    abi,
    vendor: machine.vendor,
    leaf: guestPage,
    physical,
    steps: chunk.map(({ step }) => step),
    bytes: plan.bytes,
    footprint,
  });
  const domain = { image, memoryBytes: physical + IMAGE_BYTES, abi, ...others };
  const system =
    host === "kvm"
      ? createKvmSystem({ profile: machine, kvm: options.kvm, domain, measureWindow: false })
      : createXenSystem({ profile: machine, xen: options.xen, domain, measureWindow: false });
  // The calls between the last two CPUIDs are the replay's.
  let steps: ReplayedStep[] = [];
  let replayed: readonly ReplayedStep[] = [];
  let rows: readonly LedgerRow[] = [];
  const meter = new HypercallMeter(system, {
    onExit: ({ exit }) => {
      if (exit.kind !== ExitKind.Cpuid) return;
      replayed = steps;
      rows = meter.rows();
      steps = [];
      meter.clear();
    },
    onCall: ({ event: { result }, cycles }) => {
      steps.push({ result, cycles });
    },
  });
  const outcome = system.run({ maxInstructions: 2 ** 32 + STEP_INSTRUCTIONS * chunk.length });
  meter.finish();
  const exit = runExit(outcome);
  // A guest that ends within the replay has not come to the second one.
  if (!exit.ok) {
    replayed = steps;
    rows = meter.rows();
  }
  return {
    steps: chunk.map((_, i) => replayed[i]),
    rows,
    exit,
    estimates: estimatesUsed(system),
  };
}
