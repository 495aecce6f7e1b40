import type { CompareDocument, LedgerCell, RunResult } from "hyperwalk";
import { comparePhases, publishedFigure, runName, saving } from "hyperwalk";
import { element } from "./dom.js";
import { figure, percent } from "./figures.js";
import { families, familyFor } from "./palette.js";
import type { ChartParts } from "./state.js";

/** One line for each run: cycles, nanoseconds, saving against the first, and what changed. */
export function summaryTable(document: CompareDocument, before: CompareDocument | undefined): HTMLElement {
  const [first] = document.runs;
  const rows = document.runs.map((run) => {
    const old = before?.runs.find((each) => runName(each) === runName(run));
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, runName(run)),
      element("td", { class: "figure" }, figure(run.cyclesPerCall)),
      element("td", {}, figure(run.nsPerCall)),
      element("td", {}, run === first ? "–" : percent(saving(run, first))),
      changeCell(run, old),
    );
  });
  const heads = ["interface", "cycles", "ns", "saved", "change"];
  return scrolling(
    `Cost of one call; saved: against ${runName(first)}`,
    element("table", {}, headRow(heads), element("tbody", {}, ...rows)),
  );
}

/** Cycles more or less than in the comparison: sign and word, not colour alone. */
function changeCell(run: RunResult, old: RunResult | undefined): HTMLElement {
  if (typeof old?.cyclesPerCall !== "number" || run.cyclesPerCall === null) return element("td", {}, "–");
  const change = run.cyclesPerCall - old.cyclesPerCall;
  if (Math.abs(change) < 0.05) return element("td", {}, "none");
  const word = element("span", { class: "visually-hidden" }, change > 0 ? " dearer" : " cheaper");
  return element("td", { class: change > 0 ? "worse" : "better" }, signed(change), word);
}

function signed(change: number): string {
  return change > 0 ? `+${figure(change)}` : figure(change);
}

/** The figures in a line, for where the rest is out of sight. */
export function shortFigures(document: CompareDocument, before: CompareDocument | undefined): HTMLElement[] {
  return document.runs.map((run) => {
    const old = before?.runs.find((each) => runName(each) === runName(run));
    const change = (run.cyclesPerCall ?? 0) - (old?.cyclesPerCall ?? run.cyclesPerCall ?? 0);
    const moved = Math.abs(change) < 0.05 ? "" : ` (${signed(change)})`;
    return element("span", {}, element("b", {}, runName(run)), ` ${figure(run.cyclesPerCall)}${moved}`);
  });
}

/** What a reader hears when figures have changed. */
export function spokenSummary(document: CompareDocument): string {
  const [first] = document.runs;
  const said = document.runs.map((run) => {
    const share = run === first ? undefined : saving(run, first);
    const saved = share === undefined ? "" : `, ${percent(share)} saved`;
    return `${runName(run)} ${figure(run.cyclesPerCall, 0)} cycles${saved}`;
  });
  return `Simulated: ${said.join("; ")}.`;
}

/** What else has to be known about the figures: guests that ended badly, and what was measured on a real machine. */
export function notes(document: CompareDocument): string[] {
  const bad = document.runs
    .filter(({ exit }) => !exit.ok)
    .map((run) => `The guest under ${runName(run)} ended badly: ${run.exit.reason} at ${run.exit.rip}.`);
  const published = publishedFigure(document);
  if (published === undefined) return bad;
  const { abi, against, statement, source, unknown } = published;
  const run = document.runs.find((each) => each.abi === abi);
  const share =
    run &&
    saving(
      run,
      document.runs.find((each) => each.abi === against),
    );
  if (share === undefined) return bad;
  return [
    ...bad,
    `Published for ${abi} against ${against}: about ${figure(published.saving * 100, 0)} % less (${statement}; ${source}; unknown: ${unknown}). Here: ${percent(share)}.`,
  ];
}

/** Colours that the chart uses, in the order of the palette. */
export function legendItems(document: CompareDocument, parts: ChartParts): HTMLElement[] {
  const used = new Set(
    document.runs.flatMap((run) => run.ledger).map((cell) => familyFor(parts, cell[parts])),
  );
  return families(parts)
    .filter((family) => used.has(family))
    .map(({ label, colour }) => {
      const chip = element("span", { "aria-hidden": "true" });
      chip.style.background = colour;
      return element("li", {}, chip, label);
    });
}

