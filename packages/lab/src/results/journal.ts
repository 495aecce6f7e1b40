import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { EstimateUsed } from "../result.js";
import type { Scenario } from "../scenario/scenario.js";
import { MAX_POINTS } from "../scenario/scenario-schema.js";
import { problemOf } from "../schema-problem.js";
import type { SweepRow } from "../sweep/sweep-row.js";
import { CollectedPoints, type FinishedPoints, type PointSink } from "./collected-points.js";
import { inFolder } from "./in-folder.js";
import { ResultsError } from "./results-error.js";

/** What a folder of results is of. */
export interface SweepPlan {
  readonly tool: { readonly name: string; readonly version: string };
  readonly scenario: Scenario;
  readonly identity: string;
  readonly points: number;
  readonly shard?: string;
}

const PLAN = "plan.json";
const POINTS = "points.jsonl";

/** Whether a folder has results, finished or not. */
export function hasResults(directory: string): boolean {
  return existsSync(join(directory, PLAN));
}

/** What a folder's results are of. @throws ResultsError */
export function readPlan(directory: string): SweepPlan {
  const file = join(directory, PLAN);
  const plan = parsedJson(
    inFolder(directory, () => readFileSync(file, "utf8")),
    file,
    0,
    "the plan that `hyperwalk sweep` wrote",
  );
  const checked = WRITTEN_PLAN.safeParse(plan);
  if (checked.success) return plan as SweepPlan;
  const { path, problem, allowed } = problemOf(checked.error.issues[0], plan);
  throw new ResultsError(file, 0, path.join("."), problem, allowed);
}

/** What the rest of the program relies on; the scenario is compared by the identity. */
const WRITTEN_PLAN = z.looseObject({
  tool: z.looseObject({ name: z.string(), version: z.string() }),
  scenario: z.looseObject({ name: z.string() }),
  identity: z.string(),
  points: z.int().min(1).max(MAX_POINTS),
  shard: z.string().optional(),
});

/**
 * The points that a folder has, and where a line ends that was being written when the sweep was stopped.
 * @throws ResultsError for a line that no sweep wrote
 */
export function readPoints(directory: string, plan: SweepPlan): FinishedPoints & { readonly bytes: number } {
  const file = join(directory, POINTS);
  const rows = new Map<number, SweepRow>();
  const estimates = new Map<string, EstimateUsed>();
  if (!existsSync(file)) return { rows, estimates, bytes: 0 };
  const content = inFolder(directory, () => readFileSync(file));
  // What comes after the last line end was never finished.
  const bytes = content.lastIndexOf(10) + 1;
  const lines = content.subarray(0, bytes).toString("utf8").split("\n").slice(0, -1);
  lines.forEach((text, at) => {
    const line = parsedLine(text, file, at + 1);
    if ("estimate" in line) {
      estimates.set(JSON.stringify(line.estimate), line.estimate);
      return;
    }
    if (line.index >= plan.points)
      throw new ResultsError(file, at + 1, "", `point ${line.index}`, `points 0 to ${plan.points - 1}`);
    rows.set(line.index, line);
  });
  return { rows, estimates, bytes };
}

type JournalLine = SweepRow | { readonly estimate: EstimateUsed };

const FIGURE = z.number().nullable();
/** What the rest of the program relies on; a row may have more. */
const LINE = z.union([
  z.looseObject({ estimate: z.looseObject({ key: z.string(), value: z.number(), unit: z.string() }) }),
  z.looseObject({
    index: z.int().min(0),
    point: z.record(z.string(), z.unknown()),
    runs: z.array(
      z.looseObject({
        host: z.string(),
        abi: z.string(),
        cyclesPerCall: FIGURE,
        saving: FIGURE,
        ledger: z.array(z.looseObject({ phase: z.string(), cause: z.string(), cyclesPerCall: z.number() })),
        exit: z.looseObject({ ok: z.boolean(), reason: z.string() }),
      }),
    ),
    expectations: z.array(z.looseObject({ isMet: z.boolean() })),
    estimates: z.array(z.string()),
  }),
]);

function parsedJson(text: string, file: string, line: number, allowed: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ResultsError(file, line, "", "it is not JSON", allowed);
  }
}

function parsedLine(text: string, file: string, line: number): JournalLine {
  const value = parsedJson(text, file, line, "lines that `hyperwalk sweep` wrote");
  if (!LINE.safeParse(value).success)
    throw new ResultsError(file, line, "", "it is no point", "lines that `hyperwalk sweep` wrote");
  return value as JournalLine;
}

/**
 * The finished points of a sweep as they come, a line each: what is in the file when the sweep is killed stays finished, and
 * a line that was being written is no point.
 */
export class SweepJournal implements PointSink {
  readonly finished: CollectedPoints;
  private readonly directory: string;
  private readonly file: number;

  private constructor(directory: string, file: number, finished?: FinishedPoints) {
    this.directory = directory;
    this.file = file;
    this.finished = new CollectedPoints(finished);
  }

  /** Begins a folder of results; what lay in it of another sweep is gone. @throws ResultsError */
  static create(directory: string, plan: SweepPlan): SweepJournal {
    return inFolder(directory, () => {
      mkdirSync(directory, { recursive: true });
      const file = openSync(join(directory, POINTS), "w");
      // The plan comes last: a folder with a plan has a file of points.
      writeFileSync(join(directory, PLAN), `${JSON.stringify(plan, null, 2)}\n`);
      return new SweepJournal(directory, file);
    });
  }

  /** Goes on with a folder of results. @throws ResultsError */
  static resume(directory: string, plan: SweepPlan): SweepJournal {
    return inFolder(directory, () => {
      const finished = readPoints(directory, plan);
      const file = openSync(join(directory, POINTS), "a");
      ftruncateSync(file, finished.bytes);
      return new SweepJournal(directory, file, finished);
    });
  }

  /** Adds a point, and those of its estimates that no earlier one had. @throws ResultsError when it cannot be written */
  add(row: SweepRow, estimates: readonly EstimateUsed[]): void {
    const added = this.finished.add(row, estimates).map((estimate) => `{"estimate":${estimate}}\n`);
    inFolder(this.directory, () => writeSync(this.file, `${added.join("")}${JSON.stringify(row)}\n`));
  }

  close(): void {
    closeSync(this.file);
  }
}
