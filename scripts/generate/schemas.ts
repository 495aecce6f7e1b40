import { scenarioJsonSchema } from "hyperwalk";

/** JSON Schemas that editors complete our files with. */
export function schemaFiles(): [string, string][] {
  return [["packages/lab/schema/scenario.schema.json", `${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`]];
}
