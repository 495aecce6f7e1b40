import type { z } from "zod";
import { problemOf } from "../schema-problem.js";
import { type FileSource, readYaml } from "../yaml-file.js";
import type { Scenario } from "./scenario.js";
import { ScenarioError } from "./scenario-error.js";
import { SCENARIO_SCHEMA } from "./scenario-schema.js";

/** A scenario file as it was written, for errors about what it says. */
export type ScenarioSource = FileSource;

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
  const { value, source } = readYaml(
    text,
    file,
    (line, problem, allowed) => new ScenarioError(file, line, "", problem, allowed),
  );
  return { scenario: checked(value, source), source };
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
