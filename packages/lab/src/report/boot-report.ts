import type { ExitAccount } from "@hyperwalk/xen";
import type { BootDocument } from "../boot.js";
import { describeOutcome } from "./exits.js";
import { figure, percent } from "./figures.js";
import { type Column, grid, type Row } from "./grid.js";
import { fastForwardNote } from "./notes.js";
import type { Paint } from "./paint.js";

const COLUMNS: readonly Column[] = [
  { title: "", align: "left" },
  { title: "count" },
  { title: "cycles" },
  { title: "share" },
];

/** What follows a guest's own output: how it ended, and where its time went; shares are of all its processors' time. */
export function bootReport(document: BootDocument, paint: Paint): string {
  const { exit, instructions, cycles, hypercalls, exits } = document;
  const { vcpus } = document.guest;
  const several = vcpus > 1 ? `, ${vcpus} vCPUs` : "";
  const ending = `ended: ${describeOutcome(exit)}`;
  const parts = [
    `${document.exitCode === 0 ? paint.faint(ending) : paint.warn(ending)}\n` +
      (document.fastForward === undefined ? "" : `${fastForwardNote(document.fastForward)}\n`) +
      `${figure(instructions)} guest instructions, ${figure(cycles)} cycles on ${document.machine.name}${several}\n` +
      `Estimates that these figures rest on: ${document.estimates.length}, listed by --json`,
    accountTable("hypercall", hypercalls, vcpus * cycles, paint),
    accountTable("VM exit", exits, vcpus * cycles, paint),
  ];
  return `\n${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function accountTable(title: string, accounts: readonly ExitAccount[], total: number, paint: Paint): string {
  if (accounts.length === 0) return "";
  const row = (name: string, count: number, cycles: number) => [
    name,
    figure(count),
    figure(cycles),
    percent(total > 0 ? cycles / total : null),
  ];
  const sum = (of: (account: ExitAccount) => number) => accounts.reduce((all, each) => all + of(each), 0);
  const rows: Row[] = accounts.map(({ name, count, cycles }) => row(name, count, cycles));
  if (accounts.length > 1)
    rows.push(
      "rule",
      row(
        "together",
        sum((each) => each.count),
        sum((each) => each.cycles),
      ),
    );
  return grid([{ ...COLUMNS[0], title }, ...COLUMNS.slice(1)], rows, paint);
}
