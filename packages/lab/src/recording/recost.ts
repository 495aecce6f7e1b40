import { findProfile, type ProcessorProfile } from "@hyperwalk/cpu";
import type { KvmConfig, XenConfig } from "@hyperwalk/xen";
import { mergeEstimates } from "../estimates.js";
import { profileHash } from "../profile-hash.js";
import {
  ABIS,
  type AbiName,
  COMPARED_ABIS,
  type EstimateUsed,
  type GuestPage,
  HOSTS,
  type HostName,
  KVM_ABIS,
  type P2mPage,
  type RunExit,
} from "../result.js";
import { cellsPerCall } from "../run-guest.js";
import { TOOL } from "../tool.js";
import { callName } from "./record.js";
import type { Recording } from "./recording.js";
import { type Between, DEFAULT_FOOTPRINT } from "./recording-names.js";
import { planReplay, type ReplayPlan } from "./replay-plan.js";
import { type ReplayRun, runReplay } from "./replay-run.js";

/** A record to be priced anew. Everything but the record has a default. */
export interface RecostRequest {
  readonly recording: Recording;
  /** Default {@link COMPARED_ABIS}. */
  readonly abis?: readonly AbiName[] | undefined;
  /** Default Xen. KVM has the linear interface alone. */
  readonly hosts?: readonly HostName[] | undefined;
  /** Default the recorded one, by its id. */
  readonly machine?: ProcessorProfile | undefined;
  /** Xen's switches; default the recorded ones on the recorded machine, else what Xen chooses. */
  readonly xen?: XenConfig | undefined;
  readonly kvm?: KvmConfig | undefined;
  /** Default the recorded one. */
  readonly p2mPage?: P2mPage | undefined;
  /** Default as many as in the recorded domain. */
  readonly mmioHandlers?: number | undefined;
  /** Default that of which the recorded walks tell, else 4 KiB. */
  readonly guestPage?: GuestPage | undefined;
  /** Default `instructions`: as many as were recorded, in a loop that goes through {@link footprint}. */
  readonly between?: Between | undefined;
  /** Bytes, a power of two from 64 to 16 MiB. Default {@link DEFAULT_FOOTPRINT}. */
  readonly footprint?: number | undefined;
}

/** Calls of one operation in one run. */
export interface RecostOperation {
  readonly operation: string;
  /** Recorded calls that were repeated. */
  readonly count: number;
  readonly cycles: number;
  /** That the same calls took in the record. */
  readonly recordedCycles: number;
}

/** Recorded calls that were not repeated, and why. */
export interface RecostLeft {
  readonly operation: string;
  readonly reason: string;
  readonly count: number;
  readonly recordedCycles: number;
}

/** Calls that returned something else than in the record. */
export interface RecostDifference {
  readonly operation: string;
  readonly recorded: number;
  readonly replayed: number;
  readonly count: number;
}

/** The record through one interface. */
export interface RecostRun {
  readonly host: HostName;
  readonly abi: AbiName;
  readonly machine: string;
  /** Recorded calls that were repeated, and the hypercalls that it took. */
  readonly calls: number;
  readonly hypercalls: number;
  /** From exit to entry of those, without time asleep. */
  readonly cycles: number;
  /** What the same calls took in the record. */
  readonly recordedCycles: number;
  /**
   * Saving against the replay through the recorded interface, of the calls that both repeat; null where there is no such replay.
   */
  readonly saving: number | null;
  /** The same of all calls that that replay repeats: those that this one leaves out stay as they were. */
  readonly savingOfAll: number | null;
  /** Repeated calls with the same result, and with another one. */
  readonly same: number;
  readonly different: number;
  readonly differences: readonly RecostDifference[];
  readonly left: readonly RecostLeft[];
  /** Most cycles first. */
  readonly operations: readonly RecostOperation[];
  /** Sums to `cycles`. */
  readonly ledger: readonly { readonly phase: string; readonly cause: string; readonly cycles: number }[];
  /** Fresh domains that it took; calls of one do not see what those of an earlier one did. */
  readonly chunks: number;
  readonly exit: RunExit;
}

/** A record under several interfaces: plain data, the same bytes for the same inputs. */
export interface RecostDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly recording: {
    readonly guest: string;
    readonly machine: string | null;
    readonly interface: string | null;
    readonly calls: number;
    /** Of its hypercalls, without time asleep, and of the whole run. */
    readonly cycles: number;
    readonly runCycles: number;
  };
  readonly between: { readonly what: Between; readonly footprint: number };
  readonly guestPage: GuestPage;
  /** The recorded interface again, on the recorded machine with the recorded switches; null where the record does not say. */
  readonly reference: RecostRun | null;
  /** Cycles of {@link reference} over those of the same calls in the record, less one: how far replays can be trusted. */
  readonly replayError: number | null;
  /** Why there is no reference. */
  readonly noReference?: string;
  readonly runs: readonly RecostRun[];
  readonly estimates: readonly EstimateUsed[];
}

