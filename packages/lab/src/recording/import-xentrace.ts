import { DESCRIPTORS } from "@hyperwalk/xen";
import { TOOL } from "../tool.js";
import { RECORDING_FORMAT, RECORDING_VERSION, type RecordedMix, type Recording } from "./recording.js";
import { TraceEvent, type TraceRecord, traceRecords } from "./xentrace.js";

/** Choices of {@link importXentrace}. */
export interface ImportOptions {
  /** For the record's first line. */
  readonly name: string;
  /** Only hypercalls of this domain; default all. */
  readonly domain?: number | undefined;
}

/** A mix of hypercalls, and what else was in the trace. */
export interface ImportDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly recording: Recording;
  readonly trace: {
    readonly records: number;
    /** Physical CPUs, and domains with vCPUs that ran. */
    readonly cpus: number;
    readonly domains: readonly number[];
    /** That Xen could not write; intervals over such gaps are not taken. */
    readonly lost: number;
    /** VM exits of any kind. */
    readonly exits: number;
  };
}

/** Flag in an event number: its addresses have 64 bits. A nested guest has another one, and is not read. */
const WIDE_FLAG = 0x100;
/** Of a runstate change's number: old and new state. */
const RUNSTATE_BITS = 0xff0;
const NEW_STATE_SHIFT = 4;
const RUNNING = 0;
/** `TRC_PV_HYPERCALL_V2`: number, and above it two bits for each of six arguments. */
const V2_NUMBER = 0xfffff;
const V2_ARGUMENTS = 20;
const PRESENT_32 = 1;
const DOMAIN_SHIFT = 16;

/** What one physical CPU does. */
interface Cpu {
  /** `domain << 16 | vcpu` of what runs there; undefined: nobody knows. */
  runs: number | undefined;
  exitAt: number | undefined;
  /** The hypercall since that exit. */
  call: Sum | undefined;
}

interface Sum extends Omit<RecordedMix, "kind" | "interval"> {
  count: number;
  timed: number;
  cycles: number;
  intervals: number;
  intervalCycles: number;
  /** When each vCPU made the latest. */
  readonly latest: Map<string, number>;
}

/**
 * Makes a mix of hypercalls of a trace of a real Xen: how often which were made, and what they took from VM exit to VM entry, by
 * the time stamp counter.
 * @throws RecordingError with the byte offset for what is no such trace
 */
