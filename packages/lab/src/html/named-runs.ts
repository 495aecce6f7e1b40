import { runName } from "../report/run-name.js";
import type { MeasuredRun, NamedComparison, NamedRun } from "./report-input.js";

/** The runs of one or two comparisons under names of their own. */
export function namedRuns(comparisons: readonly NamedComparison[]): NamedRun[] {
  return comparisons.flatMap((of) => {
    const names = of.document.runs.map((run) => runName(run));
    return of.document.runs.map((run, at) => {
      // A document may hold the same interface twice.
      const first = names.indexOf(names[at]);
      const name =
        first === at
          ? names[at]
          : `${names[at]} (${names.slice(0, at + 1).filter((each) => each === names[at]).length})`;
      return { name: comparisons.length > 1 ? `${of.label}: ${name}` : name, run, of };
    });
  });
}

/** Those of them that made hypercalls: the others have no cycles per call. */
export function measuredRuns(runs: readonly NamedRun[]): MeasuredRun[] {
  return runs.flatMap((each) => {
    const { cyclesPerCall } = each.run;
    return cyclesPerCall === null ? [] : [{ ...each, cyclesPerCall }];
  });
}
