import { ledgerNames, sumOf } from "../ledger-sums.js";
import { saving } from "../published.js";
import { amount, lessOrMore, share, signed } from "./amount.js";
import type { Chart } from "./chart.js";
import type { MeasuredRun } from "./report-input.js";
import { dataTable, type TableRow } from "./table.js";

/** Phases that change by less than this share of all changes are one step of the chart together. */
const SMALL = 0.01;
/** Figures go to the left of bars that begin behind this share of the chart. */
const ROOM = 0.3;

interface Step {
  readonly name: string;
  readonly change: number;
}

/** From one run's cycles per call to another's, a step for each phase that differs, the largest first. */
export function differenceChart(id: string, before: MeasuredRun, after: MeasuredRun): Chart {
  const steps = phaseSteps(before, after);
  const shown = significant(steps);
  const bars = stairs(before, after, shown);
  const saved = saving(after.run, before.run) ?? 0;
  const largest = Math.max(...bars.flatMap(({ from, to }) => [from, to]), 0);
  const first = shown.slice(0, 3).map(({ name, change }) => `${name} ${signed(change)}`);
  return {
    id,
    title: `From ${before.name} to ${after.name}: where the difference lies`,
    reading: `The bar at the top is one hypercall through ${before.name}, the one at the bottom one through ${after.name}: ${lessOrMore(saved)}. Between them a step for each phase whose cycles differ, the largest first; − and + say which way.`,
    description: `${before.name} ${amount(before.cyclesPerCall)} cycles per call, ${after.name} ${amount(after.cyclesPerCall)}, ${lessOrMore(saved)}. ${first.length === 0 ? "No phase differs." : `Largest differences: ${first.join(", ")}.`}`,
    spec: {
      data: { values: bars },
      height: 24 * bars.length,
      encoding: { y: { field: "name", type: "nominal", sort: bars.map(({ name }) => name), title: null } },
      layer: [
        {
          mark: { type: "bar", stroke: "var(--edge)", strokeWidth: 0.6, height: 17 },
          encoding: {
            x: {
              field: "from",
              type: "quantitative",
              title: "cycles per call",
              scale: { domain: [0, largest * 1.16], nice: false },
            },
            x2: { field: "to" },
            color: {
              field: "kind",
              type: "nominal",
              scale: {
                domain: ["total", "less", "more"],
                range: ["var(--total)", "var(--less)", "url(#fill-5-lines)"],
              },
              legend: null,
            },
            tooltip: [
              { field: "name", title: "step" },
              { field: "text", title: "cycles per call" },
            ],
          },
        },
        {
          transform: [{ filter: "!datum.isLeft" }],
          mark: { type: "text", align: "left", dx: 5 },
          encoding: { x: { field: "end", type: "quantitative" }, text: { field: "text" } },
        },
        {
          transform: [{ filter: "datum.isLeft" }],
          mark: { type: "text", align: "right", dx: -5 },
          encoding: { x: { field: "end", type: "quantitative" }, text: { field: "text" } },
        },
      ],
    },
    table: differenceTable(before, after, steps),
  };
}

function phaseSteps(before: MeasuredRun, after: MeasuredRun): Step[] {
  return ledgerNames([before.run, after.run], "phase")
    .map((name) => ({ name, change: sumOf(after.run, "phase", name) - sumOf(before.run, "phase", name) }))
    .filter(({ change }) => change !== 0)
    .sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
}

function significant(steps: readonly Step[]): Step[] {
  const all = steps.reduce((sum, { change }) => sum + Math.abs(change), 0);
  const small = steps.filter(({ change }) => Math.abs(change) < SMALL * all);
  if (small.length < 2) return [...steps];
  const rest = small.reduce((sum, { change }) => sum + change, 0);
  return [
    ...steps.filter((step) => !small.includes(step)),
    { name: `${small.length} smaller ones`, change: rest },
  ];
}

function stairs(before: MeasuredRun, after: MeasuredRun, steps: readonly Step[]) {
  const total = ({ name, cyclesPerCall }: MeasuredRun) => ({
    name,
    kind: "total",
    from: 0,
    to: cyclesPerCall,
    end: cyclesPerCall,
    isLeft: false,
    text: amount(cyclesPerCall),
  });
  let level = before.cyclesPerCall;
  const between = steps.map(({ name, change }) => {
    const from = level;
    level += change;
    // Beside the bar where it does not leave the chart.
    const isLeft = Math.min(from, level) > before.cyclesPerCall * ROOM;
    const end = isLeft ? Math.min(from, level) : Math.max(from, level);
    return { name, kind: change < 0 ? "less" : "more", from, to: level, end, isLeft, text: signed(change) };
  });
  return [total(before), ...between, total(after)];
}

function differenceTable(
  before: MeasuredRun,
  after: MeasuredRun,
  steps: readonly Step[],
): ReturnType<typeof dataTable> {
  const total = after.cyclesPerCall - before.cyclesPerCall;
  const rows: TableRow[] = steps.map(({ name, change }) => ({
    cells: [
      name,
      amount(sumOf(before.run, "phase", name), 1),
      amount(sumOf(after.run, "phase", name), 1),
      signed(change, 1),
      share(total === 0 ? undefined : change / total),
    ],
  }));
  rows.push({
    cells: [
      "all phases",
      amount(before.cyclesPerCall, 1),
      amount(after.cyclesPerCall, 1),
      signed(total, 1),
      share(total === 0 ? undefined : 1),
    ],
    kind: "sum",
  });
  const columns = [
    { title: "phase" },
    ...[before.name, after.name, "difference", "share of the difference"].map((title) => ({
      title,
      figures: true,
    })),
  ];
  return dataTable(`Cycles per call of ${before.name} and ${after.name} by phase`, columns, rows);
}
