import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { type ResultColumn, resultColumns } from "../sweep/result-columns.js";
import type { SweepDocument, SweepRow } from "../sweep/sweep-row.js";
import type { FinishedPoints } from "./collected-points.js";
import { inFolder } from "./in-folder.js";
import type { SweepPlan } from "./journal.js";

/** Files that a finished sweep's folder has. */
export const RESULT_FILES = ["sweep.json", "results.jsonl", "results.csv", "results.parquet"] as const;

/**
 * Writes a finished sweep's results, sorted by point: the same bytes whatever ran them, in whatever order. Each file is there
 * whole or not at all.
 * @throws ResultsError when they cannot be written
 */
export async function writeResults(
  directory: string,
  plan: SweepPlan,
  finished: FinishedPoints,
): Promise<SweepDocument> {
  const rows = [...finished.rows.values()].sort((a, b) => a.index - b.index);
  const document = sweepDocument(plan, rows, finished);
  const columns = resultColumns(rows);
  const put = (name: (typeof RESULT_FILES)[number], content: string | Uint8Array) => {
    const path = join(directory, name);
    inFolder(directory, () => {
      writeFileSync(`${path}.part`, content);
      renameSync(`${path}.part`, path);
    });
  };
  put("results.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  put("results.csv", csv(columns));
  put("results.parquet", await parquet(columns));
  put("sweep.json", `${JSON.stringify(document, null, 2)}\n`);
  return document;
}

/** What is said of all of a sweep. @param rows all of its points that are finished */
export function sweepDocument(
  plan: SweepPlan,
  rows: readonly SweepRow[],
  { estimates }: Pick<FinishedPoints, "estimates">,
): SweepDocument {
  const used = new Set(rows.flatMap((row) => row.estimates));
  const order = (a: readonly [string, { key: string }], b: readonly [string, { key: string }]) =>
    a[1].key < b[1].key || (a[1].key === b[1].key && a[0] < b[0]) ? -1 : 1;
  return {
    ...plan,
    estimates: [...estimates]
      .filter(([, { key }]) => used.has(key))
      .sort(order)
      .map(([, each]) => each),
  };
}

function csv(columns: readonly ResultColumn[]): string {
  const length = columns[0]?.values.length ?? 0;
  const lines = Array.from({ length }, (_, at) => columns.map(({ values }) => values[at]));
  return stringify(lines, {
    header: true,
    columns: columns.map(({ name }) => name),
    cast: { boolean: String },
    // A spreadsheet would run what begins like a formula.
    escape_formulas: true,
  });
}

const PARQUET_TYPE = { number: "DOUBLE", whole: "INT32", text: "STRING", boolean: "BOOLEAN" } as const;

async function parquet(columns: readonly ResultColumn[]): Promise<Uint8Array> {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: columns.map(({ name, type, values }) => ({
        name,
        data: [...values],
        type: PARQUET_TYPE[type],
        nullable: type !== "whole",
      })),
      createdBy: "hyperwalk",
    }),
  );
}
