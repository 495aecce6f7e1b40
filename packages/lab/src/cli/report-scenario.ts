import { type CompareRequest, comparedPlaces } from "../compare.js";
import { DEFAULT_SENSITIVITY_ITERATIONS } from "../defaults.js";
import type { ReportInput } from "../html/report-input.js";
import { defaultWorkers } from "../results/point-pool.js";
import { ScenarioFiles } from "../results/scenario-files.js";
import { sharedSensitivity } from "../results/shared-sensitivity.js";
import type { ParsedScenario } from "../scenario/parse-scenario.js";
import { runScenario } from "../scenario/run-scenario.js";
import { scenarioRequest } from "../scenario/scenario-request.js";
import { sweepPoint } from "../scenario/sweep-points.js";
import { explained } from "../sweep/run-point.js";
import { type HypercallTimeline, hypercallTimeline } from "../timeline/hypercall-timeline.js";
import { progressBar } from "./progress.js";
import type { ReportOptions } from "./report-command.js";
import { reportSweep } from "./report-sweep.js";
import { readScenario } from "./scenario-argument.js";

/** Hypercalls of a run whose timeline is wanted: enough for caches and predictors to settle. */
const TIMELINE_ITERATIONS = 64;

/**
 * Runs a scenario file for a report: every point of its sweep, if it has one; and of the scenario, or of the first point that
 * can be run, the comparison, one hypercall of each interface function by function and, unless that is not wanted, every
 * estimate at both ends of its range.
 *
 * @throws UsageError for a sweep of too many points @throws ScenarioError
 */
export async function reportScenario(
  path: string,
  options: Pick<ReportOptions, "sensitivity" | "workers">,
): Promise<ReportInput> {
  const { parsed, text } = await readScenario(path);
  const files = new ScenarioFiles(path);
  const workers = options.workers ?? defaultWorkers();
  if (parsed.scenario.sweep === undefined) return reportRun(parsed, files, options.sensitivity, workers);
  const sweep = await reportSweep({ parsed, text }, files, workers);
  const first = sweep.rows.find(({ runs }) => runs.length > 0);
  if (first === undefined) return { comparisons: [], sweep };
  const input = await reportRun(sweepPoint(parsed, first.index), files, options.sensitivity, workers);
  return { ...input, comparisons: input.comparisons.map((each) => ({ ...each, point: first.point })), sweep };
}

/** The parts of a report that are about one run. */
async function reportRun(
  parsed: ParsedScenario,
  files: ScenarioFiles,
  withSensitivity: boolean,
  workers: number,
): Promise<ReportInput> {
  const { scenario, source } = parsed;
  const request = await scenarioRequest(scenario, files, source);
  const places = comparedPlaces(request);
  const bar = await progressBar("runs", (withSensitivity ? 3 : 2) * places.length);
  try {
    const { comparison, ...run } = explained(parsed, () => runScenario(scenario, request));
    for (const _ of places) bar.advance();
    const { abis: _abis, hosts: _hosts, ...alone } = request;
    const timelines = places.flatMap(({ abi, host }, at): HypercallTimeline[] => {
      // A guest that could make no hypercall has none to show.
      const isShown = comparison.runs[at].cyclesPerCall !== null;
      const few = { ...alone, abi, host, iterations: fewer(request, TIMELINE_ITERATIONS) };
      const found = isShown ? [hypercallTimeline(few)] : [];
      bar.advance();
      return found;
    });
    const comparisons = [{ label: scenario.name, document: comparison, scenario: run }];
    if (!withSensitivity) return { comparisons, timelines };
    const advance = () => {
      for (const _ of places) bar.advance();
    };
    const analysed = { ...request, iterations: fewer(request, DEFAULT_SENSITIVITY_ITERATIONS) };
    const document = await sharedSensitivity(
      analysed,
      { file: source.file, guest: scenario.guest },
      {
        workers,
        started: async (all) => {
          advance();
          bar.extend(all * places.length);
        },
        advance,
      },
    );
    return { comparisons, timelines, sensitivities: [document] };
  } finally {
    bar.stop();
  }
}

function fewer({ iterations }: CompareRequest, most: number): number {
  return Math.min(iterations ?? most, most);
}
