import type { PointValues } from "../scenario/sweep-points.js";
import { html, type Markup } from "./markup.js";
import type { NamedComparison, ReportInput, SweepResults } from "./report-input.js";

/** How many points there are, over which axes, and what all of them have in common. */
export function sweepSentence({ rows, document }: SweepResults): Markup {
  const left = rows.filter(({ skipped }) => skipped !== undefined).length;
  const shard = document?.shard === undefined ? "" : `, shard ${document.shard} alone`;
  const counted = `${rows.length} points${shard}${left === 0 ? "" : `, ${left} of them left out`}`;
  const scenario = document?.scenario;
  if (scenario === undefined) return html`<p>${counted}.</p>`;
  const axes = Object.entries(scenario.sweep?.axes ?? {});
  const { name, elf, module, "operation-loop": loop } = scenario.guest;
  const fixed = [
    ["machine.profile", scenario.machine.profile],
    ["host.kind", scenario.host.kind.join(", ")],
    ["guest", name ?? elf ?? module ?? loop ?? ""],
    ["guest.iterations", String(scenario.guest.iterations)],
  ].filter(([key]) => !axes.some(([axis]) => axis === key || axis.startsWith(`${key}.`)));
  return html`<p>${counted}, ${scenario.sweep?.combine === "zip" ? "zipped" : "every combination"} of ${listed(axes.map(([axis, values]) => html`<code>${axis}</code> (${values.length})`))}. Everywhere: ${listed(fixed.map(([key, value]) => html`<code>${key}</code> ${value}`))}.</p>`;
}

/** Which point of the sweep the figures beside it are of. */
export function pointSentences(comparisons: readonly NamedComparison[]): Markup[] {
  return comparisons.flatMap(({ point }) => (point === undefined ? [] : [pointSentence(point)]));
}

function pointSentence(point: PointValues): Markup {
  const values = Object.entries(point).map(
    ([axis, value]) => html`<code>${axis}</code> ${Array.isArray(value) ? value.join(", ") : String(value)}`,
  );
  return html`<p>Figures and charts outside the section <a href="#sweep">Sweep</a> are of one of its points: ${listed(values)}.</p>`;
}

/** What a scenario's author asks, under the title. */
export function question({ comparisons, sweep }: ReportInput): Markup[] {
  const [first] = comparisons;
  const scenario = sweep?.document?.scenario ?? first?.scenario?.scenario;
  const text = scenario?.description.trim() ?? "";
  return scenario === undefined || text === "" ? [] : [html`<p><b>${scenario.name}</b>: ${text}</p>`];
}

function listed(parts: readonly Markup[]): Markup {
  return html`${parts.map((part, at) => html`${at === 0 ? "" : ", "}${part}`)}`;
}
