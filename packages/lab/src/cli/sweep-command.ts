import { join } from "node:path";
import { sweepTable } from "../report/sweep-table.js";
import { hasResults, readPlan, SweepJournal, type SweepPlan } from "../results/journal.js";
import { defaultWorkers, pointPool } from "../results/point-pool.js";
import { RESULT_FILES, writeResults } from "../results/result-files.js";
import { remainingPoints, runSweep, type Shard } from "../results/run-sweep.js";
import { ScenarioFiles } from "../results/scenario-files.js";
import type { ParsedScenario } from "../scenario/parse-scenario.js";
import { scenarioRequest } from "../scenario/scenario-request.js";
import { countPoints, sweepPoint } from "../scenario/sweep-points.js";
import type { SweepRow } from "../sweep/sweep-row.js";
import { TOOL } from "../tool.js";
import type { Output } from "./output.js";
import { progressBar } from "./progress.js";
import { readScenario } from "./scenario-argument.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `sweep` says, parsed. */
export interface SweepOptions {
  readonly output?: string;
  readonly workers?: number;
  readonly shard?: Shard;
  readonly resume?: boolean;
  readonly json?: boolean;
}

/** Points that are checked before the first one runs; those of larger sweeps as they come. */
const CHECKED_POINTS = 20_000;
const INTERRUPTED = 130;

/** `hyperwalk sweep`: every point of a scenario's axes. @returns the exit code: 130 when it was interrupted */
export async function sweepCommand(path: string, options: SweepOptions, output: Output): Promise<number> {
  const { parsed, text } = readScenario(path);
  if (parsed.scenario.sweep === undefined)
    throw new UsageError(
      "argument <scenario>",
      `${path} has no sweep`,
      "scenarios with `sweep:`; `hyperwalk run` runs it",
    );
  const points = countPoints(parsed);
  const { shard } = options;
  const files = new ScenarioFiles(path);
  await checkPoints(parsed, points, files);
  const plan: SweepPlan = {
    tool: TOOL,
    scenario: parsed.scenario,
    identity: await files.identity(parsed.scenario),
    points,
    ...(shard === undefined ? {} : { shard: `${shard.part}/${shard.of}` }),
  };
  const directory = directoryOf(parsed, options);
  const journal = openJournal(directory, plan, options.resume === true);
  const remaining = remainingPoints(points, shard, journal);
  const known = journal.finished.rows.size;
  const isInterrupted = await runRemaining({ parsed, text }, remaining, journal, options, known);
  const { finished } = journal;
  journal.close();
  const all = known + remaining.length;
  if (isInterrupted && finished.rows.size < all) {
    output.err(
      `interrupted: ${finished.rows.size} of ${all} points are finished and kept in ${directory}; \`--resume\` goes on\n`,
    );
    return INTERRUPTED;
  }
  const document = await writeResults(directory, plan, finished);
  const rows = [...finished.rows.values()].sort((a, b) => a.index - b.index);
  if (options.json) output.out(`${JSON.stringify({ ...document, rows }, null, 2)}\n`);
  else {
    output.out(`${sweepTable(rows, output.paint)}\n\n`);
    output.out(`Results: ${RESULT_FILES.map((name) => join(directory, name)).join(", ")}\n`);
  }
  return sweepExit(rows, output);
}

/** 1 when a guest ended badly or an expectation was not met, after saying where. */
export function sweepExit(rows: readonly SweepRow[], output: Output): number {
  const bad = rows.filter(({ runs }) => runs.some(({ exit }) => !exit.ok));
  const missed = rows.filter(({ expectations }) => expectations.some(({ isMet }) => !isMet));
  const say = (what: string, which: readonly SweepRow[]) =>
    output.err(
      `error: ${what} at ${which.length} of ${rows.length} points, first at ${JSON.stringify(which[0].point)}\n`,
    );
  if (bad.length > 0) say("a guest ended badly", bad);
  if (missed.length > 0) say("an expectation is not met", missed);
  return bad.length + missed.length > 0 ? 1 : 0;
}

/** Refuses a sweep before it begins if one of its points cannot be run. */
export async function checkPoints(
  parsed: ParsedScenario,
  points: number,
  files: ScenarioFiles,
): Promise<void> {
  const isStrict = parsed.scenario.sweep?.unsupported !== "skip";
  for (let index = 0; index < Math.min(points, CHECKED_POINTS); index++) {
    const point = isStrict || index === 0 ? sweepPoint(parsed, index) : undefined;
    if (isStrict && point !== undefined) await scenarioRequest(point.scenario, files, point.source);
  }
}

function directoryOf({ scenario }: ParsedScenario, { output, shard }: SweepOptions): string {
  const directory = output ?? `${scenario.name}-results`;
  return shard === undefined ? directory : join(directory, `shard-${shard.part}-of-${shard.of}`);
}

function openJournal(directory: string, plan: SweepPlan, resume: boolean): SweepJournal {
  if (!hasResults(directory)) return SweepJournal.create(directory, plan);
  if (!resume)
    throw new UsageError(
      "option --output",
      `${directory} has results already`,
      "another folder, or --resume to go on with what is there",
    );
  const { identity, shard } = readPlan(directory);
  if (identity !== plan.identity || shard !== plan.shard)
    throw new UsageError(
      "option --resume",
      `${directory} has results of another scenario, of other guests, or of another version`,
      "a folder of the same scenario, files, shard and version",
    );
  return SweepJournal.resume(directory, plan);
}

/** Runs what is left. @returns whether it was interrupted */
async function runRemaining(
  scenario: Parameters<typeof runSweep>[0],
  remaining: readonly number[],
  journal: SweepJournal,
  options: SweepOptions,
  known: number,
): Promise<boolean> {
  if (remaining.length === 0) return false;
  const pool = await pointPool(Math.min(options.workers ?? defaultWorkers(), remaining.length));
  const progress = await progressBar("points", known + remaining.length, known);
  let isStopped = false;
  const stop = () => {
    isStopped = true;
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await runSweep(scenario, remaining, journal, {
      workers: pool.workers,
      run: (task) => pool.run(task),
      onPoint: progress.advance,
      isStopped: () => isStopped,
    });
  } finally {
    progress.stop();
    process.removeListener("SIGINT", stop).removeListener("SIGTERM", stop);
    await pool.close();
  }
  return isStopped;
}
