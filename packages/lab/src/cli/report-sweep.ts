import type { SweepResults } from "../html/report-input.js";
import { CollectedPoints } from "../results/collected-points.js";
import { pointPool } from "../results/point-pool.js";
import { sweepDocument } from "../results/result-files.js";
import { remainingPoints, runSweep } from "../results/run-sweep.js";
import type { ScenarioFiles } from "../results/scenario-files.js";
import { countPoints } from "../scenario/sweep-points.js";
import { TOOL } from "../tool.js";
import { progressBar } from "./progress.js";
import { checkPoints } from "./sweep-command.js";
import { UsageError } from "./usage-error.js";

/** Points of a sweep that are run for a report alone: what takes longer should be kept, and be able to go on. */
const MOST_POINTS = 1000;

/** Every point of a sweep, for a report. @throws UsageError for too many @throws ScenarioError */
export async function reportSweep(
  { parsed, text }: Parameters<typeof runSweep>[0],
  files: ScenarioFiles,
  workers: number,
): Promise<SweepResults> {
  const { scenario, source } = parsed;
  const points = countPoints(parsed);
  if (points > MOST_POINTS)
    throw new UsageError(
      "argument <input>",
      `${source.file} has a sweep of ${points} points`,
      `up to ${MOST_POINTS}; the folder that \`hyperwalk sweep\` writes, of any number`,
    );
  await checkPoints(parsed, points, files);
  const finished = new CollectedPoints();
  const plan = { tool: TOOL, scenario, identity: await files.identity(scenario), points };
  const pool = await pointPool(Math.min(workers, points));
  const bar = await progressBar("points", points);
  try {
    await runSweep({ parsed, text }, remainingPoints(points, undefined, { finished }), finished, {
      workers: pool.workers,
      run: (task) => pool.run(task),
      onPoint: bar.advance,
    });
  } finally {
    bar.stop();
    await pool.close();
  }
  const rows = [...finished.rows.values()].sort((a, b) => a.index - b.index);
  return { rows, document: sweepDocument(plan, rows, finished) };
}
