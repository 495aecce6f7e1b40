import type { CompareDocument, RunResult } from "../result.js";
import type { RunDocument } from "../scenario/run-scenario.js";
import type { PointValues } from "../scenario/sweep-points.js";
import type { SweepDocument, SweepRow } from "../sweep/sweep-row.js";
import type { HypercallTimeline } from "../timeline/hypercall-timeline.js";
import type { SensitivityInputs } from "./sensitivity-inputs.js";

/** A comparison under the name that tells it from another in the same report. */
export interface NamedComparison {
  /** Short: charts name runs by it. */
  readonly label: string;
  readonly document: CompareDocument;
  /** What it is the comparison of, where a scenario was run. */
  readonly scenario?: Omit<RunDocument, "comparison"> | undefined;
  /** Which point of the sweep in the same report it is of. */
  readonly point?: PointValues | undefined;
}

/** What a sweep gave. */
export interface SweepResults {
  /** In any order. */
  readonly rows: readonly SweepRow[];
  /** What is said of all of it, where it is known. */
  readonly document?: SweepDocument | undefined;
}

/** Everything that a report can show; what is left out has no section. There is something in at least one of the lists. */
export interface ReportInput {
  /** Default: made of what was run. */
  readonly title?: string | undefined;
  /** None, one, or two whose difference is shown. */
  readonly comparisons: readonly NamedComparison[];
  /** One for each interface. */
  readonly timelines?: readonly HypercallTimeline[] | undefined;
  readonly sensitivities?: readonly SensitivityInputs[] | undefined;
  readonly sweep?: SweepResults | undefined;
}

/** One guest run under the name that the report's charts and tables give it. */
export interface NamedRun {
  readonly name: string;
  readonly run: RunResult;
  /** The comparison that it belongs to. */
  readonly of: NamedComparison;
}

/** A run with figures to show. */
export interface MeasuredRun extends NamedRun {
  readonly cyclesPerCall: number;
}
