import { profileJsonSchema, scenarioJsonSchema } from "hyperwalk";

/** JSON Schemas that editors complete our files with. */
export function schemaFiles(): [string, string][] {
  const schemas = { scenario: scenarioJsonSchema(), profile: profileJsonSchema() };
  return Object.entries(schemas).map(([name, schema]) => [
    `packages/lab/schema/${name}.schema.json`,
    `${JSON.stringify(schema, null, 2)}\n`,
  ]);
}
