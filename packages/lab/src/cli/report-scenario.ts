import { comparedPlaces } from "../compare.js";
import { DEFAULT_SENSITIVITY_ITERATIONS } from "../defaults.js";
import type { ReportInput } from "../html/report-input.js";
import { ScenarioFiles } from "../results/scenario-files.js";
import { runScenario } from "../scenario/run-scenario.js";
import { scenarioRequest } from "../scenario/scenario-request.js";
import { sensitivity } from "../sensitivity/sensitivity.js";
import { explained } from "../sweep/run-point.js";
import { type HypercallTimeline, hypercallTimeline } from "../timeline/hypercall-timeline.js";
import { progressBar } from "./progress.js";
import { readScenario } from "./scenario-argument.js";
import { UsageError } from "./usage-error.js";

/** Hypercalls of a run whose timeline is wanted: enough for caches and predictors to settle. */
const TIMELINE_ITERATIONS = 64;

/**
 * Runs a scenario file for a report: the comparison, one hypercall of each interface function by function and, unless that is
 * not wanted, every estimate at both ends of its range.
 *
 * @throws UsageError for one that has a sweep @throws ScenarioError
 */
export async function reportScenario(path: string, withSensitivity: boolean): Promise<ReportInput> {
  const { parsed } = readScenario(path);
  const { scenario, source } = parsed;
  if (scenario.sweep !== undefined)
    throw new UsageError(
      "argument <input>",
      `${path} has a sweep`,
      "scenarios without; the folder that `hyperwalk sweep` writes",
    );
  const request = await scenarioRequest(scenario, new ScenarioFiles(path), source);
  const { comparison, ...run } = explained(parsed, () => runScenario(scenario, request));
  const { abis: _abis, hosts: _hosts, ...alone } = request;
  const timelines: HypercallTimeline[] = comparedPlaces(request).flatMap(({ abi, host }, at) => {
    // A guest that could make no hypercall has none to show.
    if (comparison.runs[at].cyclesPerCall === null) return [];
    return [
      hypercallTimeline({ ...alone, abi, host, iterations: fewer(request.iterations, TIMELINE_ITERATIONS) }),
    ];
  });
  const label = scenario.name;
  const input = { comparisons: [{ label, document: comparison, scenario: run }], timelines };
  if (!withSensitivity) return input;
  let shown = 0;
  const iterations = fewer(request.iterations, DEFAULT_SENSITIVITY_ITERATIONS);
  const bar = await progressBar("runs with one estimate moved", 2 * comparison.estimates.length);
  const document = await sensitivity(
    { ...request, iterations },
    {
      progress: (done) => {
        for (; shown < done; shown++) bar.advance();
      },
    },
  );
  bar.stop();
  return { ...input, sensitivities: [document] };
}

function fewer(asked: number | undefined, most: number): number {
  return Math.min(asked ?? most, most);
}
