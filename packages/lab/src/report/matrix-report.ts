import type { MatrixCell, MatrixDocument, MatrixRow } from "../operation-matrix.js";
import { estimatesTable } from "./estimates.js";
import { figure, percent } from "./figures.js";
import { type Column, grid } from "./grid.js";
import type { Paint } from "./paint.js";

/** More interfaces than this have their savings in a table of their own: a line is to fit 100 columns. */
const BESIDE_EACH_OTHER = 3;
const ESTIMATE = "~";

/** A whole matrix as text: cycles per call, what is saved, and why a cell is empty. */
export function matrixReport(document: MatrixDocument, paint: Paint): string {
  const { abis } = document;
  const reasons = reasonMarks(document);
  const both = abis.length <= BESIDE_EACH_OTHER;
  const parts = [
    setting(document, paint),
    matrixTable(document, paint, (cell, i) => [
      cycles(cell, reasons),
      ...(both && i > 0 ? [saved(cell)] : []),
    ]),
    ...(both ? [] : [`${paint.strong(`Saved against ${abis[0]}`)}`, savingsTable(document, paint)]),
    legend(document, reasons),
    `${paint.strong("Estimates that these figures rest on")} (${document.estimates.length})`,
    estimatesTable(document.estimates, paint),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function setting({ machine, host, abis }: MatrixDocument, paint: Paint): string {
  const on = Object.entries(host.mitigations)
    .filter(([, value]) => value)
    .map(([name]) => name);
  return [
    `Every operation through ${abis.join(", ")} on ${paint.strong(machine.name)}, ${machine.ghz} GHz, under Xen`,
    `cycles per call, by the guest's own time stamps; guest pages ${host.guestPage}, p2m pages up to ${host.p2mPage}, ${host.mmioHandlers} MMIO handlers`,
    `Xen: ${on.join(", ") || "no mitigation"}`,
  ].join("\n");
}

function matrixTable(
  { abis, operations }: MatrixDocument,
  paint: Paint,
  cells: (cell: MatrixCell, i: number) => readonly string[],
): string {
  const both = abis.length <= BESIDE_EACH_OTHER;
  const columns: Column[] = [
    { title: "operation", align: "left" },
    ...abis.flatMap((abi, i): Column[] =>
      both && i > 0 ? [{ title: abi }, { title: "saved" }] : [{ title: abi }],
    ),
  ];
  const rows = operations.map((row) => [nameOf(row), ...row.cells.flatMap(cells)]);
  return grid(columns, rows, paint);
}

function savingsTable({ abis, operations }: MatrixDocument, paint: Paint): string {
  const rows = operations
    .filter((row) => row.cells.slice(1).some((cell) => saved(cell) !== ""))
    .map((row) => [nameOf(row), ...row.cells.slice(1).map(saved)]);
  return grid(
    [{ title: "operation", align: "left" }, ...abis.slice(1).map((title): Column => ({ title }))],
    rows,
    paint,
  );
}

function nameOf({ operation, basis, cells }: MatrixRow): string {
  const refused = cells.some((cell) => cell.cyclesPerCall !== null && cell.result < 0);
  return `${operation}${basis === "estimate" ? ESTIMATE : ""}${refused ? " (refused)" : ""}`;
}

function cycles(cell: MatrixCell, reasons: ReadonlyMap<string, string>): string {
  return cell.cyclesPerCall === null ? `(${reasons.get(cell.reason)})` : figure(cell.cyclesPerCall);
}

function saved(cell: MatrixCell): string {
  return cell.cyclesPerCall === null || cell.saving === null ? "" : percent(cell.saving, 0);
}

/** A letter for each reason, in the order in which they come up. */
function reasonMarks({ operations }: MatrixDocument): ReadonlyMap<string, string> {
  const marks = new Map<string, string>();
  for (const { cells } of operations)
    for (const cell of cells)
      if (cell.cyclesPerCall === null && !marks.has(cell.reason))
        marks.set(cell.reason, String.fromCharCode("a".charCodeAt(0) + marks.size));
  return marks;
}

function legend({ operations }: MatrixDocument, reasons: ReadonlyMap<string, string>): string {
  return [
    ...operations.flatMap(({ operation, condition }) =>
      condition === undefined ? [] : [`${operation}: ${condition}`],
    ),
    `${ESTIMATE}  the operation's own instructions are an estimate; (refused): Xen refuses the call to a guest`,
    ...[...reasons].map(([reason, mark]) => `(${mark})  ${reason}`),
  ].join("\n");
}
