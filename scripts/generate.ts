/**
 * Writes every file that is made from `packages/xen/abi/*.yml`; with `--check` it only compares and fails when one is
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

function main(check: boolean): number {
  let stale = 0;
  for (const [path, text] of generatedFiles(ROOT)) {
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
  if (stale === 0) console.log("generated files are up to date");
  return check && stale > 0 ? 1 : 0;
}

try {
  process.exitCode = main(process.argv.includes("--check"));
} catch (error) {
  if (!(error instanceof AbiError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
