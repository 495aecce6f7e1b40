import { saving } from "../published.js";
import type { CountersPerCall, HostName, RunResult } from "../result.js";
import type { Scenario, ScenarioExpectation, ScenarioFigure } from "./scenario.js";

/** An expectation beside what was found. */
export interface ExpectationResult extends ScenarioExpectation {
  /** `null` when no such run was made, or it has no such figure. */
  readonly found: number | null;
  readonly isMet: boolean;
}

const COUNTER_OF: Partial<Record<ScenarioFigure, keyof CountersPerCall>> = {
  "hypervisor-instructions-per-call": "hypervisorInstructionsPerCall",
  "p2m-lookups-per-call": "p2mLookupsPerCall",
  "p2m-table-reads-per-call": "p2mTableReadsPerCall",
  "guest-pte-reads-per-call": "guestPteReadsPerCall",
  "guest-instructions-per-call": "guestInstructionsPerCall",
  "bytes-copied-per-call": "bytesCopiedPerCall",
};

/** What a scenario expects of its runs, and whether they gave it. */
export function checkExpectations(
  { expect }: Pick<Scenario, "expect">,
  runs: readonly RunResult[],
): ExpectationResult[] {
  return expect.map((each) => {
    const found = figureOf(each, runs);
    return { ...each, found, isMet: found !== null && isWithin(each, found) };
  });
}

function figureOf(expected: ScenarioExpectation, runs: readonly RunResult[]): number | null {
  const { figure, against } = expected;
  // The first hypervisor of the comparison, where none is named.
  const of = (abi: string): RunResult | undefined =>
    runs.find((run) => run.abi === abi && (expected.host === undefined || hostOf(run) === expected.host));
  const run = of(expected.interface);
  if (run === undefined) return null;
  const counter = COUNTER_OF[figure];
  if (counter !== undefined) return run.counters?.[counter] ?? null;
  switch (figure) {
    case "cycles-per-call":
      return run.cyclesPerCall;
    case "ns-per-call":
      return run.nsPerCall;
    case "guest-measured-cycles-per-call":
      return run.guestMeasuredCyclesPerCall;
    default:
      return (against === undefined ? undefined : saving(run, of(against))) ?? null;
  }
}

function hostOf({ host }: RunResult): HostName {
  return host ?? "xen";
}

function isWithin(expected: ScenarioExpectation, found: number): boolean {
  const { is, within } = expected;
  if (found < (expected["at-least"] ?? Number.NEGATIVE_INFINITY)) return false;
  if (found > (expected["at-most"] ?? Number.POSITIVE_INFINITY)) return false;
  if (is === undefined || within === undefined) return true;
  const most = typeof within === "number" ? within : (Math.abs(is) * Number.parseFloat(within)) / 100;
  return Math.abs(found - is) <= most;
}
