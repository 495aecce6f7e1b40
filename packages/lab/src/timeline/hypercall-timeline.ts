import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { TimelineStretch } from "@hyperwalk/xen";
import type { AbiName, CompareDocument, HostName } from "../result.js";
import { CallSelection, type SelectedCalls } from "./call-selection.js";
import { DEFAULT_TIMELINE_ITERATIONS } from "./timeline-defaults.js";
import { runWithTimeline, type TimelineRequest } from "./timeline-request.js";
import { TraceError } from "./trace-error.js";

/** Cycles of one cause. */
export interface CauseCycles {
  readonly cause: string;
  readonly cycles: number;
}

/** One thing that the processor did for a hypercall. Cycles are exact: multiples of 1/256. */
export interface CallSpan {
  /** A stage's name, which is Xen's or Linux's own for the function, or a ledger phase's, or the hypercall's. */
  readonly name: string;
  /** Ledger phase that its own time was charged to. */
  readonly phase: string;
  /** Cycles since the guest's instruction left. */
  readonly start: number;
  readonly end: number;
  /** Spans that it lies in; zero for the hypercall. */
  readonly depth: number;
  /** Its own cycles, without those of the spans in it. */
  readonly causes: readonly CauseCycles[];
}

/** One hypercall from the guest's instruction to its return. */
export interface CallTimeline {
  /** `group.operation`; `null` for numbers that nobody handles. */
  readonly operation: string | null;
  /** What the guest got in rax. */
  readonly result: number;
  /** From 1: among the hypercalls of the measured window, or of the run. */
  readonly number: number;
  /** From the guest's instruction that left to the next one that it ran: what all spans' own cycles sum to. */
  readonly cycles: number;
  /** Cycles of the guest's own code since it was last entered, which led to the call. */
  readonly guestCyclesBefore: number;
  /** In the order of their beginnings; the first is the hypercall itself. */
  readonly spans: readonly CallSpan[];
}

/** Two hypercalls of one guest through one interface, function by function: plain data, the same for the same request. */
export interface HypercallTimeline {
  readonly tool: CompareDocument["tool"];
  readonly machine: CompareDocument["machine"];
  readonly guest: CompareDocument["guest"];
  readonly host: HostName;
  readonly abi: AbiName;
  /** Where {@link warm} is from, as in `RunResult`. */
  readonly window: "rdtsc" | "whole-run";
  /** The first of the run that is the same operation: caches, TLBs and predictors know little of its path. */
  readonly cold: CallTimeline;
  /** One of the measured window. */
  readonly warm: CallTimeline;
}

/** Which hypercalls are wanted. */
export interface HypercallTimelineRequest extends TimelineRequest {
  /** Number of the warm one within the measured window, from 1; default half of the iterations. Of fewer the last. */
  readonly call?: number;
}

/**
 * Runs a guest through one interface and returns two of its hypercalls as timelines.
 * @throws TraceError when the guest makes no hypercall, for a call that is no number from 1, and what `compare` does
 */
export function hypercallTimeline(request: HypercallTimelineRequest): HypercallTimeline {
  const { call, ...run } = request;
  const iterations = run.iterations ?? DEFAULT_TIMELINE_ITERATIONS;
  const number = call ?? Math.max(1, Math.floor(iterations / 2));
  if (!Number.isInteger(number) || number < 1)
    throw new TraceError("call", `${number} is none`, "a whole number from 1");
  const selection = new CallSelection(number - 1, 1);
  const { document } = runWithTimeline(run, (stretch) => selection.take(stretch));
  const measured = request.window === "whole-run" ? undefined : selection.measured;
  const warm = measured ?? selection.ofRun;
  const cold = selection.firstOf(warm?.stretches[0].hypercall?.operation);
  if (cold === undefined || warm === undefined)
    throw new TraceError("guest", `${request.guest.name} makes no hypercall`, "one that does");
  const { tool, machine, guest, runs } = document;
  return {
    tool,
    machine,
    guest,
    host: request.host ?? "xen",
    abi: runs[0].abi,
    window: measured === undefined ? "whole-run" : "rdtsc",
    cold: timelineOf(cold),
    warm: timelineOf(warm),
  };
}

function timelineOf({ stretches, before, number }: SelectedCalls): CallTimeline {
  const [stretch] = stretches;
  return {
    operation: stretch.hypercall?.operation ?? null,
    result: stretch.hypercall?.result ?? 0,
    number,
    cycles: cyclesOf(stretch),
    guestCyclesBefore: before === undefined ? 0 : cyclesOf(before),
    spans: stretch.spans.map(({ name, phase, start, end, depth, causes }) => ({
      name,
      phase,
      start: (start - stretch.start) / TICKS_PER_CYCLE,
      end: (end - stretch.start) / TICKS_PER_CYCLE,
      depth,
      causes: causes.map(({ cause, ticks }) => ({ cause, cycles: ticks / TICKS_PER_CYCLE })),
    })),
  };
}

function cyclesOf({ start, end }: TimelineStretch): number {
  return (end - start) / TICKS_PER_CYCLE;
}
