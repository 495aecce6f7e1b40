import type { SweepRow, SweepRun } from "../sweep/sweep-row.js";
import { amount, share } from "./amount.js";
import type { Chart } from "./chart.js";
import type { Markup } from "./markup.js";
import { type Axis, MOST_LINES, runAt, sweepRunNames, valueAt, varyingAxes } from "./sweep-table.js";
import { dataTable } from "./table.js";

/** Values of a second axis up to which each has a chart of lines of its own. */
const MOST_LINE_CHARTS = 4;
/** Combinations of further axes that have heat maps. */
const MOST_MAPS = 4;
/** Values up to which an axis has a tick at each. */
const MOST_TICKS = 12;
/** Axes that span more than this factor are logarithmic. */
const WIDE = 30;
const SHAPES = [
  "circle",
  "square",
  "triangle-up",
  "diamond",
  "cross",
  "triangle-down",
  "triangle-right",
  "triangle-left",
];
const DASHES = [
  [1, 0],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [10, 4],
  [4, 4],
  [1, 3],
  [12, 3, 3, 3],
];

/** A figure of a run that charts show. */
interface Measure {
  readonly title: string;
  /** Names of the runs that have it, and of all, by whose order lines look. */
  readonly names: readonly string[];
  readonly all: readonly string[];
  readonly format: string | undefined;
  of(run: SweepRun | undefined): number | null;
  show(value: number | null): string;
}

/** Rows in which some axes are fixed, with what they are fixed at, in words. */
interface Slice {
  readonly rows: readonly SweepRow[];
  readonly at: string;
}

/**
 * Lines over one axis, heat maps over two. A sweep of more axes has heat maps over the two with the most values, for the first
 * few combinations of the others; one whose points are no full grid (`combine: zip`) has lines over its points.
 */
export function sweepCharts(all: readonly SweepRow[]): Chart[] {
  const rows = [...all].sort((a, b) => a.index - b.index).filter(({ runs }) => runs.length > 0);
  const axes = varyingAxes(rows);
  const measures = measuresOf(rows);
  if (rows.length < 2 || axes.length === 0) return [];
  const [first, second, ...others] = axes;
  const points = new Set(rows.map((row) => JSON.stringify(axes.map(({ key }) => valueAt(row, key)))));
  const isGrid = points.size === axes.reduce((product, { values }) => product * values.length, 1);
  if (second === undefined || !isGrid) {
    const along = second === undefined ? first : undefined;
    return measures.map((measure, at) => lineChart(`sweep-${at + 1}`, { rows, at: "" }, along, measure));
  }
  const lines =
    others.length > 0 || second.values.length > MOST_LINE_CHARTS
      ? []
      : slices(rows, [second]).map((slice, at) =>
          lineChart(`sweep-line-${at + 1}`, slice, first, measures[0]),
        );
  const maps = slices(rows, others)
    .slice(0, MOST_MAPS)
    .flatMap((slice, at) =>
      measures.flatMap((measure, number) =>
        measure.names.map((name, run) =>
          heatMap(`sweep-map-${at + 1}-${number + 1}-${run + 1}`, slice, first, second, measure, name),
        ),
      ),
    );
  return [...lines, ...maps];
}

function measuresOf(rows: readonly SweepRow[]): Measure[] {
  const names = sweepRunNames(rows);
  const cycles: Measure = {
    title: "cycles per call",
    names,
    all: names,
    format: undefined,
    of: (run) => run?.cyclesPerCall ?? null,
    show: (value) => amount(value),
  };
  const savers = names.filter((name) => rows.some((row) => (runAt(row, name)?.saving ?? null) !== null));
  if (savers.length === 0) return [cycles];
  const [against] = names;
  return [
    cycles,
    {
      title: `saving against ${against}`,
      names: savers,
      all: names,
      format: ".0%",
      of: (run) => run?.saving ?? null,
      show: (value) => share(value),
    },
  ];
}

