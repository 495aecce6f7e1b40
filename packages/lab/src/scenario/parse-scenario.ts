import { type Document, isMap, isNode, isPair, isSeq, LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import type { Scenario } from "./scenario.js";
import { ScenarioError } from "./scenario-error.js";
import { SCENARIO_SCHEMA } from "./scenario-schema.js";
import { problemOf } from "./schema-problem.js";

const MAX_CHARACTERS = 4 * 2 ** 20;

/** A scenario file as it was written, for errors about what it says. */
export interface ScenarioSource {
  readonly file: string;
  /** Line of the key at a path, or of the deepest part of it that the file has. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** A scenario with every default written out, and where it is from. */
export interface ParsedScenario {
  readonly scenario: Scenario;
  readonly source: ScenarioSource;
}

/**
 * Reads a scenario file, YAML or JSON.
 * @param file its name, for messages
 * @throws ScenarioError for anything that is not a scenario
 */
export function parseScenario(text: string, file: string): ParsedScenario {
  if (text.length > MAX_CHARACTERS)
    throw new ScenarioError(file, 0, "", `${text.length} characters`, `at most ${MAX_CHARACTERS}`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: false });
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    const [problem] = error.message.split("\n");
    throw new ScenarioError(
      file,
      error.linePos?.[0].line ?? 0,
      "",
      problem.replace(/:$/, ""),
      "one YAML document",
    );
  }
  const source: ScenarioSource = { file, lineOf: (path) => lineOf(document, lines, path) };
  return { scenario: checked(plainValue(document, file), source), source };
}

/** A value checked against the schema, with every default written out. @throws ScenarioError */
export function checked(value: unknown, source: ScenarioSource): Scenario {
  const result = SCENARIO_SCHEMA.safeParse(value);
  if (result.success) return result.data;
  throw errorOf(result.error, value, source);
}

function errorOf({ issues }: z.ZodError, value: unknown, source: ScenarioSource): ScenarioError {
  const { path, problem, allowed } = problemOf(issues[0], value);
  return new ScenarioError(source.file, source.lineOf(path), path.join("."), problem, allowed);
}

function plainValue(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 50 });
  } catch (error) {
    throw new ScenarioError(file, 0, "", (error as Error).message, "few aliases of anchors that exist");
  }
}

function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? node.range?.[0] : undefined;
  for (const step of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String(item.key) === String(step));
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      next = pair.value;
    } else if (isSeq(node)) {
      next = node.items[Number(step)];
      if (isNode(next)) offset = next.range?.[0] ?? offset;
    }
    if (next === undefined) break;
    node = next;
  }
  return offset === undefined ? 0 : lines.linePos(offset).line;
}