export function importXentrace(file: Uint8Array, { name, domain }: ImportOptions): ImportDocument {
  const sums = new Map<string, Sum>();
  const cpus = new Map<number, Cpu>();
  const domains = new Set<number>();
  const vcpus = new Set<number>();
  const totals = { records: 0, lost: 0, exits: 0, first: Number.POSITIVE_INFINITY, last: 0 };
  const cpuOf = (number: number): Cpu => {
    const known = cpus.get(number) ?? { runs: undefined, exitAt: undefined, call: undefined };
    cpus.set(number, known);
    return known;
  };
  const count = (
    record: TraceRecord,
    cpu: Cpu,
    at: number | undefined,
    number: number,
    operation: string | null,
  ) => {
    const owner = cpu.runs === undefined ? null : cpu.runs >>> DOMAIN_SHIFT;
    if (domain !== undefined && owner !== domain) return undefined;
    const key = `${owner} ${number} ${operation}`;
    const sum: Sum = sums.get(key) ?? {
      domain: owner,
      number,
      operation,
      count: 0,
      timed: 0,
      cycles: 0,
      intervals: 0,
      intervalCycles: 0,
      latest: new Map(),
    };
    sums.set(key, sum);
    sum.count++;
    const vcpu = cpu.runs === undefined ? `cpu ${record.cpu}` : String(cpu.runs);
    const before = sum.latest.get(vcpu);
    if (at !== undefined) {
      if (before !== undefined && at >= before) {
        sum.intervals++;
        sum.intervalCycles += at - before;
      }
      sum.latest.set(vcpu, at);
    }
    return sum;
  };
  for (const record of traceRecords(file)) {
    const { event, tsc, extra } = record;
    const cpu = cpuOf(record.cpu);
    totals.records++;
    if (tsc !== undefined) {
      totals.first = Math.min(totals.first, tsc);
      totals.last = Math.max(totals.last, tsc);
    }
    const runs = whoRuns(event, extra);
    if (runs !== undefined) {
      // A vCPU that is scheduled away in a hypercall did not spend that time in it.
      if (runs !== cpu.runs) cpu.call = undefined;
      cpu.runs = runs;
      domains.add(runs >>> DOMAIN_SHIFT);
      vcpus.add(runs);
    }
    switch (event & ~WIDE_FLAG) {
      case TraceEvent.LostRecords:
        totals.lost += extra[0] ?? 0;
        cpu.exitAt = undefined;
        cpu.call = undefined;
        for (const { latest } of sums.values()) latest.clear();
        break;
      case TraceEvent.VmExit:
      case TraceEvent.VmExitAlso:
        totals.exits++;
        cpu.exitAt = tsc;
        cpu.call = undefined;
        break;
      case TraceEvent.Vmmcall:
        if (extra.length > 0) cpu.call = count(record, cpu, cpu.exitAt ?? tsc, extra[0], null);
        break;
      case TraceEvent.VmEntry:
        if (cpu.call !== undefined && cpu.exitAt !== undefined && tsc !== undefined) {
          cpu.call.timed++;
          cpu.call.cycles += tsc - cpu.exitAt;
        }
        cpu.call = undefined;
        cpu.exitAt = undefined;
        break;
      case TraceEvent.PvHypercall:
        if (extra.length > 0)
          count(
            record,
            cpu,
            tsc,
            extra[0] & V2_NUMBER,
            operationOf(extra[0] & V2_NUMBER, firstArgument(extra)),
          );
        break;
      default:
        break;
    }
  }
  const mixes = [...sums.values()].sort(inOrder).map(mixOf);
  return {
    tool: TOOL,
    recording: {
      header: {
        format: RECORDING_FORMAT,
        version: RECORDING_VERSION,
        source: "xentrace",
        tool: TOOL,
        machine: null,
        host: null,
        interface: null,
        guest: { name, cmdline: "", memoryBytes: 0, vcpus: Math.min(Math.max(vcpus.size, 1), 4096) },
      },
      calls: [],
      mixes,
      end: {
        kind: "end",
        calls: 0,
        cycles: mixes.reduce((sum, { cycles }) => sum + cycles, 0),
        idle: 0,
        runCycles: Math.max(totals.last - totals.first, 0),
        instructions: 0,
        outcome: "trace",
        ledger: [],
      },
    },
    trace: {
      records: totals.records,
      cpus: cpus.size,
      domains: [...domains].sort((a, b) => a - b),
      lost: totals.lost,
      exits: totals.exits,
    },
  };
}

/** The lines of a record, each with its line end. */
export function recordingLines({ header, mixes, calls, end }: Recording): readonly string[] {
  return [header, ...mixes, ...calls, end].map((line) => `${JSON.stringify(line)}\n`);
}

/** Who runs on a CPU from this record on, if it says so: `domain << 16 | vcpu`. */
function whoRuns(event: number, extra: readonly number[]): number | undefined {
  if ((event & ~RUNSTATE_BITS) === TraceEvent.RunstateChange && extra.length > 0) {
    // Older versions have the states as further words.
    const state = extra.length >= 3 ? extra[2] : (event >>> NEW_STATE_SHIFT) & 3;
    return state === RUNNING ? extra[0] : undefined;
  }
  if (event === TraceEvent.ContinueRunning && extra.length > 0) return extra[0];
  if (event === TraceEvent.SchedSwitch && extra.length === 4)
    return (((extra[2] & 0xffff) << DOMAIN_SHIFT) | (extra[3] & 0xffff)) >>> 0;
  return undefined;
}

/** The sub-operation, where the trace has it. */
function firstArgument(extra: readonly number[]): number | undefined {
  return ((extra[0] >>> V2_ARGUMENTS) & 3) === PRESENT_32 ? extra[1] : undefined;
}

function operationOf(number: number, subop: number | undefined): string | null {
  const group = DESCRIPTORS.filter(({ hypercall }) => hypercall === number);
  const found =
    group.length === 1 && group[0].plain
      ? group[0]
      : group.find((each) => !each.plain && each.subop === subop);
  return found?.name ?? null;
}

function mixOf({
  domain,
  number,
  operation,
  count,
  timed,
  cycles,
  intervals,
  intervalCycles,
}: Sum): RecordedMix {
  return {
    kind: "mix",
    domain,
    number,
    operation,
    count,
    timed,
    cycles,
    interval: intervals === 0 ? null : intervalCycles / intervals,
  };
}

function inOrder(a: Sum, b: Sum): number {
  return (
    b.cycles - a.cycles ||
    b.count - a.count ||
    (a.domain ?? -1) - (b.domain ?? -1) ||
    a.number - b.number ||
    ((a.operation ?? "") < (b.operation ?? "") ? -1 : 1)
  );
}
