import { compareReport } from "../report/compare-report.js";
import { expectationTable } from "../report/expectations.js";
import { ScenarioFiles } from "../results/scenario-files.js";
import { type RunDocument, runScenario } from "../scenario/run-scenario.js";
import { scenarioRequest } from "../scenario/scenario-request.js";
import { explained } from "../sweep/run-point.js";
import { exitCode } from "./compare-command.js";
import { writeFile } from "./files.js";
import type { Output } from "./output.js";
import { readScenario } from "./scenario-argument.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `run` says, parsed. */
export interface RunOptions {
  readonly output?: string;
  readonly json?: boolean;
}

/** `hyperwalk run`: one scenario. @returns the exit code: 1 as well when an expectation is not met */
export async function runCommand(path: string, options: RunOptions, output: Output): Promise<number> {
  const document = await runFile(path);
  const text = `${JSON.stringify(document, null, 2)}\n`;
  if (options.output !== undefined) writeFile("option --output", options.output, text);
  if (options.json) output.out(text);
  else output.out(runReport(document, output));
  if (options.output !== undefined && !options.json) output.out(`Result: ${options.output}\n`);
  const missed = document.expectations.filter(({ isMet }) => !isMet).length;
  if (missed > 0)
    output.err(`error: ${missed} of ${document.expectations.length} expectations are not met\n`);
  return Math.max(exitCode([document.comparison], output), missed > 0 ? 1 : 0);
}

/** Runs a scenario file without axes. @throws UsageError for one that has some */
export async function runFile(path: string): Promise<RunDocument> {
  const { parsed } = readScenario(path);
  if (parsed.scenario.sweep !== undefined)
    throw new UsageError(
      "argument <scenario>",
      `${path} has a sweep`,
      "scenarios without; `hyperwalk sweep` runs it",
    );
  const request = await scenarioRequest(parsed.scenario, new ScenarioFiles(path), parsed.source);
  return explained(parsed, () => runScenario(parsed.scenario, request));
}

function runReport({ scenario, comparison, expectations }: RunDocument, { paint }: Output): string {
  const title = [paint.strong(scenario.name), scenario.description.trim()].filter((each) => each !== "");
  const met = expectations.length === 0 ? "" : `\n${expectationTable(expectations, paint)}\n`;
  return `${title.join(": ")}\n\n${compareReport(comparison, paint)}${met}`;
}
