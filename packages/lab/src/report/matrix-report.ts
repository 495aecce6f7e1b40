import { Phase } from "@hyperwalk/xen";
import { sumCells } from "../ledger-sums.js";
import type { MatrixCell, MatrixDocument, MatrixRow } from "../operation-matrix.js";
import type { AbiName, HostName, LedgerCell } from "../result.js";
import { estimatesTable } from "./estimates.js";
import { figure, percent } from "./figures.js";
import { type Column, grid } from "./grid.js";
import { kvmSwitches } from "./kvm-switches.js";
import type { Paint } from "./paint.js";
import { runName } from "./run-name.js";

/** More interfaces than this have their savings in a table of their own: a line is to fit 100 columns. */
const BESIDE_EACH_OTHER = 3;
const ESTIMATE = "~";

const KVM_LEGEND =
  "served by: KVM in the kernel, or the monitor in user space, to which KVM leaves a call by KVM_EXIT_XEN";

/** A column of figures: an interface under a hypervisor. */
interface Place {
  readonly abi: AbiName;
  readonly host: HostName;
}

function placesOf({ abis, hosts }: MatrixDocument): readonly Place[] {
  return abis.map((abi, i) => ({ abi, host: hosts?.[i] ?? "xen" }));
}

/** A whole matrix as text: cycles per call, what is saved, who served a call under KVM, and why a cell is empty. */
export function matrixReport(document: MatrixDocument, paint: Paint): string {
  const reasons = reasonMarks(document);
  const parts = [
    setting(document, paint),
    matrixTable(document, reasons, paint),
    savingsTable(document, paint),
    kvmTable(document, paint),
    legend(document, reasons),
    `${paint.strong("Estimates that these figures rest on")} (${document.estimates.length})`,
    estimatesTable(document.estimates, paint),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function setting(document: MatrixDocument, paint: Paint): string {
  const { machine, host } = document;
  const on = Object.entries(host.mitigations)
    .filter(([, value]) => value)
    .map(([name]) => name);
  const under = host.kind === "xen" ? "Xen" : host.kind === "kvm" ? "KVM" : "Xen and KVM";
  const abis = [...new Set(document.abis)];
  return [
    `Every operation through ${abis.join(", ")} on ${paint.strong(machine.name)}, ${machine.ghz} GHz, under ${under}`,
    `cycles per call, by the guest's own time stamps; guest pages ${host.guestPage}, p2m pages up to ${host.p2mPage}, ${host.mmioHandlers} MMIO handlers`,
    ...(host.kind === "kvm" ? [] : [`Xen: ${on.join(", ") || "no mitigation"}`]),
    ...(host.kvm === undefined ? [] : [`KVM: ${kvmSwitches(host.kvm)}`]),
  ].join("\n");
}

/** Columns that have their savings beside them: all but the first, and but KVM's, which have who served the call. */
function hasSavings(places: readonly Place[], i: number): boolean {
  const besideEachOther = places.filter(({ host }) => host === "xen").length <= BESIDE_EACH_OTHER;
  return besideEachOther && i > 0 && places[i].host === "xen";
}

function matrixTable(document: MatrixDocument, reasons: ReadonlyMap<string, string>, paint: Paint): string {
  const places = placesOf(document);
  const columns: Column[] = [
    { title: "operation", align: "left" },
    ...places.flatMap((place, i): Column[] => [
      { title: runName(place) },
      ...(hasSavings(places, i) ? [{ title: "saved" }] : []),
      ...(place.host === "kvm" ? [{ title: "served by", align: "left" as const }] : []),
    ]),
  ];
  const rows = document.operations.map((row) => [
    nameOf(row),
    ...row.cells.flatMap((cell, i) => [
      cycles(cell, reasons),
      ...(hasSavings(places, i) ? [saved(cell)] : []),
      ...(places[i].host === "kvm" ? [servedBy(cell)] : []),
    ]),
  ]);
  return grid(columns, rows, paint);
}

/** Savings of the interfaces under Xen, where there is no room beside them. */
function savingsTable(document: MatrixDocument, paint: Paint): string {
  const places = placesOf(document);
  const of = places.flatMap(({ host }, i) => (i > 0 && host === "xen" && !hasSavings(places, i) ? [i] : []));
  if (of.length === 0) return "";
  const rows = document.operations
    .filter((row) => of.some((i) => saved(row.cells[i]) !== ""))
    .map((row) => [nameOf(row), ...of.map((i) => saved(row.cells[i]))]);
  return [
    paint.strong(`Saved against ${places[0].abi}`),
    grid(
      [{ title: "operation", align: "left" }, ...of.map((i): Column => ({ title: places[i].abi }))],
      rows,
      paint,
    ),
  ].join("\n\n");
}

/** The parts of a call under KVM, by the phases of the ledger; those that no part names are the kernel's. */
const KVM_PARTS: readonly { readonly title: string; readonly phases: readonly string[] }[] = [
  { title: "guest", phases: ["guest"] },
  { title: "exit, entry", phases: ["vm-exit", "vm-entry"] },
  { title: "kernel", phases: [] },
  {
    title: "to user space, back",
    phases: [Phase.ExitToUser, Phase.ExitToUserIbpb, Phase.KvmRun],
  },
  { title: "monitor", phases: [Phase.UserSpaceMonitor, Phase.MonitorCall] },
];

/** Where the cycles go under KVM, for each operation that was measured there. */
function kvmTable(document: MatrixDocument, paint: Paint): string {
  const kvm = placesOf(document).findIndex(({ host }) => host === "kvm");
  if (kvm < 0) return "";
  const rows = document.operations.flatMap(({ operation, cells }) => {
    const cell = cells[kvm];
    if (cell.cyclesPerCall === null) return [];
    return [[operation, ...partsOf(cell.ledger), figure(cell.cyclesPerCall)]];
  });
  const columns = [...KVM_PARTS.map(({ title }) => title), "asleep", "sum"];
  return [
    `${paint.strong("Where the cycles go under KVM")} (cycles per call, of the ledger)`,
    grid(
      [{ title: "operation", align: "left" }, ...columns.map((title): Column => ({ title }))],
      rows,
      paint,
    ),
  ].join("\n\n");
}

function partsOf(ledger: readonly LedgerCell[]): readonly string[] {
  const named = KVM_PARTS.flatMap(({ phases }) => phases);
  const sum = (cells: readonly LedgerCell[]) => (cells.length === 0 ? "" : figure(sumCells(cells)));
  const awake = ledger.filter(({ cause }) => cause !== "idle");
  return [
    ...KVM_PARTS.map(({ phases }) =>
      sum(
        awake.filter(({ phase }) => (phases.length === 0 ? !named.includes(phase) : phases.includes(phase))),
      ),
    ),
    sum(ledger.filter(({ cause }) => cause === "idle")),
  ];
}

function nameOf({ operation, basis, cells }: MatrixRow): string {
  const refused = cells.some(
    (cell) => cell.cyclesPerCall !== null && cell.result < 0 && cell.servedBy !== "refused",
  );
  return `${operation}${basis === "estimate" ? ESTIMATE : ""}${refused ? " (refused)" : ""}`;
}

function cycles(cell: MatrixCell, reasons: ReadonlyMap<string, string>): string {
  return cell.cyclesPerCall === null ? `(${reasons.get(cell.reason)})` : figure(cell.cyclesPerCall);
}

function saved(cell: MatrixCell): string {
  return cell.cyclesPerCall === null || cell.saving === null ? "" : percent(cell.saving, 0);
}

function servedBy(cell: MatrixCell): string {
  if (cell.cyclesPerCall === null || cell.servedBy === undefined) return "";
  return cell.servedBy === "refused" ? "nobody: -ENOSYS" : cell.servedBy;
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

function legend({ operations, hosts }: MatrixDocument, reasons: ReadonlyMap<string, string>): string {
  return [
    ...operations.flatMap(({ operation, condition }) =>
      condition === undefined ? [] : [`${operation}: ${condition}`],
    ),
    `${ESTIMATE}  the operation's own instructions are an estimate; (refused): Xen refuses the call to a guest`,
    ...(hosts?.includes("kvm") ? [KVM_LEGEND] : []),
    ...[...reasons].map(([reason, mark]) => `(${mark})  ${reason}`),
  ].join("\n");
}