/**
 * Repeats the hypercalls of a record through other interfaces, on fresh domains, and says what they take there.
 * @throws RangeError for a setting that makes no sense, and for a machine that is not known
 */
export function recost(request: RecostRequest): RecostDocument {
  const { recording, between = "instructions", footprint = DEFAULT_FOOTPRINT } = request;
  const { header, end } = recording;
  const { abis = COMPARED_ABIS, hosts = ["xen"] } = request;
  checkSettings(abis, hosts, footprint);
  const recordedMachine = header.machine === null ? undefined : findProfile(header.machine.id);
  const machine = request.machine ?? recordedMachine;
  if (machine === undefined)
    throw new RangeError(
      `machine: the record's, ${header.machine?.id ?? "which it does not name"}, is none of the profiles; allowed: one that is given`,
    );
  const noReference = whyNoReference(recording, recordedMachine);
  const guestPage = request.guestPage ?? guestPageOf(recording);
  const recordedXen: XenConfig = header.host?.mitigations ?? {};
  const isRecordedMachine = header.machine?.hash === profileHash(machine);
  const isAsRecorded =
    isRecordedMachine &&
    request.xen === undefined &&
    request.p2mPage === undefined &&
    request.mmioHandlers === undefined;
  const common = {
    memoryBytes: header.guest.memoryBytes,
    guestPage,
    footprint,
    kvm: request.kvm,
  };
  const shape = {
    p2mPage: header.host?.p2mPage ?? "2m",
    mmioHandlers: header.host?.mmioHandlers,
    vcpus: header.guest.vcpus,
  };
  const plans = new Map<AbiName, ReplayPlan>();
  const planOf = (abi: AbiName) => {
    const plan = plans.get(abi) ?? planReplay(recording, abi, between);
    plans.set(abi, plan);
    return plan;
  };
  let reference: Summary | undefined;
  if (noReference === undefined && recordedMachine !== undefined) {
    const abi = header.interface as AbiName;
    const run = runReplay(planOf(abi), {
      ...common,
      machine: recordedMachine,
      host: "xen",
      abi,
      xen: recordedXen,
      domain: { ...shape, paging: header.host?.paging },
    });
    reference = summary(recording, planOf(abi), run, { host: "xen", abi, machine: recordedMachine.id });
  }
  const runs: Summary[] = [];
  for (const host of hosts)
    for (const abi of host === "kvm" ? abis.filter((each) => KVM_ABIS.includes(each)) : abis) {
      if (isAsRecorded && host === "xen" && reference?.run.abi === abi) {
        runs.push(reference);
        continue;
      }
      const run = runReplay(planOf(abi), {
        ...common,
        machine,
        host,
        abi,
        xen: { ...(isRecordedMachine ? recordedXen : {}), ...request.xen },
        domain: {
          ...shape,
          p2mPage: request.p2mPage ?? shape.p2mPage,
          mmioHandlers: request.mmioHandlers ?? shape.mmioHandlers,
          ...(host === "xen" ? { paging: header.host?.paging } : { vcpus: 1 }),
        },
      });
      runs.push(summary(recording, planOf(abi), run, { host, abi, machine: machine.id }));
    }
  return {
    tool: TOOL,
    recording: {
      guest: header.guest.name,
      machine: header.machine?.id ?? null,
      interface: header.interface,
      calls: end.calls,
      cycles: end.cycles,
      runCycles: end.runCycles,
    },
    between: { what: between, footprint },
    guestPage,
    reference: reference === undefined ? null : withSaving(reference, reference),
    replayError:
      reference === undefined || reference.run.recordedCycles === 0
        ? null
        : reference.run.cycles / reference.run.recordedCycles - 1,
    ...(noReference !== undefined && { noReference }),
    runs: runs.map((each) => withSaving(each, reference)),
    estimates: mergeEstimates(
      [...runs, ...(reference === undefined ? [] : [reference])].map((each) => each.estimates),
    ),
  };
}

const LEAST_FOOTPRINT = 64;
const MOST_FOOTPRINT = 2 ** 24;

function checkSettings(abis: readonly AbiName[], hosts: readonly HostName[], footprint: number): void {
  if (abis.length === 0) throw new RangeError(`abis: none is given; allowed: ${ABIS.join(", ")}`);
  if (hosts.length === 0) throw new RangeError(`hosts: none is given; allowed: ${HOSTS.join(", ")}`);
  const idle = hosts.find((host) => host === "kvm" && !abis.some((abi) => KVM_ABIS.includes(abi)));
  if (idle !== undefined)
    throw new RangeError(`abis: ${abis.join(", ")} under ${idle}; allowed: ${KVM_ABIS.join(", ")}`);
  const isPower = Number.isInteger(Math.log2(footprint));
  if (!isPower || footprint < LEAST_FOOTPRINT || footprint > MOST_FOOTPRINT)
    throw new RangeError(
      `footprint: ${footprint}; allowed: a power of two from ${LEAST_FOOTPRINT} to ${MOST_FOOTPRINT}`,
    );
}

