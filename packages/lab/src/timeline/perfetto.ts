import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { TimelineSpan, TimelineStretch } from "@hyperwalk/xen";
import { TOOL } from "../tool.js";

/** An event of the Trace Event Format, as Chrome and Perfetto read it. Times are in microseconds of simulated time. */
export interface TraceEvent {
  readonly name: string;
  /** X: complete; i: instant; M: metadata. */
  readonly ph: "X" | "i" | "M";
  readonly pid: number;
  /** Number of the vCPU. */
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  /** Ledger phase. */
  readonly cat?: string;
  /** Of an instant: its thread. */
  readonly s?: "t";
  readonly args?: Readonly<Record<string, unknown>>;
}

/** A file of the Trace Event Format. */
export interface TraceEventFile {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ns";
  readonly otherData: Readonly<Record<string, unknown>>;
}

const PROCESS = 1;

/**
 * A timeline as trace events, one thread for each vCPU, all on simulated time since the domain was built. Viewers count
 * nanoseconds, so that beginnings and ends are rounded to those, each by itself: what lies in something still does. The
 * exact figures are in `args`, in cycles.
 * @param title name of the process @param ghz of the simulated processor
 */
export function perfettoTrace(
  stretches: readonly TimelineStretch[],
  title: string,
  ghz: number,
): TraceEventFile {
  const nanoseconds = (ticks: number) => Math.round(ticks / TICKS_PER_CYCLE / ghz);
  const vcpus = [...new Set(stretches.map(({ vcpu }) => vcpu))].sort((a, b) => a - b);
  const timed = stretches.flatMap((stretch) => {
    const tid = stretch.vcpu;
    const spans = stretch.spans.map((span, at): TraceEvent & { ts: number } => {
      const start = nanoseconds(span.start);
      return {
        name: span.name,
        cat: span.phase,
        ph: "X",
        pid: PROCESS,
        tid,
        ts: start / 1000,
        dur: (nanoseconds(span.end) - start) / 1000,
        args: { ...argumentsOf(span), ...(at === 0 ? aboutStretch(stretch) : {}) },
      };
    });
    const reads = stretch.timestamps.map((at): TraceEvent & { ts: number } => ({
      name: "RDTSC",
      cat: "guest",
      ph: "i",
      s: "t",
      pid: PROCESS,
      tid,
      ts: nanoseconds(at) / 1000,
      args: { startCycle: at / TICKS_PER_CYCLE },
    }));
    return [...spans, ...reads];
  });
  return {
    traceEvents: [
      { name: "process_name", ph: "M", pid: PROCESS, tid: 0, args: { name: title } },
      ...vcpus.flatMap((vcpu): TraceEvent[] => [
        { name: "thread_name", ph: "M", pid: PROCESS, tid: vcpu, args: { name: `vCPU ${vcpu}` } },
        { name: "thread_sort_index", ph: "M", pid: PROCESS, tid: vcpu, args: { sort_index: vcpu } },
      ]),
      // What lies in another thing comes after it where both begin together: sorting keeps their order.
      ...timed.sort((a, b) => a.ts - b.ts),
    ],
    displayTimeUnit: "ns",
    otherData: { tool: `${TOOL.name} ${TOOL.version}`, title, ghz },
  };
}

function argumentsOf({ start, end, causes }: TimelineSpan): Record<string, unknown> {
  return {
    cycles: (end - start) / TICKS_PER_CYCLE,
    startCycle: start / TICKS_PER_CYCLE,
    ownCycles: Object.fromEntries(causes.map(({ cause, ticks }) => [cause, ticks / TICKS_PER_CYCLE])),
  };
}

function aboutStretch({ exit, hypercall }: TimelineStretch): Record<string, unknown> {
  return {
    ...(exit === undefined ? {} : { exit }),
    ...(hypercall === undefined ? {} : { number: hypercall.number, result: hypercall.result }),
  };
}
