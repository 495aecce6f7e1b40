import { publishedFigure, saving } from "../published.js";
import { describeExit } from "../report/exits.js";
import { measurementNotes } from "../report/notes.js";
import { amount, lessOrMore, share } from "./amount.js";
import { html, type Markup } from "./markup.js";
import { measuredRuns } from "./named-runs.js";
import type { NamedComparison, NamedRun } from "./report-input.js";
import { dataTable, type TableRow } from "./table.js";

/** The run that others are held against: linear under Xen, else the first that has figures. */
export function baseline<T extends NamedRun>(runs: readonly T[]): T | undefined {
  return runs.find(({ run }) => run.abi === "linear" && run.host !== "kvm") ?? runs[0];
}

/** One line for each run: cycles, nanoseconds, saving against the first, and what was counted per call. */
export function headlineTable(comparisons: readonly NamedComparison[], runs: readonly NamedRun[]): Markup {
  const rows = runs.map((each): TableRow => {
    const against = baseline(measuredRuns(runs.filter(({ of }) => of === each.of)));
    const { run, name } = each;
    const { counters } = run;
    return {
      cells: [
        name,
        amount(run.cyclesPerCall, 1),
        amount(run.nsPerCall, 1),
        run === against?.run ? "-" : share(saving(run, against?.run)),
        amount(counters?.hypervisorInstructionsPerCall, 1),
        amount(counters?.p2mLookupsPerCall, 2),
        amount(counters?.guestPteReadsPerCall, 2),
        amount(counters?.guestInstructionsPerCall, 1),
        amount(counters?.bytesCopiedPerCall, 0),
        run.exit.ok ? "yes" : html`<strong>no</strong>: ${describeExit(run.exit)}`,
      ],
    };
  });
  const first =
    baseline(measuredRuns(runs.filter(({ of }) => of === comparisons[0])))?.run.abi ?? "the first";
  return dataTable(
    "Figures of one hypercall",
    [
      { title: "interface" },
      { title: "cycles per call", figures: true },
      { title: "ns per call", figures: true },
      { title: `saving against ${first}`, figures: true },
      { title: "instructions of the hypervisor", figures: true },
      { title: "p2m lookups", figures: true },
      { title: "reads of guest page tables", figures: true },
      { title: "guest instructions", figures: true },
      { title: "bytes copied", figures: true },
      { title: "guest ended well" },
    ],
    rows,
  );
}

/** What came out, in a sentence for each comparison. */
export function headlineSentence(comparison: NamedComparison, runs: readonly NamedRun[]): Markup {
  const { machine, host, guest } = comparison.document;
  const measured = measuredRuns(runs.filter(({ of }) => of === comparison));
  const first = baseline(measured);
  const under = { xen: "Xen", kvm: "KVM", "xen,kvm": "Xen and KVM" }[host.kind];
  const setting = html`On <b>${machine.name}</b> at ${machine.ghz} GHz under ${under}, one <code>${guest.operation}</code> of <b>${guest.name}</b>`;
  if (first === undefined) return html`<p>${setting} was never made: there is nothing to compare.</p>`;
  const others = measured.filter((each) => each !== first);
  const parts = others.map(({ name, run, cyclesPerCall }) => {
    const saved = saving(run, first.run);
    return html`, <b>${amount(cyclesPerCall)}</b> through ${name} (${saved === undefined ? "-" : lessOrMore(saved)})`;
  });
  return html`<p>${setting} costs <b>${amount(first.cyclesPerCall)}</b> cycles through ${first.name}${parts}. ${mitigations(comparison)}</p>`;
}

/** What Xen does on each exit and entry, which decides more than anything else. */
function mitigations({ document: { host } }: NamedComparison): string {
  if (host.kind === "kvm") return "";
  const on = Object.entries(host.mitigations).flatMap(([name, value]) => (value === true ? [name] : []));
  return on.length === 0 ? "Xen's mitigations are all off." : `Xen's mitigations: ${on.join(", ")}.`;
}

/** Where figures were taken, whether guests saw the same, and what could not be measured. */
export function headlineNotes(comparisons: readonly NamedComparison[]): Markup {
  const notes = comparisons.flatMap(({ label, document }) =>
    measurementNotes(document).map((note) => (comparisons.length > 1 ? `${label}: ${note}` : note)),
  );
  return html`<ul class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>`;
}

/** The published figure beside what came out; undefined when nothing was published of what was run. */
export function publishedTable(comparisons: readonly NamedComparison[]): Markup | undefined {
  const rows = comparisons.flatMap(({ label, document }): TableRow[] => {
    const published = publishedFigure(document);
    const run = document.runs.find(({ abi }) => abi === published?.abi);
    const against = document.runs.find(({ abi, host }) => abi === published?.against && host !== "kvm");
    if (published === undefined || run === undefined || against === undefined) return [];
    const simulated = saving(run, against);
    const ibpb = document.host.mitigations.ibpbEntry ? "on" : "off";
    return [
      {
        cells: [
          `${comparisons.length > 1 ? `${label}: ` : ""}saving of ${published.abi} against ${published.against} (IBPB on exit ${ibpb})`,
          `about ${share(published.saving, 0)}`,
          share(simulated),
          simulated === undefined ? "-" : `${amount((simulated - published.saving) * 100, 1)} points`,
          html`${published.statement}; ${published.source}. Unknown: ${published.unknown}.`,
        ],
      },
    ];
  });
  if (rows.length === 0) return undefined;
  const columns = [
    { title: "figure" },
    { title: "published", figures: true },
    { title: "simulated", figures: true },
    { title: "simulated less published", figures: true },
    { title: "source", prose: true },
  ];
  return html`${dataTable("Published and simulated", columns, rows)}
<p>The simulation rests on the estimates listed below and was not fitted to the published figure.</p>`;
}
