import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { sweepTable } from "../report/sweep-table.js";
import { inFolder } from "../results/in-folder.js";
import { hasResults, readPlan, readPoints, SweepJournal } from "../results/journal.js";
import { RESULT_FILES, writeResults } from "../results/result-files.js";
import { ResultsError } from "../results/results-error.js";
import type { Output } from "./output.js";
import { sweepExit } from "./sweep-command.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `merge` says, parsed. */
export interface MergeOptions {
  readonly output?: string;
  readonly json?: boolean;
}

/**
 * `hyperwalk merge`: the shards of a sweep as one result, byte for byte what the whole sweep would have given.
 * @param directories shards' folders, or folders that hold them
 * @returns the exit code
 */
export async function mergeCommand(
  directories: readonly string[],
  options: MergeOptions,
  output: Output,
): Promise<number> {
  const shards = directories.flatMap(shardsIn);
  const target = options.output ?? directories[0];
  if (hasResults(target))
    throw new UsageError("option --output", `${target} has results already`, "another folder");
  const { shard: _shard, ...plan } = readPlan(shards[0]);
  const parts = shards.map((directory) => {
    const own = readPlan(directory);
    if (own.identity !== plan.identity)
      throw new ResultsError(
        directory,
        0,
        "",
        `it is of another scenario than ${shards[0]}`,
        "shards of one sweep",
      );
    return { directory, ...readPoints(directory, own) };
  });
  const rows = new Map(parts.flatMap((part) => [...part.rows]));
  const missing = Array.from({ length: plan.points }, (_, index) => index).filter(
    (index) => !rows.has(index),
  );
  if (missing.length > 0)
    throw new ResultsError(
      shards.join(", "),
      0,
      "",
      `${missing.length} of ${plan.points} points are in no shard, the first is ${missing[0]}`,
      "all shards, finished; `--resume` finishes one",
    );
  const estimates = new Map(parts.flatMap((part) => [...part.estimates]));
  const journal = SweepJournal.create(target, plan);
  // Every estimate belongs to some point: the first one brings all.
  const inOrder = [...rows.values()].sort((a, b) => a.index - b.index);
  inOrder.forEach((row, at) => {
    journal.add(row, at === 0 ? [...estimates.values()] : []);
  });
  journal.close();
  const document = await writeResults(target, plan, { rows, estimates });
  if (options.json) output.out(`${JSON.stringify({ ...document, rows: inOrder }, null, 2)}\n`);
  else {
    output.out(`${sweepTable(inOrder, output.paint)}\n\n`);
    output.out(`Results: ${RESULT_FILES.map((name) => join(target, name)).join(", ")}\n`);
  }
  return sweepExit(inOrder, output);
}

function shardsIn(directory: string): string[] {
  if (hasResults(directory)) return [directory];
  const inside = existsSync(directory)
    ? inFolder(directory, () => readdirSync(directory))
        .sort()
        .map((name) => join(directory, name))
        .filter(hasResults)
    : [];
  if (inside.length === 0)
    throw new UsageError(
      "argument <folder>",
      `${directory} has no results of a sweep`,
      "folders that `hyperwalk sweep --shard` wrote",
    );
  return inside;
}
