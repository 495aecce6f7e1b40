import { foldedStacks } from "./folded.js";
import { perfettoTrace } from "./perfetto.js";
import { speedscopeFile } from "./speedscope.js";
import type { TraceFormat } from "./trace-formats.js";
import { type TracedRun, traceTitle } from "./trace-guest.js";

/** A traced run as the bytes of a file in one of the formats, in UTF-8 with a line end. */
export function traceText(run: TracedRun, format: TraceFormat): string {
  const title = traceTitle(run);
  switch (format) {
    case "perfetto":
      return `${JSON.stringify(perfettoTrace(run.stretches, title, run.machine.ghz))}\n`;
    case "speedscope":
      return `${JSON.stringify(speedscopeFile(run.stretches, title))}\n`;
    case "folded":
      return foldedStacks(run.stretches);
  }
}
