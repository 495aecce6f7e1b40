import type { CompareDocument, RunResult } from "hyperwalk";
import { comparePhases } from "hyperwalk";
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

/** How results call a run: its interface, and the hypervisor where that is not Xen. */
export function runName({ abi, host }: Pick<RunResult, "abi" | "host">): string {
  return host === "kvm" ? `${abi} on KVM` : abi;
}

/** Cycles of a run by phase or by cause, in the order of a hypercall's path. */
export function partsOf(run: RunResult, parts: ChartParts): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  const order = parts === "phase" ? comparePhases : byCause;
  for (const cell of [...run.ledger].sort(order))
    sums.set(cell[parts], (sums.get(cell[parts]) ?? 0) + cell.cyclesPerCall);
  return sums;
}

function byCause(a: { readonly cause: string }, b: { readonly cause: string }): number {
  return comparePhases({ phase: "", cause: a.cause }, { phase: "", cause: b.cause });
}

/** The bars of a document; and, of another one, the bars of runs that the first has, too. */
export function chartCells(
  document: CompareDocument,
  before: CompareDocument | undefined,
  parts: ChartParts,
): ChartCell[] {
  const names = document.runs.map(runName);
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
