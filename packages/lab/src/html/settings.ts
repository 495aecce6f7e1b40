import { html, type Markup } from "./markup.js";
import type { NamedComparison } from "./report-input.js";
import { compareCommandLine, shellWords } from "./reproduce.js";
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

/** The command lines that make the documents again. */
export function reproduction(comparisons: readonly NamedComparison[]): Markup {
  return html`${comparisons.map(({ label, document }) => {
    const { args, notes } = compareCommandLine(document);
    return html`<p>${comparisons.length > 1 ? `${label}: w` : "W"}ith ${document.tool.name} ${document.tool.version}:</p>
<pre tabindex="0"><code>${shellWords(["hyperwalk", ...args])}</code></pre>
${notes.map((note) => html`<p>${note}</p>`)}`;
  })}`;
}

function flatten(tree: object, prefix = "", into = new Map<string, string>()): Map<string, string> {
  for (const [key, value] of Object.entries(tree))
    if (typeof value === "object" && value !== null) flatten(value, `${prefix}${key}.`, into);
    else into.set(prefix + key, String(value));
  return into;
}
