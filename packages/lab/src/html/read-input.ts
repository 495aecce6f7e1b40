import type { z } from "zod";
import { compareSchema } from "./compare-schema.js";
import { DocumentError } from "./document-error.js";
import type { NamedComparison, ReportInput } from "./report-input.js";

/** A file that a report is made of. */
export interface InputFile {
  /** As the user wrote it, for messages and labels. */
  readonly path: string;
  readonly text: string;
}

/** What files can be, as messages say it. */
const KINDS = "one or two documents of compare --json";
const LONGEST_LABEL = 24;

/**
 * Finds out what each file is and puts them together.
 *
 * @throws DocumentError that names file, line or key, and what is allowed
 */
export function readReportInput(files: readonly InputFile[]): ReportInput {
  const comparisons: NamedComparison[] = [];
  for (const file of files) {
    const document = parseJson(file);
    const label = labelOf(file.path);
    if (isObject(document) && Array.isArray(document.runs)) {
      if (comparisons.length === 2) throw new DocumentError(file.path, "is a third comparison", KINDS);
      const compared = checked(file.path, compareSchema, document);
      comparisons.push({ label, document: compared });
    } else throw new DocumentError(file.path, "is no document of hyperwalk's", KINDS);
  }
  if (comparisons.length === 0) throw new DocumentError("no file", "there is nothing to report", KINDS);
  const [first, second] = comparisons;
  if (second !== undefined && first.label === second.label)
    return {
      comparisons: [
        { ...first, label: `A: ${first.label}` },
        { ...second, label: `B: ${second.label}` },
      ],
    };
  return { comparisons };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A short name: the file's, without directories and ending. */
function labelOf(path: string): string {
  const name = path === "-" ? "standard input" : (path.split(/[/\\]/).at(-1) ?? path).replace(/\.[^.]*$/, "");
  return name.length <= LONGEST_LABEL ? name : `${name.slice(0, LONGEST_LABEL - 1)}…`;
}

function parseJson({ path, text }: InputFile): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DocumentError(
      `${path}, line ${lineOf(text, (error as Error).message)}`,
      "this is not JSON",
      KINDS,
    );
  }
}

/** The line of a JSON syntax error: V8 says its position, or that the text ended. */
function lineOf(text: string, message: string): number {
  const position = /at position (\d+)/.exec(message)?.[1];
  const before = position === undefined ? text.trimEnd() : text.slice(0, Number(position));
  return before.split("\n").length;
}

/** A document that a schema describes. @throws DocumentError with the key of what is wrong first */
export function checked<T>(path: string, schema: z.ZodType<T>, document: unknown): T {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new DocumentError(`${path}, ${keyOf(issue.path)}`, issue.message, allowedBy(issue));
}

function keyOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "the whole document";
  return path
    .map((each, at) => (typeof each === "number" ? `[${each}]` : `${at === 0 ? "" : "."}${String(each)}`))
    .join("");
}

function allowedBy(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_value") return issue.values.map(String).join(", ");
  if (issue.code === "invalid_type") return `a value of type ${issue.expected}`;
  return "what hyperwalk writes there";
}
