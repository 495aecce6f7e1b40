import { findProfile, profileQuantities } from "@hyperwalk/cpu";
import type { EstimateUsed } from "../result.js";
import { html, type Markup } from "./markup.js";
import type { NamedComparison } from "./report-input.js";
import { dataTable } from "./table.js";

/** The estimates that figures rest on, each with the interval that the truth is believed to lie in. */
export function estimatesSection(estimates: readonly EstimateUsed[]): Markup {
  return html`<p>Nobody measured these ${estimates.length} numbers: they are estimates, each with the range in which the truth is believed to lie. <code>hyperwalk profiles</code> and docs/model.md say how they enter.</p>
${dataTable(
  "Estimates that the figures rest on",
  [
    { title: "number" },
    { title: "value", figures: true },
    { title: "unit" },
    { title: "range", figures: true },
    { title: "source", prose: true },
  ],
  estimates.map(({ key, value, unit, range, source }) => ({
    cells: [
      html`<code>${key}</code>`,
      value,
      unit,
      range === null ? "not stated" : `${range[0]} to ${range[1]}`,
      source,
    ],
  })),
)}`;
}

/** Every number of the processors that were simulated, with its basis and source, as this version has them. */
export function profileTables(comparisons: readonly NamedComparison[]): Markup[] {
  const ids = [...new Set(comparisons.map(({ document }) => document.machine.id))];
  return ids.flatMap((id) => {
    const profile = findProfile(id);
    if (profile === undefined) return [];
    const numbers = profileQuantities(profile);
    return [
      html`<details><summary>All ${numbers.length} numbers of ${profile.name}, with basis and source</summary>${dataTable(
        `Numbers of ${profile.id}`,
        [
          { title: "number" },
          { title: "value", figures: true },
          { title: "unit" },
          { title: "basis" },
          { title: "range", figures: true },
          { title: "source", prose: true },
        ],
        numbers.map(([key, { value, unit, basis, range, source }]) => ({
          cells: [
            html`<code>${key}</code>`,
            value,
            unit,
            basis,
            range === undefined ? "" : `${range[0]} to ${range[1]}`,
            source,
          ],
        })),
      )}</details>`,
    ];
  });
}
