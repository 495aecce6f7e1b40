import { comparePhases } from "../phase-order.js";
import type { CountersPerCall } from "../result.js";
import type { SweepRow, SweepRun } from "./sweep-row.js";

/** A column of a table of results. */
export interface ResultColumn {
  readonly name: string;
  readonly type: "whole" | "number" | "text" | "boolean";
  /** A line each; `null`: there is no such figure. */
  readonly values: readonly (string | number | boolean | null)[];
}

const COUNTERS: readonly (readonly [string, keyof CountersPerCall])[] = [
  ["hypervisor_instructions_per_call", "hypervisorInstructionsPerCall"],
  ["p2m_lookups_per_call", "p2mLookupsPerCall"],
  ["p2m_table_reads_per_call", "p2mTableReadsPerCall"],
  ["guest_pte_reads_per_call", "guestPteReadsPerCall"],
  ["guest_instructions_per_call", "guestInstructionsPerCall"],
  ["bytes_copied_per_call", "bytesCopiedPerCall"],
];

/**
 * Rows as a table with a line for each interface at each point: the axes as `point.<key>`, figures, and the cycles per call of
 * each phase as `phase.<name>`. A point that was left out has one line with its reason.
 */
export function resultColumns(rows: readonly SweepRow[]): ResultColumn[] {
  const lines = rows.flatMap((row): { readonly row: SweepRow; readonly run?: SweepRun }[] =>
    row.runs.length === 0 ? [{ row }] : row.runs.map((run) => ({ row, run })),
  );
  const axes = [...new Set(rows.flatMap(({ point }) => Object.keys(point)))];
  const number = (name: string, pick: (run: SweepRun) => number | null | undefined): ResultColumn => ({
    name,
    type: "number",
    values: lines.map(({ run }) => (run === undefined ? null : (pick(run) ?? null))),
  });
  const text = (name: string, pick: (run: SweepRun) => string): ResultColumn => ({
    name,
    type: "text",
    values: lines.map(({ run }) => (run === undefined ? null : pick(run))),
  });
  return [
    { name: "index", type: "whole", values: lines.map(({ row }) => row.index) },
    ...axes.map((axis) => axisColumn(axis, lines)),
    text("host", ({ host }) => host),
    text("interface", ({ abi }) => abi),
    { name: "ok", type: "boolean", values: lines.map(({ run }) => run?.exit.ok ?? null) },
    text("exit", ({ exit }) => exit.shutdown ?? exit.budget ?? exit.reason),
    number("window_hypercalls", (run) => run.windowHypercalls),
    number("cycles_per_call", (run) => run.cyclesPerCall),
    number("ns_per_call", (run) => run.nsPerCall),
    number("guest_measured_cycles_per_call", (run) => run.guestMeasuredCyclesPerCall),
    number("saving", (run) => run.saving),
    ...COUNTERS.map(([name, key]) => number(name, ({ counters }) => counters?.[key])),
    ...phasesOf(rows).map((phase) => number(`phase.${phase}`, (run) => phaseCycles(run, phase))),
    { name: "skipped", type: "text", values: lines.map(({ row }) => row.skipped ?? null) },
  ];
}

function axisColumn(axis: string, lines: readonly { readonly row: SweepRow }[]): ResultColumn {
  const values = lines.map(({ row }) => row.point[axis] ?? null);
  const isAll = (type: string) => values.every((value) => value === null || typeof value === type);
  if (isAll("number")) return { name: `point.${axis}`, type: "number", values: values as (number | null)[] };
  if (isAll("boolean"))
    return { name: `point.${axis}`, type: "boolean", values: values as (boolean | null)[] };
  return {
    name: `point.${axis}`,
    type: "text",
    values: values.map((value) =>
      Array.isArray(value) ? value.join(",") : value === null ? null : String(value),
    ),
  };
}

function phasesOf(rows: readonly SweepRow[]): string[] {
  const cells = rows.flatMap(({ runs }) => runs.flatMap(({ ledger }) => ledger));
  const phases = new Map(cells.map((cell) => [cell.phase, cell]));
  return [...phases.values()].sort(comparePhases).map(({ phase }) => phase);
}

function phaseCycles({ ledger }: SweepRun, phase: string): number {
  return ledger.reduce((sum, cell) => (cell.phase === phase ? sum + cell.cyclesPerCall : sum), 0);
}
