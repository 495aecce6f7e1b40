import { describeExit } from "../report/exits.js";
import { html, type Markup } from "./markup.js";
import type { NamedRun } from "./report-input.js";

/** What each guest printed and how it ended. */
export function consolesSection(runs: readonly NamedRun[]): Markup {
  return html`${runs.map(({ name, run }) => {
    const text = run.console.trimEnd();
    return html`<details><summary>Guest under ${name}: ${run.exit.ok ? "ended" : "ended badly"}, ${describeExit(run.exit)}</summary>
${text === "" ? html`<p>Nothing printed.</p>` : html`<pre tabindex="0">${text}</pre>`}</details>`;
  })}`;
}
