import type { TimelineStretch } from "@hyperwalk/xen";
import type { AbiName, CompareDocument, HostName } from "../result.js";
import { CallSelection } from "./call-selection.js";
import { runWithTimeline, type TimelineRequest } from "./timeline-request.js";
import { TraceError } from "./trace-error.js";
import { DEFAULT_TRACED_CALLS, MAX_TRACED_SPANS } from "./trace-formats.js";

/** Which part of a run is wanted. */
export interface TraceRequest extends TimelineRequest {
  /**
   * `first`: the first hypercall; `all`: the whole run, what was fast-forwarded as one span; a number: so many hypercalls
   * from the beginning of the measured window, or of the run where nobody measures. Default {@link DEFAULT_TRACED_CALLS}.
   */
  readonly part?: "first" | "all" | number | undefined;
}

/** Part of a run's timeline, with what the formats say beside it. */
export interface TracedRun {
  readonly machine: CompareDocument["machine"];
  readonly guest: CompareDocument["guest"];
  readonly host: HostName;
  readonly abi: AbiName;
  /** In the order of time, without a gap. */
  readonly stretches: readonly TimelineStretch[];
  /** Hypercalls among them. */
  readonly hypercalls: number;
  readonly spans: number;
  /** Ledger ticks (1/256 cycle) from the first stretch's start to the last one's end: what all spans' own time sums to. */
  readonly ticks: number;
  /** The run that it is part of. */
  readonly document: CompareDocument;
}

/**
 * Runs a guest through one interface and returns a part of its timeline.
 * @throws TraceError when there is no such part: a guest without hypercalls, or more spans than {@link MAX_TRACED_SPANS}; and
 * what `compare` does
 */
export function traceGuest(request: TraceRequest): TracedRun {
  const { part = DEFAULT_TRACED_CALLS, ...run } = request;
  if (typeof part === "number" && !(Number.isInteger(part) && part >= 1))
    throw new TraceError("part", `${part} hypercalls`, "a whole number from 1, first, all");
  const selection = new CallSelection(0, typeof part === "number" ? part : 1);
  const all: TimelineStretch[] = [];
  let spans = 0;
  const { document } = runWithTimeline(run, (stretch) => {
    if (part !== "all") selection.take(stretch);
    else {
      spans += stretch.spans.length;
      if (spans <= MAX_TRACED_SPANS) all.push(stretch);
    }
  });
  const measured = run.window === "whole-run" ? undefined : selection.measured;
  const stretches =
    part === "all"
      ? all
      : ((part === "first" ? selection.first : (measured ?? selection.ofRun))?.stretches ?? []);
  if (stretches.length === 0)
    throw new TraceError("guest", `${request.guest.name} makes no hypercall`, "all of its run");
  if (part !== "all") for (const stretch of stretches) spans += stretch.spans.length;
  if (spans > MAX_TRACED_SPANS)
    throw new TraceError(
      "part",
      `${spans} spans`,
      `up to ${MAX_TRACED_SPANS}: fewer hypercalls or iterations`,
    );
  const { machine, guest, runs } = document;
  return {
    machine,
    guest,
    host: request.host ?? "xen",
    abi: runs[0].abi,
    stretches,
    hypercalls: stretches.filter(({ hypercall }) => hypercall !== undefined).length,
    spans,
    ticks: (stretches.at(-1)?.end ?? 0) - stretches[0].start,
    document,
  };
}

/** A traced run in a line: guest, interface, hypervisor, machine. */
export function traceTitle({ guest, abi, host, machine }: Omit<TracedRun, "stretches">): string {
  const hypervisor = host === "kvm" ? "KVM" : "Xen";
  return `${guest.name} (${guest.operation}) by ${abi} under ${hypervisor} on ${machine.name}`;
}
