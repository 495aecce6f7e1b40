import type { AbiName, HostName } from "../result.js";
import { TraceError } from "../timeline/trace-error.js";
import type { TraceFormat } from "../timeline/trace-formats.js";
import { type TracedRun, type TraceRequest, traceGuest } from "../timeline/trace-guest.js";
import { traceText } from "../timeline/trace-text.js";
import { type CompareOptions, compareRequest, exitCode, explained } from "./compare-command.js";
import { writeFile } from "./files.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `trace` says, parsed. */
export interface TraceOptions extends Omit<CompareOptions, "abi" | "host" | "json"> {
  readonly format: TraceFormat;
  readonly output?: string;
  readonly calls?: number;
  readonly first?: boolean;
  readonly all?: boolean;
  readonly abi: AbiName;
  readonly host: HostName;
}

/** `hyperwalk trace`: part of a run's timeline as a file for trace viewers. @returns the exit code */
export async function traceCommand(guest: string, options: TraceOptions, output: Output): Promise<number> {
  const { format, output: path, calls, first, all, abi, host, ...compared } = options;
  const parts = [
    ...(calls === undefined ? [] : ["--calls"]),
    ...(first ? ["--first"] : []),
    ...(all ? ["--all"] : []),
  ];
  if (parts.length > 1)
    throw new UsageError(`option ${parts[1]}`, `${parts[0]} is given, too`, "one of --calls, --first, --all");
  const {
    abis: _abis,
    hosts: _hosts,
    ...request
  } = await compareRequest(guest, {
    ...compared,
    abi: [abi],
    host: [host],
  });
  const part = first ? "first" : all ? "all" : calls;
  const run = explained(guest, () => traced({ ...request, abi, host, part }));
  const text = traceText(run, format);
  if (path === undefined) output.out(text);
  else {
    writeFile("option --output", path, text);
    const { traceReport } = await import("../report/trace-report.js");
    output.out(`${traceReport(run, path, format)}\n`);
  }
  return exitCode([run.document], output);
}

/** The command line's words for the parts of a request. */
const WORDS: Readonly<Record<TraceError["key"], string>> = {
  guest: "argument <guest>",
  part: "option --calls",
  call: "option --calls",
};

function traced(request: TraceRequest): TracedRun {
  try {
    return traceGuest(request);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    const word = error.key === "part" && request.part === "all" ? "option --all" : WORDS[error.key];
    throw new UsageError(word, error.problem, error.allowed);
  }
}
