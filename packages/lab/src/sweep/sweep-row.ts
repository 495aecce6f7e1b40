import { saving } from "../published.js";
import type {
  AbiName,
  CompareDocument,
  CountersPerCall,
  EstimateUsed,
  HostName,
  LedgerCell,
  RunExit,
  RunResult,
} from "../result.js";
import { checkExpectations, type ExpectationResult } from "../scenario/expectations.js";
import type { Scenario } from "../scenario/scenario.js";
import type { PointValues, SweepPoint } from "../scenario/sweep-points.js";

/** One interface at one point of a sweep. */
export interface SweepRun {
  readonly host: HostName;
  readonly abi: AbiName;
  readonly windowHypercalls: number;
  readonly cyclesPerCall: number | null;
  readonly nsPerCall: number | null;
  readonly guestMeasuredCyclesPerCall: number | null;
  /** Share of the cycles that the point's first run takes; `null` for that one, and where either has none. */
  readonly saving: number | null;
  readonly counters: CountersPerCall | null;
  /** Sums to `cyclesPerCall`. */
  readonly ledger: readonly LedgerCell[];
  readonly exit: RunExit;
}

/** One point of a sweep: a line of `results.jsonl`. */
export interface SweepRow {
  /** From 0, in the order of the axes; the last one fastest. */
  readonly index: number;
  /** What the axes are here, by their keys. */
  readonly point: PointValues;
  readonly runs: readonly SweepRun[];
  readonly expectations: readonly ExpectationResult[];
  /** Keys of the estimates that these runs rest on. */
  readonly estimates: readonly string[];
  /** Why nothing was run here; only where `unsupported` is `skip`. */
  readonly skipped?: string;
}

/** A point that was run, as the results say it. */
export function sweepRow(point: SweepPoint, { runs, estimates }: CompareDocument): SweepRow {
  return {
    index: point.index,
    point: point.values,
    runs: runs.map((run, at) => sweepRun(run, at === 0 ? undefined : runs[0])),
    expectations: checkExpectations(point.scenario, runs),
    estimates: estimates.map(({ key }) => key),
  };
}

/** A point that could not be run, with the reason. */
export function skippedRow(
  { index, values }: Pick<SweepPoint, "index" | "values">,
  reason: string,
): SweepRow {
  return { index, point: values, runs: [], expectations: [], estimates: [], skipped: reason };
}

function sweepRun(run: RunResult, first: RunResult | undefined): SweepRun {
  return {
    host: run.host ?? "xen",
    abi: run.abi,
    windowHypercalls: run.windowHypercalls,
    cyclesPerCall: run.cyclesPerCall,
    nsPerCall: run.nsPerCall,
    guestMeasuredCyclesPerCall: run.guestMeasuredCyclesPerCall,
    saving: saving(run, first) ?? null,
    counters: run.counters,
    ledger: run.ledger,
    exit: run.exit,
  };
}

/** What a sweep's results say about all of it: `sweep.json`. */
export interface SweepDocument {
  readonly tool: { readonly name: string; readonly version: string };
  /** With every default written out, and its axes. */
  readonly scenario: Scenario;
  /** SHA-256 of the tool's version, the scenario and the files that it names: results of one can be joined. */
  readonly identity: string;
  readonly points: number;
  /** `1/4`: only every fourth point from the first; absent for all. */
  readonly shard?: string;
  /** Every estimate that some point rests on; twice where points have it at different values. */
  readonly estimates: readonly EstimateUsed[];
}
