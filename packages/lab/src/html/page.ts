import { mergeEstimates } from "../estimates.js";
import { ledgerNames } from "../ledger-sums.js";
import { TOOL } from "../tool.js";
import { breakdownChart } from "./breakdown-chart.js";
import { type Chart, chartFigure } from "./chart.js";
import { consolesSection } from "./consoles-section.js";
import { differenceChart } from "./difference-chart.js";
import { baseline, headlineNotes, headlineSentence, headlineTable, publishedTable } from "./headline.js";
import { html, jsonForScript, type Markup, trusted } from "./markup.js";
import { measuredRuns, namedRuns } from "./named-runs.js";
import { CHART_CONFIG, PAGE_SCRIPT } from "./page-script.js";
import { patternDefinitions } from "./palette.js";
import { estimatesSection, profileTables } from "./provenance.js";
import type { MeasuredRun, ReportInput, SweepResults } from "./report-input.js";
import { expectationTables, otherDocuments, reproduction, scenarioText, settingsTable } from "./settings.js";
import { STYLE } from "./style.js";
import { sweepCharts } from "./sweep-charts.js";
import { pointSentences, question, sweepSentence } from "./sweep-sentences.js";
import { sweepTable } from "./sweep-table.js";
import { sensitivityNotes, tornadoCharts } from "./tornado-chart.js";
import { waterfallChart } from "./waterfall-chart.js";

/** A script that the page has inside it, with the licence that it is handed on under. */
export interface ChartLibrary {
  readonly name: string;
  readonly licence: string;
  readonly source: string;
}

/** A report, and what is in it. */
export interface Report {
  /** The whole page. */
  readonly html: string;
  /** Titles of its sections. */
  readonly sections: readonly string[];
  /** Titles of its charts. */
  readonly charts: readonly string[];
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly parts: readonly (Chart | Markup)[];
}

/** Pairs of interfaces whose difference has a chart of its own; the others are in the tables. */
const MOST_DIFFERENCES = 4;

/**
 * One HTML page that needs nothing but itself. Its policy admits the scripts in it and no other, and no network.
 *
 * @param libraries vega, vega-lite and vega-embed, in this order, as scripts for browsers
 */
