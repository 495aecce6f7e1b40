import Table from "cli-table3";
import type { Paint } from "./paint.js";

/** One column of a text table. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Longer text is wrapped at words to so many columns. */
  readonly wrapAt?: number;
}

/** A row of cells, or a rule across the table. */
export type Row = readonly string[] | "rule";

const BARE = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

/** Lays out aligned columns under their titles; titles and rules are painted, cells are the caller's. */
export function grid(columns: readonly Column[], rows: readonly Row[], paint: Paint): string {
  const widths = columns.map((column, at) => {
    const texts = [column.title, ...rows.flatMap((row) => (row === "rule" ? [] : [row[at]]))];
    return Math.min(column.wrapAt ?? Number.POSITIVE_INFINITY, Math.max(...texts.map(visible)));
  });
  const table = new Table({
    chars: BARE,
    colAligns: columns.map((column) => column.align ?? "right"),
    colWidths: widths,
    wordWrap: true,
    style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 0 },
  });
  const rule = widths.map((width) => paint.faint("─".repeat(width)));
  table.push(
    columns.map((column) => paint.strong(column.title)),
    rule,
  );
  for (const row of rows) table.push(row === "rule" ? rule : [...row]);
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

function visible(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what an escape sequence starts with
  return text.replace(/\u001b\[\d+m/g, "").length;
}