function slices(rows: readonly SweepRow[], fixed: readonly Axis[]): Slice[] {
  const groups = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const at = fixed.map(({ key }) => `${key} ${valueAt(row, key)}`).join(", ");
    const group = groups.get(at);
    if (group) group.push(row);
    else groups.set(at, [row]);
  }
  return [...groups].map(([at, group]) => ({ at, rows: group }));
}

function lineChart(id: string, { rows, at }: Slice, axis: Axis | undefined, measure: Measure): Chart {
  const { names, all } = measure;
  const x = (row: SweepRow): string | number => (axis === undefined ? row.index : valueAt(row, axis.key));
  const isNumeric = axis?.isNumeric ?? true;
  const values = rows.flatMap((row) =>
    names.flatMap((name) => {
      const value = measure.of(runAt(row, name));
      return value === null ? [] : [{ x: x(row), name, value, text: measure.show(value) }];
    }),
  );
  const over = axis?.key ?? "point of the sweep";
  const title = `${capital(measure.title)} over ${over}${at === "" ? "" : `, ${at}`}`;
  const ends = names.flatMap((name) => values.filter((each) => each.name === name).slice(-1));
  const scale = isNumeric && isWide(axis) ? { type: "log" } : { zero: false };
  const xEncoding = isNumeric
    ? {
        field: "x",
        type: "quantitative",
        title: over,
        scale: { ...scale, nice: false, padding: 12 },
        ...(axis !== undefined && axis.values.length <= MOST_TICKS ? { axis: { values: axis.values } } : {}),
      }
    : { field: "x", type: "ordinal", sort: axis?.values, title: over, axis: { labelAngle: -30 } };
  return {
    id,
    title,
    reading: `One line for each interface, named at its end; each has a mark and a dash of its own. Points are what was simulated; lines between them guide the eye.${axis === undefined ? " The table says what each point is." : ""}`,
    description: names
      .map((name) =>
        describe(
          name,
          values.filter((each) => each.name === name),
          over,
        ),
      )
      .join(" "),
    spec: {
      data: { values },
      height: 320,
      encoding: {
        x: xEncoding,
        y: {
          field: "value",
          type: "quantitative",
          title: measure.title,
          scale: { zero: measure.format === undefined },
          ...(measure.format === undefined ? {} : { axis: { format: measure.format } }),
        },
        color: {
          field: "name",
          type: "nominal",
          scale: {
            domain: all,
            range: all.map((_, n) => `var(--c${LINE_COLOURS[n % LINE_COLOURS.length]})`),
          },
          legend: null,
        },
      },
      layer: [
        {
          mark: { type: "line", strokeWidth: 2 },
          encoding: {
            strokeDash: {
              field: "name",
              type: "nominal",
              scale: { domain: all, range: all.map((_, n) => DASHES[n % DASHES.length]) },
              legend: null,
            },
          },
        },
        {
          mark: { type: "point", filled: true, size: 55, opacity: 1 },
          encoding: {
            shape: {
              field: "name",
              type: "nominal",
              scale: { domain: all, range: all.map((_, n) => SHAPES[n % SHAPES.length]) },
              legend: null,
            },
            tooltip: [
              { field: "name", title: "interface" },
              { field: "x", title: over },
              { field: "text", title: measure.title },
            ],
          },
        },
        {
          data: { values: ends },
          mark: {
            type: "text",
            align: "right",
            dy: -11,
            fontWeight: "bold",
            stroke: "var(--bg)",
            strokeWidth: 3,
          },
          encoding: { text: { field: "name" }, color: { value: "var(--fg)" } },
        },
      ],
    },
    table: lineTable(title, rows, x, measure, over),
  };
}

/** Those of the palette that show as thin lines, too. */
const LINE_COLOURS = [5, 4, 2, 6, 0, 1];

const MAP_LEGEND = { title: null, orient: "top", gradientLength: 200, tickCount: 3 } as const;

