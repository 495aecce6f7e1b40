import { runName } from "../report/run-name.js";
import { amount, share } from "./amount.js";
import type { Chart } from "./chart.js";
import { html, type Markup } from "./markup.js";
import { fillLegend } from "./palette.js";
import type { RunFigures, SensitivityInputs } from "./sensitivity-inputs.js";
import { dataTable } from "./table.js";

/** Estimates with a bar of their own; the table has all. */
const MOST_BARS = 15;

/** One figure of an analysis: the cycles of its first run, or another's saving against it. */
interface Target {
  readonly at: number;
  readonly of: keyof RunFigures;
  readonly name: string;
  readonly unit: string;
  show(value: number | null | undefined): string;
}

const ENDS = [
  { name: "low end of the range", fill: "var(--c1)" },
  { name: "high end of the range", fill: "url(#fill-0-lines)" },
] as const;

type Input = SensitivityInputs["inputs"][number];

/** A chart for each figure: which estimates move it how far, the one that matters most at the top. */
export function tornadoCharts(id: string, document: SensitivityInputs): Chart[] {
  return targets(document).flatMap((target) => {
    const baseline = document.baseline[target.at]?.[target.of] ?? null;
    return baseline === null ? [] : [tornadoChart(`${id}-${target.at + 1}`, document, target, baseline)];
  });
}

/** What the analysis did not vary, and all estimates at once. */
export function sensitivityNotes(document: SensitivityInputs): Markup {
  const joint = targets(document).map((target) => {
    const { low, high } = document.joint[target.at] ?? { low: null, high: null };
    const baseline = document.baseline[target.at]?.[target.of];
    return { cells: [target.name, ...[low, baseline, high].map((value) => target.show(value))] };
  });
  const columns = ["all lower it", "as estimated", "all raise it"].map((title) => ({ title, figures: true }));
  return html`${dataTable("All estimates at once", [{ title: "figure" }, ...columns], joint)}
<p>${document.jointNote}</p>
${
  document.notVaried.length === 0
    ? ""
    : html`<details><summary>${document.notVaried.length} estimates that were not varied</summary>${dataTable(
        "Estimates that were not varied",
        [{ title: "number" }, { title: "value", figures: true }, { title: "why", prose: true }],
        document.notVaried.map(({ key, value, why }) => ({ cells: [html`<code>${key}</code>`, value, why] })),
      )}</details>`
}`;
}

function targets({ runs }: SensitivityInputs): Target[] {
  return runs.map((run, at): Target => {
    const name = runName(run);
    return at === 0
      ? {
          at,
          of: "cyclesPerCall",
          name: `cycles per call of ${name}`,
          unit: "cycles per call",
          show: (value) => amount(value),
        }
      : {
          at,
          of: "saving",
          name: `saving of ${name} against ${runName(runs[0])}`,
          unit: "saving",
          show: (value) => share(value),
        };
  });
}

function tornadoChart(id: string, document: SensitivityInputs, target: Target, baseline: number): Chart {
  const { at, of } = target;
  const ranked = document.inputs
    .filter((input) => swing(input, target) > 0)
    .sort((a, b) => swing(b, target) - swing(a, target));
  const shown = ranked.slice(0, MOST_BARS);
  const names = shown.map(({ key }, number) => `${number + 1} ${key}`);
  const bars = shown.flatMap((input, number) =>
    (["low", "high"] as const).flatMap((end) => {
      const value = input[end].figures[at]?.[of];
      if (value === null || value === undefined) return [];
      return [
        {
          name: names[number],
          key: input.key,
          end: `${end} end of the range`,
          at: `${input[end].value} ${input.unit}`,
          figure: target.show(value),
          value,
          baseline,
          // On the side that the bar points to.
          isLess: value < baseline,
          label: String(input[end].value),
        },
      ];
    }),
  );
  const most = shown.slice(0, 3).map(({ key }) => key);
  const format = of === "saving" ? { format: ".1%" } : {};
  return {
    id,
    title: `Which estimates matter for the ${target.name}`,
    reading: html`Each bar is one estimate, the others at their values: where the figure goes when that one is at the low end of its range (plain) and at the high end (striped). Numbers at the ends of bars are the estimate's own. The line is the figure with all of them as estimated: <b>${target.show(baseline)}</b>. ${ranked.length > shown.length ? `${shown.length} of ${ranked.length} estimates that move it; the table has all.` : ""}`,
    description: `${target.name} is ${target.show(baseline)} as estimated. ${most.length === 0 ? "No estimate moves it." : `It moves most with ${most.join(", ")}.`}`,
    spec: {
      data: { values: bars },
      height: Math.max(26 * shown.length, 26),
      encoding: {
        y: {
          field: "name",
          type: "nominal",
          sort: names,
          title: null,
          axis: { labelLimit: { expr: "max(90, 0.34 * containerSize()[0])" } },
        },
      },
      layer: [
        {
          mark: { type: "bar", stroke: "var(--edge)", strokeWidth: 0.6, height: 17 },
          encoding: {
            x: {
              field: "baseline",
              type: "quantitative",
              title: target.unit,
              scale: { zero: false, padding: 44 },
              axis: format,
            },
            x2: { field: "value" },
            color: {
              field: "end",
              type: "nominal",
              scale: { domain: ENDS.map(({ name }) => name), range: ENDS.map(({ fill }) => fill) },
              legend: null,
            },
            tooltip: [
              { field: "key", title: "estimate" },
              { field: "at", title: "at" },
              { field: "figure", title: target.unit },
            ],
          },
        },
        {
          data: { values: [{ baseline }] },
          mark: { type: "rule", strokeWidth: 1.5 },
          encoding: { x: { field: "baseline", type: "quantitative" }, y: null },
        },
        ...([true, false] as const).map((isLess) => ({
          transform: [{ filter: `datum.isLess === ${isLess} && datum.value !== datum.baseline` }],
          mark: { type: "text", align: isLess ? "right" : "left", dx: isLess ? -4 : 4 },
          encoding: { x: { field: "value", type: "quantitative" }, text: { field: "label" } },
        })),
      ],
    },
    legend: fillLegend(ENDS),
    table: inputTable(ranked, target),
  };
}

function swing(input: Input, { at, of }: Target): number {
  return input.swing[at]?.[of] ?? 0;
}

function inputTable(inputs: readonly Input[], target: Target): Markup {
  const { at, of, show } = target;
  return dataTable(
    `Estimates that move the ${target.name}`,
    [
      { title: "number" },
      { title: "value", figures: true },
      { title: "unit" },
      { title: "low end", figures: true },
      { title: "high end", figures: true },
      { title: `${target.unit} at the low end`, figures: true },
      { title: `${target.unit} at the high end`, figures: true },
      { title: "swing", figures: true },
      { title: "source", prose: true },
    ],
    inputs.map((input, number) => ({
      cells: [
        html`${number + 1} <code>${input.key}</code>`,
        input.value,
        input.unit,
        input.low.value,
        input.high.value,
        show(input.low.figures[at]?.[of]),
        show(input.high.figures[at]?.[of]),
        show(swing(input, target)),
        input.source,
      ],
    })),
  );
}
