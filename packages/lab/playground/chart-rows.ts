import type { CompareDocument, RunResult } from "hyperwalk";
import { ledgerNames, runName, sumOf } from "hyperwalk";
import { familyFor } from "./palette.js";
import type { ChartParts } from "./state.js";

/** One piece of a bar. */
export interface ChartCell {
  readonly run: string;
  readonly part: string;
  readonly start: number;
  readonly end: number;
  readonly colour: string;
  /** The comparison's bar, below the present one. */
  readonly isBefore: boolean;
}

/** Cycles of a run by phase or by cause, in the order of a hypercall's path. */
export function partsOf(run: RunResult, parts: ChartParts): ReadonlyMap<string, number> {
  return new Map(ledgerNames([run], parts).map((name) => [name, sumOf(run, parts, name)]));
}

/** The bars of a document; and, of another one, the bars of runs that the first has, too. */
export function chartCells(
  document: CompareDocument,
  before: CompareDocument | undefined,
  parts: ChartParts,
): ChartCell[] {
  const names = document.runs.map((run) => runName(run));
  return [
    ...document.runs.flatMap((run) => bar(run, parts, false)),
    ...(before?.runs ?? [])
      .filter((run) => names.includes(runName(run)))
      .flatMap((run) => bar(run, parts, true)),
  ];
}

function bar(run: RunResult, parts: ChartParts, isBefore: boolean): ChartCell[] {
  const cells: ChartCell[] = [];
  let start = 0;
  for (const [part, cycles] of partsOf(run, parts)) {
    const { colour } = familyFor(parts, part);
    cells.push({ run: runName(run), part, start, end: start + cycles, colour, isBefore });
    start += cycles;
  }
  return cells;
}
