import { readFileSync, writeFileSync } from "node:fs";
import { amount } from "../html/amount.js";
import { DocumentError } from "../html/document-error.js";
import { htmlReport } from "../html/page.js";
import { readReportInput } from "../html/read-input.js";
import { chartLibraries } from "./chart-libraries.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `report` says, parsed. */
export interface ReportOptions {
  readonly output: string;
  readonly title?: string;
  readonly json?: boolean;
}

/** `hyperwalk report`: one page of HTML from what other commands wrote. @returns the exit code */
export async function reportCommand(
  inputs: readonly string[],
  options: ReportOptions,
  output: Output,
): Promise<number> {
  const files = inputs.map((path) => ({ path, text: readInput(path) }));
  const input = readOrExplain(files);
  const report = await htmlReport({ ...input, title: options.title }, chartLibraries());
  try {
    writeFileSync(options.output, report.html);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(
      "option --output",
      `"${options.output}" cannot be written (${code})`,
      "a file in a directory that exists",
    );
  }
  const bytes = Buffer.byteLength(report.html);
  const { sections, charts } = report;
  if (options.json)
    output.out(`${JSON.stringify({ output: options.output, bytes, sections, charts }, null, 2)}\n`);
  else
    output.out(
      `${options.output}: ${charts.length} charts, ${amount(bytes / 1024).replaceAll("\u202f", " ")} KiB\n`,
    );
  return 0;
}

function readInput(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(
      "argument <input>",
      `"${path}": ${code === "ENOENT" ? "there is no such file" : `the file cannot be read (${code})`}`,
      "files that compare --json wrote, or - for standard input",
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
