import { type ParsedScenario, parseScenario } from "../scenario/parse-scenario.js";
import { readText } from "./files.js";

/** Reads and checks a scenario file. @throws UsageError when it cannot be read @throws ScenarioError when it is none */
export function readScenario(path: string): { readonly parsed: ParsedScenario; readonly text: string } {
  const text = readText(
    "argument <scenario>",
    path,
    "the path of a scenario file; `hyperwalk init` writes one",
  );
  return { parsed: parseScenario(text, path), text };
}
