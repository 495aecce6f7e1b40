/**
 * Writes every file that is made from `packages/xen/abi/*.yml`, and the schemas of the lab's own files; with `--check` it only compares and fails when one is
 * stale. Run as `npm run generate` (`npm run generate -- --check`).
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AbiError } from "@hyperwalk/xen/abi-loader";
import { generatedFiles } from "./generate/generated-files.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function current(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), "utf8");
  } catch {
    return undefined;
  }
}

/** Writes or compares files. @returns how many were stale */
function bring(files: readonly (readonly [string, string])[], check: boolean): number {
  let stale = 0;
  for (const [path, text] of files) {
    if (current(path) === text) continue;
    stale++;
    if (check) {
      console.error(`${path} is stale; run: npm run generate`);
    } else {
      mkdirSync(dirname(join(ROOT, path)), { recursive: true });
      writeFileSync(join(ROOT, path), text);
      console.log(`wrote ${path}`);
    }
  }
  return stale;
}

async function main(check: boolean): Promise<number> {
  let stale = bring(generatedFiles(ROOT), check);
  // The libraries that schemas come from need the files above.
  const { schemaFiles } = await import("./generate/schemas.ts");
  stale += bring(schemaFiles(), check);
  if (stale === 0) console.log("generated files are up to date");
  return check && stale > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.includes("--check"));
} catch (error) {
  if (!(error instanceof AbiError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
