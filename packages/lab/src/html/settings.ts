import { stringify } from "yaml";
import { runName } from "../report/run-name.js";
import type { CompareDocument } from "../result.js";
import type { ExpectationResult } from "../scenario/expectations.js";
import type { RunDocument } from "../scenario/run-scenario.js";
import type { Scenario } from "../scenario/scenario.js";
import type { HypercallTimeline } from "../timeline/hypercall-timeline.js";
import { html, type Markup } from "./markup.js";
import type { NamedComparison } from "./report-input.js";
import { compareCommandLine, shellWords } from "./reproduce.js";
import type { SensitivityInputs } from "./sensitivity-inputs.js";
import { dataTable } from "./table.js";

/** Machine, host, domain and guest of each comparison; where there are two, what differs is marked. */
export function settingsTable(comparisons: readonly NamedComparison[]): Markup {
  const columns = comparisons.map(({ document: { machine, host, guest } }) =>
    flatten({ machine, host, guest }),
  );
  const keys = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  const rows = keys.map((key) => {
    const values = columns.map((column) => column.get(key) ?? "-");
    const differ = values.some((value) => value !== values[0]);
    return {
      cells: [
        html`<code>${key}</code>`,
        ...values,
        ...(comparisons.length > 1 ? [differ ? "differs" : ""] : []),
      ],
    };
  });
  return dataTable(
    "Settings, every default written out",
    [
      { title: "setting" },
      ...comparisons.map(({ label }) => ({ title: comparisons.length > 1 ? label : "value" })),
      ...(comparisons.length > 1 ? [{ title: "difference" }] : []),
    ],
    rows,
  );
}

/** What makes the documents again: the scenario, where there is one, or a command line. */
export function reproduction(comparisons: readonly NamedComparison[]): Markup {
  return html`${comparisons.map(({ label, document, scenario }) => {
    const name = comparisons.length > 1 ? label : "";
    if (scenario !== undefined)
      return scenarioText("run", scenario.scenario, scenario.tool, name, scenario.profile);
    const { args, notes } = compareCommandLine(document);
    return html`<p>${withTool(document.tool, name)}:</p>
${command(["hyperwalk", ...args])}
${notes.map((note) => html`<p>${note}</p>`)}`;
  })}`;
}

/** A scenario as the file that gives the same again. @param label of several comparisons */
export function scenarioText(
  subcommand: "run" | "sweep",
  scenario: Scenario,
  tool: CompareDocument["tool"],
  label = "",
  profile?: RunDocument["profile"],
): Markup {
  const file = `${scenario.name}.yaml`;
  return html`<p>${withTool(tool, label)}${profile === undefined ? "" : html` and numbers of ${profile.id} whose SHA-256 is <code>${profile.sha256}</code>`}:</p>
${command(["hyperwalk", subcommand, file])}
<p>where <code>${file}</code> is</p>
<pre tabindex="0"><code>${stringify(scenario)}</code></pre>`;
}

/** What documents that are no comparisons were made of. */
export function otherDocuments(
  timelines: readonly HypercallTimeline[],
  sensitivities: readonly SensitivityInputs[],
): Markup {
  const rows = [
    ...timelines.map((each) => ({ what: "one hypercall", each, runs: [each] })),
    ...sensitivities.map((each) => ({ what: "estimates that matter", each, runs: each.runs })),
  ];
  return dataTable(
    "What the other charts are of",
    ["charts", "machine", "guest", "its command line", "through", "made by"].map((title) => ({ title })),
    rows.map(({ what, each: { machine, guest, tool }, runs }) => ({
      cells: [
        what,
        machine.id,
        guest.name,
        guest.cmdline,
        runs.map((run) => runName(run)).join(", "),
        `${tool.name} ${tool.version}`,
      ],
    })),
  );
}

/** What scenarios expected beside what came out. */
export function expectationTables(comparisons: readonly NamedComparison[]): Markup[] {
  return comparisons.flatMap(({ label, scenario }) => {
    const expectations = scenario?.expectations ?? [];
    if (expectations.length === 0) return [];
    const whose = comparisons.length > 1 ? ` of ${label}` : "";
    return [
      dataTable(
        `Expectations${whose}`,
        [
          { title: "figure" },
          { title: "expected", figures: true },
          { title: "found", figures: true },
          { title: "met" },
          { title: "source", prose: true },
        ],
        expectations.map((each) => ({
          cells: [
            `${each.figure} of ${each.interface}${each.against === undefined ? "" : ` against ${each.against}`}${each.host === undefined ? "" : ` under ${each.host}`}`,
            expected(each),
            each.found === null ? "-" : String(Number(each.found.toPrecision(6))),
            each.isMet ? "yes" : html`<strong>no</strong>`,
            each.source,
          ],
        })),
      ),
    ];
  });
}

function expected({ is, within, "at-least": least, "at-most": most }: ExpectationResult): string {
  const parts = [
    ...(is === undefined ? [] : [`${is} ± ${within}`]),
    ...(least === undefined ? [] : [`at least ${least}`]),
    ...(most === undefined ? [] : [`at most ${most}`]),
  ];
  return parts.join(", ");
}

function withTool({ name, version }: CompareDocument["tool"], label: string): string {
  return `${label === "" ? "W" : `${label}: w`}ith ${name} ${version}`;
}

function command(words: readonly string[]): Markup {
  return html`<pre tabindex="0"><code>${shellWords(words)}</code></pre>`;
}

function flatten(tree: object, prefix = "", into = new Map<string, string>()): Map<string, string> {
  for (const [key, value] of Object.entries(tree))
    if (typeof value === "object" && value !== null) flatten(value, `${prefix}${key}.`, into);
    else into.set(prefix + key, String(value));
  return into;
}