export async function htmlReport(input: ReportInput, libraries: readonly ChartLibrary[]): Promise<Report> {
  const sections = sectionsOf(input).filter(({ parts }) => parts.length > 0);
  const charts = sections.flatMap(({ parts }) => parts.filter(isChart));
  const scripts = [...libraries.map(libraryScript), PAGE_SCRIPT].map(endless);
  const hashes = await Promise.all(scripts.map(policyHash));
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src ${hashes.join(" ")}; base-uri 'none'; form-action 'none'`;
  const title = input.title ?? titleOf(input);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="${TOOL.name} ${TOOL.version}">
<title>${title}</title>
<style>${trusted(STYLE)}</style>
<noscript><style>.drawing { display: none; }</style></noscript>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
${patternDefinitions()}
<header>
<h1>${title}</h1>
${question(input)}
<noscript><p>Charts are drawn by scripts, which are turned off here: the data of each are in a table of its own.</p></noscript>
<nav aria-label="Sections"><ul>${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
</header>
<main id="content" tabindex="-1">
${sections.map(
  ({
    id,
    title: name,
    parts,
  }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${name}</h2>
${parts.map((part) => (isChart(part) ? chartFigure(part) : part))}
</section>
`,
)}</main>
<footer>Written by ${TOOL.name} ${TOOL.version}. Every figure is the ledger's or a counter's of a simulation, not a measurement of hardware.</footer>
<script type="application/json" id="charts">${jsonForScript({ config: CHART_CONFIG, charts: charts.map(({ id, spec }) => ({ id, spec: sized(spec) })) })}</script>
${scripts.map(
  (script) => html`<script>${trusted(script)}</script>
`,
)}</body>
</html>
`;
  return {
    html: page.text,
    sections: sections.map(({ title: name }) => name),
    charts: charts.map(({ title: name }) => name),
  };
}

function sectionsOf(input: ReportInput): Section[] {
  const { comparisons, timelines = [], sensitivities = [], sweep } = input;
  const runs = namedRuns(comparisons);
  const measured = measuredRuns(runs);
  const ledgers = measured.map(({ run }) => run);
  const phases = phasesOf(ledgers, timelines);
  return [
    {
      id: "summary",
      title: "Summary",
      parts:
        comparisons.length === 0
          ? []
          : [
              ...pointSentences(comparisons),
              ...comparisons.map((each) => headlineSentence(each, runs)),
              headlineTable(comparisons, runs),
              headlineNotes(comparisons),
              ...expectationTables(comparisons),
            ],
    },
    { id: "sweep", title: "Sweep", parts: sweep === undefined ? [] : sweepParts(sweep) },
    {
      id: "breakdown",
      title: "Breakdown",
      parts:
        measured.length === 0
          ? []
          : [breakdownChart(measured, "phase", phases), breakdownChart(measured, "cause")],
    },
    { id: "differences", title: "Differences", parts: differences(input, measured) },
    {
      id: "hypercall",
      title: timelines.length === 1 ? "One hypercall" : "Single hypercalls",
      parts: timelines.map((timeline, at) => waterfallChart(`waterfall-${at + 1}`, timeline, phases)),
    },
    {
      id: "sensitivity",
      title: "Which estimates matter",
      parts: sensitivities.flatMap((document, at) => [
        ...tornadoCharts(`tornado-${at + 1}`, document),
        sensitivityNotes(document),
      ]),
    },
    { id: "provenance", title: "Provenance", parts: provenance(input) },
    {
      id: "guests",
      title: "Guests' consoles",
      parts: runs.length === 0 ? [] : [consolesSection(runs)],
    },
    { id: "reproduce", title: "Settings and how to run it again", parts: settings(input) },
  ];
}

/** Phases of everything in a page, which its colours go by. */
function phasesOf(
  ledgers: readonly MeasuredRun["run"][],
  timelines: NonNullable<ReportInput["timelines"]>,
): string[] {
  const spans = timelines.flatMap(({ warm }) => warm.spans);
  const ledger = spans.map(({ phase }) => ({ phase, cause: "", cyclesPerCall: 0 }));
  return ledgerNames([...ledgers, { ledger }], "phase");
}

function sweepParts({ rows, document }: SweepResults): (Chart | Markup)[] {
  return [
    sweepSentence({ rows, document }),
    ...sweepCharts(rows),
    html`<details><summary>All points of the sweep</summary>${sweepTable("Points of the sweep", rows)}</details>`,
  ];
}

function provenance({ comparisons, sweep }: ReportInput): Markup[] {
  const published = publishedTable(comparisons);
  const estimates = mergeEstimates([
    ...comparisons.map(({ document }) => document.estimates),
    ...(sweep?.document === undefined ? [] : [sweep.document.estimates]),
  ]);
  return [
    ...(published === undefined ? [] : [published]),
    ...(estimates.length === 0 ? [] : [estimatesSection(estimates)]),
    ...profileTables(comparisons),
  ];
}

function settings({ comparisons, sweep, timelines = [], sensitivities = [] }: ReportInput): Markup[] {
  return [
    ...(comparisons.length === 0 ? [] : [reproduction(comparisons)]),
    ...(sweep?.document === undefined
      ? []
      : [scenarioText("sweep", sweep.document.scenario, sweep.document.tool)]),
    ...(timelines.length === 0 && sensitivities.length === 0
      ? []
      : [otherDocuments(timelines, sensitivities)]),
    ...(comparisons.length === 0 ? [] : [settingsTable(comparisons)]),
  ];
}

/** Of two comparisons: each interface before and after. Of one: the others against its baseline. */
function differences({ comparisons }: ReportInput, measured: readonly MeasuredRun[]): Chart[] {
  const pairs: (readonly [MeasuredRun, MeasuredRun])[] = [];
  if (comparisons.length > 1) {
    const [before, after] = comparisons.map((comparison) => measured.filter(({ of }) => of === comparison));
    for (const a of before) {
      const b = after.find(
        ({ run }) => run.abi === a.run.abi && (run.host ?? "xen") === (a.run.host ?? "xen"),
      );
      if (b !== undefined) pairs.push([a, b]);
    }
  } else {
    const first = baseline(measured);
    if (first !== undefined) for (const each of measured) if (each !== first) pairs.push([first, each]);
  }
  return pairs.slice(0, MOST_DIFFERENCES).map(([a, b], at) => differenceChart(`difference-${at + 1}`, a, b));
}

function titleOf({ comparisons, timelines = [], sensitivities = [], sweep }: ReportInput): string {
  const [first] = comparisons;
  if (sweep !== undefined && comparisons.every(({ point }) => point !== undefined))
    return `Sweep ${sweep.document?.scenario.name ?? ""}`.trim();
  const about = first?.document ?? timelines[0] ?? sensitivities[0];
  if (about === undefined) return "Report";
  const runs = [
    ...comparisons.flatMap(({ document }) => document.runs),
    ...timelines,
    ...sensitivities.flatMap((each) => each.runs),
  ];
  const abis = [...new Set(runs.map(({ abi }) => abi))];
  return `${about.guest.operation} through ${abis.join(", ")} on ${about.machine.name}`;
}

function isChart(part: Chart | Markup): part is Chart {
  return "spec" in part;
}

/** Charts are as wide as the page lets them. */
function sized(spec: Chart["spec"]): Chart["spec"] {
  return { width: "container", autosize: { type: "fit-x", contains: "padding" }, ...spec };
}

function libraryScript({ name, licence, source }: ChartLibrary): string {
  // A map would be asked for over the network.
  const code = source.replace(/^\/\/# sourceMappingURL=.*$/gm, "");
  return `/*! ${name}\n${licence.replaceAll("*/", "* /")}*/\n${code}`;
}

/** A script that no HTML parser finds an end of, or the beginning of a comment. */
function endless(script: string): string {
  return script.replaceAll(/<(?=\/script|!--|script)/gi, "\\x3c");
}

async function policyHash(script: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(script));
  let bytes = "";
  for (const byte of new Uint8Array(digest)) bytes += String.fromCharCode(byte);
  return `'sha256-${btoa(bytes)}'`;
}
