import type { CompareDocument, RunResult } from "../result.js";

/** A comparison under the name that tells it from another in the same report. */
export interface NamedComparison {
  /** Short: charts name runs by it. */
  readonly label: string;
  readonly document: CompareDocument;
}

/** Everything that a report can show; what is left out has no section. */
export interface ReportInput {
  /** Default: made of what was run. */
  readonly title?: string | undefined;
  /** One, or two whose difference is shown. */
  readonly comparisons: readonly NamedComparison[];
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
