import { comparePhases } from "./phase-order.js";
import type { LedgerCell, RunResult } from "./result.js";

/** Cycles per call of some cells together. */
export function sumCells(cells: readonly LedgerCell[]): number {
  return cells.reduce((total, cell) => total + cell.cyclesPerCall, 0);
}

/** The phases of some runs in path order, each with the causes that any of them has in it. */
export function causesByPhase(runs: readonly Pick<RunResult, "ledger">[]): Map<string, string[]> {
  const cells = runs.flatMap((run) => run.ledger).sort(comparePhases);
  const byPhase = new Map<string, string[]>();
  for (const { phase, cause } of cells) {
    const causes = byPhase.get(phase) ?? [];
    if (!causes.includes(cause)) causes.push(cause);
    byPhase.set(phase, causes);
  }
  return byPhase;
}

/** What the cells of a ledger are added up by. */
export type LedgerKey = "phase" | "cause";

/** The phases or causes of some runs, in the order of the path and of the ledger. */
export function ledgerNames(runs: readonly Pick<RunResult, "ledger">[], by: LedgerKey): string[] {
  const byPhase = causesByPhase(runs);
  return by === "phase"
    ? [...byPhase.keys()]
    : [...new Set([...byPhase.values()].flat())].sort(compareCauses);
}

function compareCauses(a: string, b: string): number {
  return comparePhases({ phase: "", cause: a }, { phase: "", cause: b }) || (a < b ? -1 : a > b ? 1 : 0);
}

/** Cycles per call of one phase or of one cause. */
export function sumOf(run: Pick<RunResult, "ledger">, by: LedgerKey, name: string): number {
  return sumCells(run.ledger.filter((cell) => cell[by] === name));
}
