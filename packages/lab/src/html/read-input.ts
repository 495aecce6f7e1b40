import type { z } from "zod";
import { problemOf } from "../schema-problem.js";
import type { SweepDocument, SweepRow } from "../sweep/sweep-row.js";
import type { HypercallTimeline } from "../timeline/hypercall-timeline.js";
import { compareSchema } from "./compare-schema.js";
import { DocumentError } from "./document-error.js";
import { runSchema, sweepRowSchema, sweepSchema, timelineSchema } from "./document-schemas.js";
import type { NamedComparison, ReportInput } from "./report-input.js";
import { type SensitivityInputs, sensitivitySchema } from "./sensitivity-inputs.js";

/** A file that a report is made of. */
export interface InputFile {
  /** As the user wrote it, for messages and labels. */
  readonly path: string;
  readonly text: string;
}

/** What files can be, as messages say it. */
export const INPUT_KINDS: string =
  "what compare --json, run --json and sensitivity --json print, the folder of a sweep, and timelines of hypercalls";
const MOST_COMPARISONS = 2;
const LONGEST_LABEL = 24;

/** What is read of all files together. */
interface Found {
  readonly comparisons: NamedComparison[];
  readonly timelines: HypercallTimeline[];
  readonly sensitivities: SensitivityInputs[];
  readonly rows: SweepRow[];
  sweep?: SweepDocument;
}

/**
 * Finds out what each file is and puts them together.
 *
 * @throws DocumentError that names file, line or key, and what is allowed
 */
export function readReportInput(files: readonly InputFile[]): ReportInput {
  const found: Found = { comparisons: [], timelines: [], sensitivities: [], rows: [] };
  for (const file of files) {
    const lines = jsonLines(file);
    if (lines === undefined) take(file.path, parseJson(file.path, file.text, 1), found);
    else for (const [at, line] of lines) takeRow(file.path, at, line, found);
  }
  const { timelines, sensitivities, rows, sweep } = found;
  if (sweep !== undefined && rows.length === 0)
    throw new DocumentError(
      "sweep.json",
      "its results are missing",
      "results.jsonl of the same sweep beside it",
    );
  return {
    comparisons: withLabels(found.comparisons),
    timelines,
    sensitivities,
    ...(rows.length === 0 ? {} : { sweep: { rows, document: sweep } }),
  };
}

function take(path: string, document: unknown, found: Found): void {
  const has = (key: string): boolean => isObject(document) && Object.hasOwn(document, key);
  const label = labelOf(path);
  if (has("comparison")) {
    const { comparison, ...scenario } = checked(path, runSchema, document);
    found.comparisons.push({ label, document: comparison, scenario });
  } else if (has("cold") && has("warm")) found.timelines.push(checked(path, timelineSchema, document));
  else if (has("baseline") && has("inputs"))
    found.sensitivities.push(checked(path, sensitivitySchema, document));
  else if (has("point")) found.rows.push(checked(path, sweepRowSchema, document));
  else if (has("points") && has("scenario")) {
    if (found.sweep !== undefined) throw new DocumentError(path, "is a second sweep", "one sweep");
    found.sweep = checked(path, sweepSchema, document);
  } else if (has("runs")) found.comparisons.push({ label, document: checked(path, compareSchema, document) });
  else throw new DocumentError(path, "is no document that reports are made of", INPUT_KINDS);
  if (found.comparisons.length > MOST_COMPARISONS)
    throw new DocumentError(path, "is a third comparison", "one, or two whose difference is shown");
}

function takeRow(path: string, line: number, text: string, found: Found): void {
  const place = `${path}, line ${line}`;
  found.rows.push(checked(place, sweepRowSchema, parseJson(path, text, line)));
}

function withLabels(comparisons: readonly NamedComparison[]): readonly NamedComparison[] {
  const [first, second] = comparisons;
  if (second === undefined || first.label !== second.label) return comparisons;
  return [
    { ...first, label: `A: ${first.label}` },
    { ...second, label: `B: ${second.label}` },
  ];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A short name: the file's, without directories and ending. */
function labelOf(path: string): string {
  const name = path === "-" ? "standard input" : (path.split(/[/\\]/).at(-1) ?? path).replace(/\.[^.]*$/, "");
  return name.length <= LONGEST_LABEL ? name : `${name.slice(0, LONGEST_LABEL - 1)}…`;
}

/** Lines with their numbers, of a file that has a value on each. */
function jsonLines({ path, text }: InputFile): (readonly [number, string])[] | undefined {
  const lines = text.split("\n").flatMap((line, at) => (line.trim() === "" ? [] : [[at + 1, line] as const]));
  if (path.endsWith(".jsonl")) return lines;
  return lines.length > 1 && /^\{.*\}\s*$/.test(lines[0][1]) && lines[1][1].startsWith("{")
    ? lines
    : undefined;
}

function parseJson(path: string, text: string, firstLine: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const line = firstLine - 1 + lineOf(text, (error as Error).message);
    throw new DocumentError(`${path}, line ${line}`, "this is not JSON", INPUT_KINDS);
  }
}

/** The line of a JSON syntax error: V8 says its position, or that the text ended. */
function lineOf(text: string, message: string): number {
  const position = /at position (\d+)/.exec(message)?.[1];
  const before = position === undefined ? text.trimEnd() : text.slice(0, Number(position));
  return before.split("\n").length;
}

/** A document that a schema describes. @throws DocumentError with the key of what is wrong first */
function checked<T>(place: string, schema: z.ZodType<T>, document: unknown): T {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const { path, problem, allowed } = problemOf(result.error.issues[0], document);
  throw new DocumentError(
    `${place}, ${keyOf(path)}`,
    problem,
    allowed === "" ? "what hyperwalk writes there" : allowed,
  );
}

function keyOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "the whole document";
  return path
    .map((each, at) => (typeof each === "number" ? `[${each}]` : `${at === 0 ? "" : "."}${String(each)}`))
    .join("");
}
