import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileSystemReason } from "../file-system-reason.js";
import { amount } from "../html/amount.js";
import { DocumentError } from "../html/document-error.js";
import { htmlReport } from "../html/page.js";
import { INPUT_KINDS, readReportInput } from "../html/read-input.js";
import { chartLibraries } from "./chart-libraries.js";
import { exitCode } from "./compare-command.js";
import { checkWritable, readText, writeFile } from "./files.js";
import type { Output } from "./output.js";
import { reportScenario } from "./report-scenario.js";
import { sweepExit } from "./sweep-command.js";
import { UsageError } from "./usage-error.js";

/** What a report reads of a sweep's folder. */
const SWEEP_FILES = ["sweep.json", "results.jsonl"] as const;

/** What the command line of `report` says, parsed. */
export interface ReportOptions {
  readonly output: string;
  readonly title?: string;
  /** With a scenario: push every estimate to both ends of its range. */
  readonly sensitivity: boolean;
  /** With a scenario. Default: one for each processor. */
  readonly workers?: number;
  readonly json?: boolean;
}

/** `hyperwalk report`: one page of HTML from what other commands wrote, or from a scenario. @returns the exit code */
export async function reportCommand(
  inputs: readonly string[],
  options: ReportOptions,
  output: Output,
): Promise<number> {
  const [scenario, ...others] = inputs.filter((path) => /\.ya?ml$/i.test(path));
  if (scenario !== undefined && inputs.length > 1)
    throw new UsageError(
      "argument <input>",
      `${others[0] ?? scenario} is not alone`,
      "one scenario, or documents",
    );
  if (scenario === undefined && !options.sensitivity)
    throw new UsageError("option --no-sensitivity", "nothing is run for this report", "with a scenario file");
  if (scenario === undefined && options.workers !== undefined)
    throw new UsageError("option --workers", "nothing is run for this report", "with a scenario file");
  checkWritable("option --output", options.output);
  const input =
    scenario === undefined
      ? readOrExplain(inputs.flatMap(filesAt).map((path) => ({ path, text: readInput(path) })))
      : await reportScenario(scenario, options);
  const report = await htmlReport({ ...input, title: options.title }, chartLibraries());
  writeFile("option --output", options.output, report.html);
  const bytes = Buffer.byteLength(report.html);
  const { sections, charts } = report;
  if (options.json)
    output.out(`${JSON.stringify({ output: options.output, bytes, sections, charts }, null, 2)}\n`);
  else
    output.out(
      `${options.output}: ${charts.length} charts, ${amount(bytes / 1024).replaceAll("\u202f", " ")} KiB\n`,
    );
  if (scenario === undefined) return 0;
  if (input.sweep !== undefined) return sweepExit(input.sweep.rows, output);
  const [{ document, scenario: run }] = input.comparisons;
  const missed = run?.expectations.some(({ isMet }) => !isMet) ?? false;
  if (missed) output.err("error: not all expectations are met; the page says which\n");
  return Math.max(exitCode([document], output), missed ? 1 : 0);
}

/** A folder is that of a sweep's results. */
function filesAt(path: string): string[] {
  const isFolder = path !== "-" && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? SWEEP_FILES.map((name) => join(path, name)) : [path];
}

function readInput(path: string): string {
  const allowed = `${INPUT_KINDS}, or - for standard input`;
  if (path !== "-") return readText("argument <input>", path, allowed);
  try {
    return readFileSync(0, "utf8");
  } catch (error) {
    throw new UsageError(
      "argument <input>",
      `standard input cannot be read (${fileSystemReason(error)})`,
      allowed,
    );
  }
}

function readOrExplain(files: Parameters<typeof readReportInput>[0]): ReturnType<typeof readReportInput> {
  try {
    return readReportInput(files);
  } catch (error) {
    if (error instanceof DocumentError) throw new UsageError(error.place, error.found, error.allowed);
    throw error;
  }
}
