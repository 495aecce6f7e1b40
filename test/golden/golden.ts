// npm run golden               says which figures differ from expected.json
// npm run golden -- --update   writes expected.json
import { readFileSync, writeFileSync } from "node:fs";
import { CASES } from "./cases.js";

const file = new URL("./expected.json", import.meta.url);
const [option, ...rest] = process.argv.slice(2);
if (rest.length > 0 || (option !== undefined && option !== "--update")) {
  console.error(`error: unknown argument "${rest[0] ?? option}". Allowed: --update`);
  process.exit(2);
}

const found: Record<string, unknown> = {};
for (const each of CASES) found[each.name] = each.run();

if (option === "--update") {
  writeFileSync(file, `${JSON.stringify(found, null, 1)}\n`);
  console.log(`${CASES.length} comparisons written`);
} else {
  const differences = differing(
    "",
    JSON.parse(readFileSync(file, "utf8")),
    JSON.parse(JSON.stringify(found)),
  );
  for (const line of differences) console.log(line);
  console.log(`${CASES.length} comparisons, ${differences.length} differences`);
  process.exitCode = differences.length === 0 ? 0 : 1;
}

/** One line for each leaf that differs. */
function differing(path: string, before: unknown, after: unknown): string[] {
  if (typeof before === "object" && typeof after === "object" && before !== null && after !== null) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) =>
      differing(
        path === "" ? key : `${path} / ${key}`,
        (before as Record<string, unknown>)[key],
        (after as Record<string, unknown>)[key],
      ),
    );
  }
  return before === after ? [] : [`${path}: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`];
}
