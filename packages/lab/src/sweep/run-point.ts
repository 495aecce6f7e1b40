import type { ProcessorStorage } from "@hyperwalk/cpu";
import { GuestSourceError } from "@hyperwalk/guest-sdk";
import { ImageError, XenConfigError } from "@hyperwalk/xen";
import { compare } from "../compare.js";
import { FileError } from "../file-error.js";
import type { EstimateUsed } from "../result.js";
import type { ParsedScenario } from "../scenario/parse-scenario.js";
import { ScenarioError } from "../scenario/scenario-error.js";
import { PartError, type ScenarioParts, scenarioRequest } from "../scenario/scenario-request.js";
import { sweepPoint, valuesAt } from "../scenario/sweep-points.js";
import { type SweepRow, skippedRow, sweepRow } from "./sweep-row.js";

/** A point that was run, and the estimates that it rests on. */
export interface FinishedPoint {
  readonly row: SweepRow;
  readonly estimates: readonly EstimateUsed[];
}

/**
 * Runs one point of a sweep.
 * @param storage host memory that the point before this one used
 * @throws FileError for one that cannot be run, where those are not to be skipped
 */
export async function runPoint(
  parsed: ParsedScenario,
  index: number,
  parts: ScenarioParts,
  storage?: ProcessorStorage,
): Promise<FinishedPoint> {
  try {
    const point = sweepPoint(parsed, index);
    const request = await scenarioRequest(point.scenario, parts, point.source);
    const document = explained(point, () => compare({ ...request, storage }));
    return { row: sweepRow(point, document), estimates: document.estimates };
  } catch (error) {
    if (!(error instanceof FileError) || parsed.scenario.sweep?.unsupported !== "skip") throw error;
    const values = valuesAt(parsed.scenario, index);
    return { row: skippedRow({ index, values }, `${error.key}: ${error.problem}`), estimates: [] };
  }
}

/** What only building a guest or a machine finds out, as an error of the scenario. */
export function explained<T>({ source }: Pick<ParsedScenario, "source">, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const refused = (key: string, problem: string, allowed: string) =>
      new ScenarioError(source.file, source.lineOf(key.split(".")), key, problem, allowed);
    if (error instanceof ImageError)
      throw refused("guest", error.message, "a PVH ELF image that fits into domain.memory");
    if (error instanceof PartError) throw refused("guest", error.problem, error.allowed);
    if (error instanceof GuestSourceError)
      throw refused("guest", error.problem, error.allowed ?? "a guest that can be built");
    if (error instanceof XenConfigError)
      throw refused("domain", `${error.key}: ${error.value}`, error.allowed);
    throw error;
  }
}