/** Cycles by phase and cause, the runs side by side, with what changed. */
export function ledgerTable(document: CompareDocument, before: CompareDocument | undefined): HTMLElement {
  const { runs } = document;
  const olds = runs.map((run) => before?.runs.find((each) => runName(each) === runName(run)));
  const cells = [...runs, ...olds.filter((run) => run !== undefined)].flatMap((run) => run.ledger);
  const phases = new Map<string, Set<string>>();
  for (const { phase, cause } of [...cells].sort(comparePhases))
    phases.set(phase, (phases.get(phase) ?? new Set()).add(cause));
  const figures = (select: (cell: LedgerCell) => boolean): HTMLElement[] =>
    runs.flatMap((run, at) => {
      const now = sum(run, select);
      const old = olds[at];
      const change = old === undefined ? 0 : now - sum(old, select);
      return [
        element("td", {}, now === 0 ? "" : figure(now)),
        element("td", {}, Math.abs(change) < 0.05 ? "" : signed(change)),
      ];
    });
  const rows: HTMLElement[] = [];
  const add = (kind: string, title: string, select: (cell: LedgerCell) => boolean): void => {
    const cells = figures(select);
    // A cause that rounds to nothing everywhere has no line of its own, but counts.
    if (kind === "whole" || cells.some(({ textContent }) => /[1-9]/.test(textContent)))
      rows.push(row(kind, title, cells));
  };
  for (const [phase, causes] of phases) {
    const [only, ...others] = causes;
    add("whole", others.length === 0 ? `${phase} (${only})` : phase, (cell) => cell.phase === phase);
    if (others.length > 0)
      for (const cause of causes) add("part", cause, (cell) => cell.phase === phase && cell.cause === cause);
  }
  add("whole", "sum", () => true);
  const heads = ["phase and cause", ...runs.flatMap((run) => [runName(run), "change"])];
  return scrolling(
    "Cycles of one call by phase and cause",
    element("table", {}, headRow(heads), element("tbody", {}, ...rows)),
  );
}

function row(kind: string, title: string, cells: readonly HTMLElement[]): HTMLElement {
  return element("tr", { class: kind }, element("th", { scope: "row" }, title), ...cells);
}

function sum(run: RunResult, select: (cell: LedgerCell) => boolean): number {
  let total = 0;
  for (const cell of run.ledger) if (select(cell)) total += cell.cyclesPerCall;
  return total;
}

/** What happened during one call. */
export function countersTable(document: CompareDocument): HTMLElement {
  const { runs } = document;
  const lines = [
    ["hypervisor instructions", "hypervisorInstructionsPerCall"],
    ["guest instructions", "guestInstructionsPerCall"],
    ["p2m lookups", "p2mLookupsPerCall"],
    ["p2m table reads", "p2mTableReadsPerCall"],
    ["guest PTE reads", "guestPteReadsPerCall"],
    ["bytes copied", "bytesCopiedPerCall"],
  ] as const;
  const rows = lines.map(([title, key]) =>
    row(
      "",
      title,
      runs.map(({ counters }) => element("td", {}, figure(counters?.[key], 2))),
    ),
  );
  return scrolling(
    "Events of one call",
    element("table", {}, headRow(["event", ...runs.map(runName)]), element("tbody", {}, ...rows)),
    true,
  );
}

/** The estimated numbers that the figures rest on. */
export function estimatesTable({ estimates }: CompareDocument): HTMLElement {
  const rows = estimates.map(({ key, value, unit, range, source }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, key),
      element("td", {}, String(value)),
      element("td", { class: "text" }, unit),
      element("td", {}, range === null ? "not stated" : `${range[0]} to ${range[1]}`),
      element("td", { class: "source" }, source),
    ),
  );
  return scrolling(
    "Estimates that these figures rest on",
    element(
      "table",
      {},
      headRow(["number", "value", "unit", "range", "source"]),
      element("tbody", {}, ...rows),
    ),
    true,
  );
}

function headRow(titles: readonly string[]): HTMLElement {
  return element(
    "thead",
    {},
    element(
      "tr",
      {},
      ...titles.map((title) =>
        element("th", { scope: "col", class: title === "source" ? "source" : undefined }, title),
      ),
    ),
  );
}

/** A table that scrolls by itself where it is too wide, by keyboard, too. @param isTitled its title stands above it already */
function scrolling(title: string, table: HTMLTableElement, isTitled = false): HTMLElement {
  table.prepend(element("caption", { class: isTitled ? "visually-hidden" : undefined }, title));
  return element("div", { class: "scroll", role: "region", "aria-label": title, tabindex: 0 }, table);
}
