import { runName } from "../report/run-name.js";
import type { SweepRow, SweepRun } from "../sweep/sweep-row.js";
import { amount, share } from "./amount.js";
import type { Markup } from "./markup.js";
import { dataTable } from "./table.js";

/** Lines that a page's table of a sweep has at most; the sweep's own files have all. */
export const MOST_LINES = 1500;

/** Values of one axis in the order in which they come first. */
export interface Axis {
  readonly key: string;
  readonly values: readonly (string | number)[];
  /** All of them are numbers. */
  readonly isNumeric: boolean;
}

/** What an axis is at a point, as charts and tables show it. */
export function valueAt({ point }: Pick<SweepRow, "point">, key: string): string | number {
  const value = point[key];
  if (typeof value === "number") return value;
  return Array.isArray(value) ? value.join(",") : String(value ?? "-");
}

/** The axes that have more than one value, those with the most first. */
export function varyingAxes(rows: readonly SweepRow[]): Axis[] {
  const keys = [...new Set(rows.flatMap(({ point }) => Object.keys(point)))];
  return keys
    .map((key): Axis => {
      const values = [...new Set(rows.map((row) => valueAt(row, key)))];
      const isNumeric = values.every((value) => typeof value === "number");
      return {
        key,
        values: isNumeric ? [...values].sort((a, b) => Number(a) - Number(b)) : values,
        isNumeric,
      };
    })
    .filter(({ values }) => values.length > 1)
    .sort((a, b) => b.values.length - a.values.length);
}

/** Names of the runs that some point has, in their order. */
export function sweepRunNames(rows: readonly SweepRow[]): string[] {
  return [...new Set(rows.flatMap(({ runs }) => runs.map((run) => runName(run))))];
}

/** The run of this name at a point. */
export function runAt({ runs }: SweepRow, name: string): SweepRun | undefined {
  return runs.find((run) => runName(run) === name);
}

/** Every point with the figures of its runs. */
export function sweepTable(caption: string, rows: readonly SweepRow[]): Markup {
  const keys = [...new Set(rows.flatMap(({ point }) => Object.keys(point)))];
  const names = sweepRunNames(rows);
  const shown = rows.slice(0, MOST_LINES);
  const all = rows.length > shown.length ? `; the first ${shown.length} of ${rows.length} points` : "";
  return dataTable(
    `${caption}${all}`,
    [
      { title: "point", figures: true },
      ...keys.map((title) => ({ title })),
      ...names.flatMap((name, at) => [
        { title: `${name}: cycles per call`, figures: true },
        ...(at === 0 ? [] : [{ title: `${name}: saving`, figures: true }]),
      ]),
      { title: "remarks" },
    ],
    shown.map((row) => ({
      cells: [
        row.index,
        ...keys.map((key) => valueAt(row, key)),
        ...names.flatMap((name, at) => {
          const run = runAt(row, name);
          return [amount(run?.cyclesPerCall, 1), ...(at === 0 ? [] : [share(run?.saving)])];
        }),
        remarks(row),
      ],
    })),
  );
}

function remarks({ skipped, runs, expectations }: SweepRow): string {
  const bad = runs.filter(({ exit }) => !exit.ok).map((run) => `${runName(run)} ended badly`);
  const unmet = expectations.filter(({ isMet }) => !isMet).length;
  return [
    ...(skipped === undefined ? [] : [`left out: ${skipped}`]),
    ...bad,
    ...(unmet === 0 ? [] : [`${unmet} expectations not met`]),
  ].join("; ");
}
