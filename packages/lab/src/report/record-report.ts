import type { RecordDocument } from "../recording/record.js";
import { describeOutcome } from "./exits.js";
import { figure, percent } from "./figures.js";
import { grid, type Row } from "./grid.js";
import type { Paint } from "./paint.js";

/** What was recorded: hypercalls by operation, and their share of the run's time. @param path of the record */
export function recordReport(document: RecordDocument, path: string, paint: Paint): string {
  const { end, operations, exit, header } = document;
  const ending = `ended: ${describeOutcome(exit)}`;
  const total = header.guest.vcpus * end.runCycles;
  const row = (name: string, count: number, cycles: number) => [
    name,
    figure(count),
    figure(cycles),
    percent(end.cycles > 0 ? cycles / end.cycles : null),
  ];
  const rows: Row[] = operations.map(({ operation, count, cycles }) => row(operation, count, cycles));
  if (operations.length > 1) rows.push("rule", row("together", end.calls, end.cycles));
  const parts = [
    `${document.exitCode === 0 ? paint.faint(ending) : paint.warn(ending)}\n` +
      `${figure(end.calls)} hypercalls in ${path}: ${figure(end.cycles)} cycles, ${percent(total > 0 ? end.cycles / total : null)} of the run` +
      (end.idle > 0 ? `, without ${figure(end.idle)} cycles asleep` : ""),
    operations.length === 0
      ? ""
      : grid(
          [
            { title: "hypercall", align: "left" },
            { title: "count" },
            { title: "cycles" },
            { title: "share" },
          ],
          rows,
          paint,
        ),
  ];
  return `\n${parts.filter((part) => part !== "").join("\n\n")}\n`;
}
