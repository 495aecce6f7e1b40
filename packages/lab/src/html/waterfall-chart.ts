import { runName } from "../report/run-name.js";
import type { CallSpan, CallTimeline, HypercallTimeline } from "../timeline/hypercall-timeline.js";
import { amount } from "./amount.js";
import type { Chart } from "./chart.js";
import { html } from "./markup.js";
import { categoryFill, legend } from "./palette.js";
import { dataTable } from "./table.js";

/** Rows that fit onto a sheet of paper. */
const MOST_ROWS = 44;
const ROW_HEIGHT = 19;
/** Shares of the call: labels go into bars that are longer than the first, to the left of those that begin behind the second. */
const LONG = 0.3;
const LATE = 0.55;

/** Where a bar's label stands, and the cycles of the axis that are free for it there. */
const LABELS = [
  { place: "inside", align: "left", dx: 5, at: "start", room: "datum.end - datum.start" },
  { place: "after", align: "left", dx: 5, at: "end", room: "datum.whole - datum.end" },
  { place: "before", align: "right", dx: -5, at: "start", room: "datum.start" },
] as const;

/** One warm hypercall, a row for each function, from the guest's instruction to its return. @param phases of the whole page, which colours go by */
export function waterfallChart(id: string, timeline: HypercallTimeline, phases: readonly string[]): Chart {
  const { warm, cold } = timeline;
  const name = runName(timeline);
  const depth = deepest(warm.spans);
  const shown = warm.spans.filter((span) => span.depth <= depth);
  const folded = warm.spans.length - shown.length;
  const used = phases.filter((phase) => shown.some((span) => span.phase === phase));
  return {
    id,
    title: `One hypercall through ${name}, from the first instruction to the return`,
    reading: html`Time runs from left to right, rows from top to bottom in the order in which things begin; the first row is the whole call. What lies inside something else is below it. This is call ${warm.number} of the measured window, when caches are warm: <b>${amount(warm.cycles)}</b> cycles, after ${amount(warm.guestCyclesBefore)} of the guest's own since it was last entered; the first call of the run, which was ${cold.operation ?? "one that nobody handles"}, took <b>${amount(cold.cycles)}</b>.${folded > 0 ? ` ${folded} shorter steps inside the rows shown are in the table alone.` : ""}`,
    description: describe(name, warm),
    spec: {
      data: { values: shown.map((span, row) => rowOf(span, row, warm, phases)) },
      height: ROW_HEIGHT * shown.length,
      encoding: { y: { field: "row", type: "ordinal", axis: null } },
      layer: [
        {
          mark: { type: "bar", stroke: "var(--edge)", strokeWidth: 0.6, height: ROW_HEIGHT - 6 },
          encoding: {
            x: {
              field: "start",
              type: "quantitative",
              title: "cycles since the guest's instruction",
              scale: { domain: [0, warm.cycles], nice: false },
            },
            x2: { field: "end" },
            color: {
              field: "phase",
              type: "nominal",
              scale: { domain: used, range: used.map((phase) => categoryFill(phases.indexOf(phase))) },
              legend: null,
            },
            tooltip: [
              { field: "name", title: "function" },
              { field: "phase", title: "phase" },
              { field: "cycles", title: "cycles" },
              { field: "own", title: "of them its own" },
            ],
          },
        },
        ...LABELS.map(({ place, align, dx, at, room }) => ({
          transform: [{ filter: `datum.place === '${place}'` }],
          mark: {
            type: "text",
            align,
            dx,
            limit: { expr: `width * (${room}) / ${warm.cycles} - 6` },
            stroke: "var(--bg)",
            strokeWidth: 3,
          },
          encoding: { x: { field: at, type: "quantitative" }, text: { field: "label" } },
        })),
      ],
    },
    legend: legend(used, phases),
    table: spanTable(name, warm),
  };
}

/** The deepest level whose rows, with those above it, fit. */
function deepest(spans: readonly CallSpan[]): number {
  let depth = spans.reduce((most, span) => Math.max(most, span.depth), 0);
  while (depth > 1 && spans.filter((span) => span.depth <= depth).length > MOST_ROWS) depth--;
  return depth;
}

function rowOf(span: CallSpan, row: number, call: CallTimeline, phases: readonly string[]): object {
  const { name, phase, start, end, depth } = span;
  return {
    row,
    name,
    start,
    end,
    whole: call.cycles,
    phase: phases.includes(phase) ? phase : "",
    cycles: amount(end - start, 1),
    own: amount(ownCycles(span), 1),
    place: end - start > LONG * call.cycles ? "inside" : start > LATE * call.cycles ? "before" : "after",
    label: `${depth === 0 ? (call.operation ?? name) : name}  ${amount(end - start)}`,
  };
}

function ownCycles({ causes }: CallSpan): number {
  return causes.reduce((sum, { cycles }) => sum + cycles, 0);
}

function describe(name: string, { spans, cycles, operation }: CallTimeline): string {
  const longest = spans
    .filter(({ depth }) => depth === 1)
    .sort((a, b) => b.end - b.start - (a.end - a.start))
    .slice(0, 4)
    .map((span) => `${span.name} ${amount(span.end - span.start)}`);
  return `${operation ?? "A hypercall"} through ${name} takes ${amount(cycles)} cycles. Longest parts: ${longest.join(", ")}.`;
}

function spanTable(name: string, { spans }: CallTimeline): Chart["table"] {
  return dataTable(
    `Functions of one hypercall through ${name}`,
    [
      { title: "function" },
      { title: "phase" },
      { title: "begins", figures: true },
      { title: "cycles", figures: true },
      { title: "of them its own", figures: true },
      { title: "its own by cause" },
    ],
    spans.map((span) => ({
      cells: [
        html`<span class="again">${"– ".repeat(Math.min(span.depth, 12))}</span>${span.name}`,
        span.phase,
        amount(span.start, 1),
        amount(span.end - span.start, 1),
        amount(ownCycles(span), 1),
        span.causes.map(({ cause, cycles }) => `${cause} ${amount(cycles, 1)}`).join(", "),
      ],
    })),
  );
}
