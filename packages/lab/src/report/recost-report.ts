import type { RecostDocument, RecostRun } from "../recording/recost.js";
import { type BreakdownRun, breakdownTable } from "./breakdown.js";
import { describeExit } from "./exits.js";
import { figure, percent } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";
import { runName } from "./run-name.js";

/** Rows of left-out calls and of other results that are printed; all are in `--json`. */
const MOST_ROWS = 12;

/** What a record's hypercalls take through each interface, how far that can be trusted, and what is not in it. */
export function recostReport(document: RecostDocument, paint: Paint): string {
  const { recording, runs } = document;
  const share = recording.runCycles > 0 ? recording.cycles / recording.runCycles : null;
  const parts = [
    `${paint.strong(recording.guest)}: ${figure(recording.calls)} hypercalls recorded through ${recording.interface ?? "an unknown interface"} on ${recording.machine ?? "an unknown machine"}, ` +
      `${figure(recording.cycles)} cycles, ${percent(share)} of the run\n${trust(document)}`,
    runTable(document, paint),
    runs
      .map((run) => headline(document, run))
      .filter((text) => text !== "")
      .join("\n"),
    `${paint.strong("By operation")} (cycles per call)`,
    operationTable(runs, paint),
    `${paint.strong("Where the cycles go")} (cycles per repeated call)`,
    breakdownTable({ runs: runs.map(perCall) }, paint),
    ...leftOut(runs, paint),
    ...otherResults(runs, paint),
    `Estimates that these figures rest on: ${document.estimates.length}, listed by --json`,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function trust({ reference, replayError, noReference, between, guestPage }: RecostDocument): string {
  const work =
    between.what === "nothing"
      ? "nothing between two calls"
      : `the recorded number of guest instructions between two calls, in a loop over ${between.footprint / 1024} KiB`;
  const how = `Replayed with ${work}; guest pages of ${guestPage}`;
  if (reference === null)
    return `${how}\nNot replayed as recorded: ${noReference ?? "no call can be repeated"}`;
  const sign = (replayError ?? 0) >= 0 ? "+" : "";
  return `${how}\nReplayed as recorded: ${figure(reference.cycles)} cycles for calls that took ${figure(reference.recordedCycles)}, an error of ${sign}${percent(replayError, 2)}`;
}

function runTable({ runs, recording }: RecostDocument, paint: Paint): string {
  const columns: Column[] = [
    { title: "interface", align: "left" },
    { title: "machine", align: "left" },
    { title: "calls" },
    { title: "cycles" },
    { title: "saving" },
    { title: "of all" },
    { title: "same result" },
    { title: "another" },
    { title: "left out" },
  ];
  const rows = runs.map((run) => [
    runName(run),
    run.machine,
    figure(run.calls),
    figure(run.cycles),
    percent(run.saving),
    percent(run.savingOfAll),
    figure(run.same),
    figure(run.different),
    figure(recording.calls - run.calls),
  ]);
  return grid(columns, rows, paint);
}

/** The sentence that recording is for. */
function headline({ recording, reference }: RecostDocument, run: RecostRun): string {
  const problem = run.exit.ok ? "" : `${runName(run)}: the replay ended early: ${describeExit(run.exit)}`;
  const pieces =
    run.chunks > 1
      ? `${runName(run)}: replayed in ${run.chunks} pieces, each on a fresh domain that has not seen the earlier ones`
      : "";
  const isReference =
    run.abi === reference?.abi && run.host === reference.host && run.machine === reference.machine;
  const saving =
    run.savingOfAll === null || isReference
      ? ""
      : `This run would have ${run.savingOfAll >= 0 ? "saved" : "lost"} ${percent(Math.abs(run.savingOfAll))} of its hypercall time under ${runName(run)}` +
        (run.machine === recording.machine ? "" : ` on ${run.machine}`) +
        (run.calls < (reference?.calls ?? 0)
          ? `, with ${figure((reference?.calls ?? 0) - run.calls)} calls that it does not carry as they were`
          : "");
  return [problem, pieces, saving].filter((text) => text !== "").join("\n");
}

function operationTable(runs: readonly RecostRun[], paint: Paint): string {
  const names = new Map<string, { count: number; recorded: number }>();
  for (const { operations } of runs)
    for (const { operation, count, recordedCycles } of operations)
      if (!names.has(operation)) names.set(operation, { count, recorded: recordedCycles });
  const rows: Row[] = [...names]
    .sort(([, a], [, b]) => b.recorded - a.recorded)
    .map(([name, { count, recorded }]) => [
      name,
      figure(count),
      figure(recorded / count),
      ...runs.map(({ operations }) => {
        const own = operations.find(({ operation }) => operation === name);
        return own === undefined ? "-" : figure(own.cycles / own.count);
      }),
    ]);
  return grid(
    [
      { title: "operation", align: "left" },
      { title: "calls" },
      { title: "recorded" },
      ...runs.map((run): Column => ({ title: runName(run) })),
    ],
    rows,
    paint,
  );
}

function perCall({ abi, host, ledger, calls }: RecostRun): BreakdownRun {
  return {
    abi,
    host,
    ledger: ledger.map(({ phase, cause, cycles }) => ({
      phase,
      cause,
      cyclesPerCall: cycles / Math.max(calls, 1),
    })),
  };
}

function leftOut(runs: readonly RecostRun[], paint: Paint): readonly string[] {
  const rows: Row[] = runs.flatMap((run) =>
    run.left.map(({ operation, reason, count, recordedCycles }) => [
      runName(run),
      operation,
      figure(count),
      figure(recordedCycles),
      reason,
    ]),
  );
  if (rows.length === 0) return [];
  const columns: Column[] = [
    { title: "left out of", align: "left" },
    { title: "operation", align: "left" },
    { title: "calls" },
    { title: "recorded cycles" },
    { title: "why", align: "left", wrapAt: 72 },
  ];
  return [shortened(grid(columns, rows.slice(0, MOST_ROWS), paint), rows.length)];
}

function otherResults(runs: readonly RecostRun[], paint: Paint): readonly string[] {
  const rows: Row[] = runs.flatMap((run) =>
    run.differences.map(({ operation, recorded, replayed, count }) => [
      runName(run),
      operation,
      figure(count),
      String(recorded),
      String(replayed),
    ]),
  );
  if (rows.length === 0) return [];
  const columns: Column[] = [
    { title: "another result in", align: "left" },
    { title: "operation", align: "left" },
    { title: "calls" },
    { title: "recorded" },
    { title: "replayed" },
  ];
  return [shortened(grid(columns, rows.slice(0, MOST_ROWS), paint), rows.length)];
}

function shortened(table: string, rows: number): string {
  return rows > MOST_ROWS ? `${table}\nand ${rows - MOST_ROWS} more, listed by --json` : table;
}
