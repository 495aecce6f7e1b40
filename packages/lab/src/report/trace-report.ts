import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import type { TraceFormat } from "../timeline/trace-formats.js";
import { type TracedRun, traceTitle } from "../timeline/trace-guest.js";
import { figure } from "./figures.js";

/** What `trace` says when it has written a file. */
export function traceReport(run: TracedRun, path: string, format: TraceFormat): string {
  const { hypercalls, spans, ticks, machine } = run;
  const cycles = ticks / TICKS_PER_CYCLE;
  const calls = `${figure(hypercalls)} hypercall${hypercalls === 1 ? "" : "s"}`;
  const time = `${figure(cycles, 2)} cycles (${figure(cycles / machine.ghz / 1000, 3)} us)`;
  return `${traceTitle(run)}\n${path}: ${format}, ${calls}, ${figure(spans)} spans, ${time}`;
}