function whyNoReference(
  { header, calls }: Recording,
  machine: ProcessorProfile | undefined,
): string | undefined {
  if (calls.length === 0) return "the record has no single calls";
  if (header.interface === null || !(ABIS as readonly string[]).includes(header.interface))
    return "the record does not name an interface that there is";
  if (header.machine === null || machine === undefined) return "the record's machine is none of the profiles";
  if (profileHash(machine) !== header.machine.hash)
    return `the profile ${machine.id} has changed since the record was made`;
  return undefined;
}

/** Four reads of page tables for a translation are those of 4 KiB leaves, three those of 2 MiB. */
function guestPageOf({ calls }: Recording): GuestPage {
  const counts = { small: 0, large: 0 };
  for (const { copies = [] } of calls)
    for (const { tableReads = 0, address, bytes } of copies) {
      const inPage = Number(BigInt(address) & 0xfffn) + bytes.length / 2 <= 4096;
      if (inPage && tableReads === 4) counts.small++;
      if (inPage && tableReads === 3) counts.large++;
    }
  return counts.large > counts.small ? "2m" : "4k";
}

/** A run, and what each recorded call took in it. */
interface Summary {
  readonly run: Omit<RecostRun, "saving" | "savingOfAll">;
  readonly cyclesOf: ReadonlyMap<number, number>;
  readonly estimates: readonly EstimateUsed[];
}

function summary(
  { calls }: Recording,
  plan: ReplayPlan,
  replay: ReplayRun,
  place: Pick<RecostRun, "host" | "abi" | "machine">,
): Summary {
  const cyclesOf = new Map<number, number>();
  const differs = new Set<number>();
  const differences = new Map<string, RecostDifference>();
  const left = new Map<string, RecostLeft>();
  const leaveOut = (call: number, reason: string) => {
    const operation = callName(calls[call]);
    const key = `${operation}: ${reason}`;
    const sum = left.get(key) ?? { operation, reason, count: 0, recordedCycles: 0 };
    left.set(key, { ...sum, count: sum.count + 1, recordedCycles: sum.recordedCycles + calls[call].cycles });
  };
  for (const { call, reason } of plan.left) leaveOut(call, reason);
  let hypercalls = 0;
  const missed = new Set<number>();
  plan.steps.forEach(({ call, result, step }, i) => {
    const made = replay.steps[i];
    if (made === undefined) {
      missed.add(call);
      return;
    }
    hypercalls++;
    cyclesOf.set(call, (cyclesOf.get(call) ?? 0) + made.cycles);
    if (made.result === result) return;
    differs.add(call);
    const key = `${step.operation.name} ${result} ${made.result}`;
    const sum = differences.get(key);
    differences.set(key, {
      operation: step.operation.name,
      recorded: result,
      replayed: made.result,
      count: (sum?.count ?? 0) + 1,
    });
  });
  for (const call of missed) {
    cyclesOf.delete(call);
    differs.delete(call);
    leaveOut(call, "the replay ended before it");
  }
  const operations = new Map<string, RecostOperation>();
  let cycles = 0;
  let recordedCycles = 0;
  for (const [call, took] of cyclesOf) {
    const operation = callName(calls[call]);
    const sum = operations.get(operation) ?? { operation, count: 0, cycles: 0, recordedCycles: 0 };
    operations.set(operation, {
      operation,
      count: sum.count + 1,
      cycles: sum.cycles + took,
      recordedCycles: sum.recordedCycles + calls[call].cycles,
    });
    cycles += took;
    recordedCycles += calls[call].cycles;
  }
  const byCycles = (a: { readonly cycles: number; readonly operation: string }, b: typeof a) =>
    b.cycles - a.cycles || (a.operation < b.operation ? -1 : 1);
  return {
    cyclesOf,
    estimates: replay.estimates,
    run: {
      ...place,
      calls: cyclesOf.size,
      hypercalls,
      cycles,
      recordedCycles,
      same: cyclesOf.size - differs.size,
      different: differs.size,
      differences: [...differences.values()].sort(
        (a, b) => b.count - a.count || (a.operation < b.operation ? -1 : 1),
      ),
      left: [...left.values()].sort(
        (a, b) => b.recordedCycles - a.recordedCycles || (a.operation < b.operation ? -1 : 1),
      ),
      operations: [...operations.values()].sort(byCycles),
      ledger: cellsPerCall(replay.rows, 1).map(({ phase, cause, cyclesPerCall }) => ({
        phase,
        cause,
        cycles: cyclesPerCall,
      })),
      chunks: replay.chunks,
      exit: replay.exit,
    },
  };
}

function withSaving({ run, cyclesOf }: Summary, reference: Summary | undefined): RecostRun {
  let own = 0;
  let theirs = 0;
  let all = 0;
  for (const [call, took] of reference?.cyclesOf ?? []) {
    all += took;
    const here = cyclesOf.get(call);
    if (here === undefined) continue;
    own += here;
    theirs += took;
  }
  return {
    ...run,
    saving: theirs > 0 ? 1 - own / theirs : null,
    savingOfAll: all > 0 ? (theirs - own) / all : null,
  };
}
