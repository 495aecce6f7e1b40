import { causesByPhase, type LedgerKey, ledgerNames, sumCells, sumOf } from "../ledger-sums.js";
import { amount, share } from "./amount.js";
import type { Chart } from "./chart.js";
import { html } from "./markup.js";
import { categoryFill, legend } from "./palette.js";
import type { MeasuredRun } from "./report-input.js";
import { dataTable, type TableColumn, type TableRow } from "./table.js";

const TITLES: Readonly<Record<LedgerKey, string>> = {
  phase: "Where the cycles go, by phase",
  cause: "Why they pass, by cause",
};
const READINGS: Readonly<Record<LedgerKey, string>> = {
  phase:
    "One bar for each interface; its length is the cycles of one hypercall. Its parts are the phases, from left to right in the order in which a hypercall passes through them first. Numbers name the parts; the list below the chart says which is which.",
  cause:
    "The same cycles, added up by what they were spent on: issuing instructions, mispredicted branches, the level of the memory hierarchy that a load waited for, serialising instructions, the hardware's own part of VM exit and entry.",
};
/** Causes and phases that are named in the text alternative. */
const LARGEST = 4;

/**
 * Cycles per call of each run as a bar of its phases or causes.
 * @param all phases or causes of the whole page, which colours and numbers go by; default those of the runs
 */
export function breakdownChart(runs: readonly MeasuredRun[], by: LedgerKey, all?: readonly string[]): Chart {
  const ledgers = runs.map(({ run }) => run);
  const names = ledgerNames(ledgers, by);
  const categories = all ?? names;
  const largest = Math.max(...runs.map((each) => each.cyclesPerCall), 0);
  return {
    id: `breakdown-${by}`,
    title: TITLES[by],
    reading: READINGS[by],
    description: runs.map((each) => describe(each, names, by)).join(" "),
    spec: {
      data: { values: runs.flatMap((each) => segments(each, categories, by)) },
      height: 46 * runs.length,
      encoding: { y: { field: "run", type: "nominal", sort: runs.map(({ name }) => name), title: null } },
      layer: [
        {
          mark: { type: "bar", stroke: "var(--edge)", strokeWidth: 0.6, height: 30 },
          encoding: {
            x: {
              field: "from",
              type: "quantitative",
              title: "cycles per call",
              scale: { domain: [0, largest * 1.14], nice: false },
            },
            x2: { field: "to" },
            color: {
              field: "number",
              type: "ordinal",
              scale: {
                domain: categories.map((_, at) => at + 1),
                range: categories.map((_, at) => categoryFill(at)),
              },
              legend: null,
            },
            tooltip: [
              { field: "run", title: "interface" },
              { field: "name", title: by },
              { field: "text", title: "cycles per call" },
              { field: "share", title: "share" },
            ],
          },
        },
        {
          transform: [
            { calculate: `(datum.to - datum.from) / ${largest * 1.14} * width`, as: "pixels" },
            { calculate: "'' + datum.number", as: "short" },
            { calculate: "datum.short + ' ' + datum.name", as: "long" },
            {
              calculate: "datum.pixels > 6.6 * length(datum.long) + 8 ? datum.long : datum.short",
              as: "label",
            },
            { filter: "datum.pixels > 7 * length(datum.short) + 3" },
          ],
          mark: { type: "text", fontWeight: "bold", stroke: "var(--bg)", strokeWidth: 3 },
          encoding: { x: { field: "middle", type: "quantitative" }, text: { field: "label" } },
        },
        {
          data: {
            values: runs.map(({ name, cyclesPerCall }) => ({
              run: name,
              cyclesPerCall,
              text: amount(cyclesPerCall),
            })),
          },
          mark: { type: "text", align: "left", dx: 5, fontWeight: "bold" },
          encoding: { x: { field: "cyclesPerCall", type: "quantitative" }, text: { field: "text" } },
        },
      ],
    },
    legend: legend(names, categories),
    table: by === "phase" ? phaseTable(runs) : sumTable(runs, names, by, categories),
  };
}

function segments(
  { name: run, run: result }: MeasuredRun,
  names: readonly string[],
  by: LedgerKey,
): object[] {
  let from = 0;
  const total = sumCells(result.ledger);
  return names.flatMap((name, at) => {
    const cycles = sumOf(result, by, name);
    if (cycles === 0) return [];
    const start = from;
    from += cycles;
    const text = amount(cycles, 1);
    return [
      {
        run,
        number: at + 1,
        name,
        from: start,
        middle: start + cycles / 2,
        to: from,
        text,
        share: share(cycles / total),
      },
    ];
  });
}

function describe(
  { name, run, cyclesPerCall }: MeasuredRun,
  names: readonly string[],
  by: LedgerKey,
): string {
  const largest = names
    .map((each) => ({ each, cycles: sumOf(run, by, each) }))
    .sort((a, b) => b.cycles - a.cycles)
    .slice(0, LARGEST)
    .filter(({ cycles }) => cycles > 0)
    .map(({ each, cycles }) => `${each} ${amount(cycles)}`);
  return `${name}: ${amount(cyclesPerCall)} cycles per call, most of them in ${largest.join(", ")}.`;
}

/** Phases and, under each, its causes; the last line is the sum of all cells, which is the headline's figure. */
function phaseTable(runs: readonly MeasuredRun[]): ReturnType<typeof dataTable> {
  const rows: TableRow[] = [];
  for (const [phase, causes] of causesByPhase(runs.map(({ run }) => run))) {
    rows.push({
      cells: [phase, causes.length === 1 ? causes[0] : "", ...cells(runs, (cell) => cell.phase === phase)],
      kind: "group",
    });
    if (causes.length === 1) continue;
    for (const cause of causes)
      rows.push({
        cells: [
          html`<span class="again">${phase}</span>`,
          cause,
          ...cells(runs, (cell) => cell.phase === phase && cell.cause === cause),
        ],
      });
  }
  rows.push({ cells: ["sum", "", ...cells(runs, () => true)], kind: "sum" });
  return dataTable(
    "Cycles per call by phase and cause",
    [{ title: "phase" }, { title: "cause" }, ...runColumns(runs)],
    rows,
  );
}

function sumTable(
  runs: readonly MeasuredRun[],
  names: readonly string[],
  by: LedgerKey,
  all: readonly string[],
): ReturnType<typeof dataTable> {
  const rows: TableRow[] = names.map((name) => ({
    cells: [`${all.indexOf(name) + 1} ${name}`, ...cells(runs, (cell) => cell[by] === name)],
  }));
  rows.push({ cells: ["sum", ...cells(runs, () => true)], kind: "sum" });
  return dataTable(`Cycles per call by ${by}`, [{ title: by }, ...runColumns(runs)], rows);
}

function runColumns(runs: readonly MeasuredRun[]): TableColumn[] {
  return runs.flatMap(({ name }) => [
    { title: name, figures: true },
    { title: "share", figures: true },
  ]);
}

function cells(
  runs: readonly MeasuredRun[],
  selector: (cell: MeasuredRun["run"]["ledger"][number]) => boolean,
): string[] {
  return runs.flatMap(({ run }) => {
    const selected = run.ledger.filter(selector);
    if (selected.length === 0) return ["", ""];
    const total = sumCells(run.ledger);
    const sum = sumCells(selected);
    return [amount(sum, 1), share(total === 0 ? undefined : sum / total)];
  });
}