function heatMap(
  id: string,
  { rows, at }: Slice,
  first: Axis,
  second: Axis,
  measure: Measure,
  name: string,
): Chart {
  const values = rows.flatMap((row) => {
    const value = measure.of(runAt(row, name));
    return value === null
      ? []
      : [{ x: valueAt(row, first.key), y: valueAt(row, second.key), value, text: measure.show(value) }];
  });
  const [least, most] = extent(values.map(({ value }) => value));
  // Where black and white text are read equally well on this scheme.
  const middle = least + 0.42 * (most - least);
  const where = at === "" ? "" : `, ${at}`;
  return {
    id,
    title: `${capital(measure.title)} of ${name}${where}`,
    reading: `${first.key} from left to right, ${second.key} from top to bottom. Lighter is more; the figure stands in each field where there is room, and in the table.`,
    description: `From ${measure.show(least)} to ${measure.show(most)} over ${first.values.length} values of ${first.key} and ${second.values.length} of ${second.key}.`,
    spec: {
      data: { values },
      height: Math.min(30 * second.values.length, 640),
      encoding: {
        x: { field: "x", type: "ordinal", sort: first.values, title: first.key, axis: { labelAngle: -30 } },
        y: { field: "y", type: "ordinal", sort: second.values, title: second.key },
      },
      layer: [
        {
          mark: { type: "rect", stroke: "var(--bg)", strokeWidth: 1 },
          encoding: {
            color: {
              field: "value",
              type: "quantitative",
              // Even for those who see no colours: its lightness rises throughout.
              scale: { scheme: "cividis", domain: [least, most] },
              legend: least === most ? null : { ...MAP_LEGEND, format: measure.format ?? ",.0f" },
            },
            tooltip: [
              { field: "x", title: first.key },
              { field: "y", title: second.key },
              { field: "text", title: measure.title },
            ],
          },
        },
        {
          transform: [{ filter: `width / ${first.values.length} > 6.5 * length(datum.text) + 4` }],
          mark: { type: "text" },
          encoding: {
            text: { field: "text" },
            color: { condition: { test: `datum.value >= ${middle}`, value: "#000000" }, value: "#ffffff" },
          },
        },
      ],
    },
    table: mapTable(`${capital(measure.title)} of ${name}${where}`, rows, first, second, measure, name),
  };
}

function lineTable(
  caption: string,
  rows: readonly SweepRow[],
  x: (row: SweepRow) => string | number,
  { names, of, show }: Measure,
  over: string,
): Markup {
  return dataTable(
    caption,
    [{ title: over, figures: true }, ...names.map((title) => ({ title, figures: true }))],
    rows
      .slice(0, MOST_LINES)
      .map((row) => ({ cells: [x(row), ...names.map((name) => show(of(runAt(row, name))))] })),
  );
}

/** A row for each value of the second axis, a column for each of the first. */
function mapTable(
  caption: string,
  rows: readonly SweepRow[],
  first: Axis,
  second: Axis,
  { of, show }: Measure,
  name: string,
): Markup {
  const key = (x: string | number, y: string | number): string => JSON.stringify([x, y]);
  const cells = new Map(
    rows.map((row) => [key(valueAt(row, first.key), valueAt(row, second.key)), show(of(runAt(row, name)))]),
  );
  return dataTable(
    caption,
    [
      { title: `${second.key} \\ ${first.key}` },
      ...first.values.map((value) => ({ title: String(value), figures: true })),
    ],
    second.values.map((y) => ({ cells: [y, ...first.values.map((x) => cells.get(key(x, y)) ?? "-")] })),
  );
}

function describe(
  name: string,
  values: readonly { x: string | number; text: string }[],
  over: string,
): string {
  const [first] = values;
  const last = values.at(-1);
  if (first === undefined || last === undefined) return `${name}: no figures.`;
  return `${name}: ${first.text} at ${over} ${first.x}, ${last.text} at ${last.x}.`;
}

function isWide(axis: Axis | undefined): boolean {
  if (axis === undefined) return false;
  const [least, most] = extent(axis.values.map(Number));
  return least > 0 && most / least > WIDE;
}

/** The least and the most, of more values than a call has arguments. */
function extent(values: readonly number[]): readonly [number, number] {
  return values.reduce<readonly [number, number]>(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
