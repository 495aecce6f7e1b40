import { causesByPhase, sumCells } from "../ledger-sums.js";
import type { LedgerCell, RunResult } from "../result.js";
import { figure, percent } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";
import { runName } from "./run-name.js";

/** What a breakdown needs to know of a run. */
export type BreakdownRun = Pick<RunResult, "abi" | "host" | "ledger">;

type Selector = (cell: LedgerCell) => boolean;

/**
 * Cycles per call by phase and, under each phase, by cause; the interfaces side by side. A cause that rounds to
 * nothing everywhere has no line of its own, but counts. The last line is the sum of all cells, which is the figure
 * of the summary.
 */
export function breakdownTable(document: { readonly runs: readonly BreakdownRun[] }, paint: Paint): string {
  const { runs } = document;
  const figures = (selector: Selector): string[] => runs.flatMap((run) => sumAndShare(run, selector));
  const rows: Row[] = [];
  for (const [phase, causes] of causesByPhase(runs)) {
    const [only, ...others] = causes;
    const whole = figures((cell) => cell.phase === phase).map(paint.strong);
    rows.push([paint.strong(phase), others.length === 0 ? only : "", ...whole]);
    if (others.length === 0) continue;
    for (const cause of causes) {
      const own = figures((cell) => cell.phase === phase && cell.cause === cause);
      if (own.some((text) => /[1-9]/.test(text))) rows.push(["", cause, ...own]);
    }
  }
  rows.push("rule", [paint.strong("sum"), "", ...figures(() => true).map(paint.strong)]);
  const columns: Column[] = [
    { title: "phase", align: "left" },
    { title: "cause", align: "left" },
    ...runs.flatMap((run): Column[] => [{ title: runName(run) }, { title: "share" }]),
  ];
  return grid(columns, rows, paint);
}

function sumAndShare(run: BreakdownRun, selector: Selector): [string, string] {
  const selected = run.ledger.filter(selector);
  if (selected.length === 0) return ["", ""];
  const total = sumCells(run.ledger);
  return [figure(sumCells(selected), 1), percent(total === 0 ? undefined : sumCells(selected) / total)];
}
