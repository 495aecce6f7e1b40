import type { SweepRow, SweepRun } from "../sweep/sweep-row.js";
import { figure, percent } from "./figures.js";
import { grid } from "./grid.js";
import type { Paint } from "./paint.js";

/** Points that a terminal is shown; files have all. */
const MOST_ROWS = 40;

/** Cycles per call of each interface at each point of a sweep, and what each saves against the first one. */
export function sweepTable(rows: readonly SweepRow[], paint: Paint): string {
  const axes = [...new Set(rows.flatMap(({ point }) => Object.keys(point)))];
  const names = [...new Set(rows.flatMap(({ runs }) => runs.map(nameOf)))];
  const hosts = new Set(rows.flatMap(({ runs }) => runs.map(({ host }) => host)));
  const title = (name: string) => (hosts.size > 1 ? name : name.replace(/^.*:/, ""));
  const shown = rows.slice(0, MOST_ROWS);
  const table = grid(
    [
      { title: "point" },
      ...axes.map((axis) => ({ title: axis, align: "left" as const })),
      ...names.map((name) => ({ title: title(name) })),
      ...names.slice(1).map((name) => ({ title: `${title(name)} saves` })),
      ...(shown.some(({ skipped }) => skipped !== undefined)
        ? [{ title: "left out", align: "left" as const, wrapAt: 50 }]
        : []),
    ],
    shown.map((row) => {
      const run = (name: string) => row.runs.find((each) => nameOf(each) === name);
      return [
        String(row.index),
        ...axes.map((axis) => String(row.point[axis])),
        ...names.map((name) => figure(run(name)?.cyclesPerCall, 1)),
        ...names.slice(1).map((name) => percent(run(name)?.saving)),
        ...(shown.some(({ skipped }) => skipped !== undefined) ? [row.skipped ?? ""] : []),
      ];
    }),
    paint,
  );
  const more = rows.length - shown.length;
  return `${paint.strong("Cycles per call")}\n\n${table}${more > 0 ? `\n\n… and ${more} more points in the result files` : ""}`;
}

function nameOf({ host, abi }: SweepRun): string {
  return `${host}:${abi}`;
}
