/**
 * Writes every file that is made from `packages/xen/abi/*.yml`; with `--check` it only compares and fails when one is
 * stale. Run as `npm run generate` (`npm run generate -- --check`).
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AbiError, loadAbi } from "@hyperwalk/xen/abi-loader";
import { abiReference } from "./generate/abi-reference.ts";
import { cHeader } from "./generate/c-header.ts";
import { descriptors } from "./generate/descriptors.ts";
import { sdkStubs } from "./generate/sdk-stubs.ts";
import type { Source } from "./generate/source.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ABI = "packages/xen/abi";

function sources(): Source[] {
  const files = readdirSync(join(ROOT, ABI)).filter((name) => name.endsWith(".yml"));
  return files.sort().map((name) => {
    const file = `${ABI}/${name}`;
    return { file, group: loadAbi(readFileSync(join(ROOT, file), "utf8"), file) };
  });
}

function outputs(all: readonly Source[]): [string, string][] {
  return [
    ["packages/xen/src/operations/descriptors.gen.ts", descriptors(all)],
    ["packages/guest-sdk/src/stubs/operations.gen.ts", sdkStubs(all)],
    ["packages/guest-sdk/include/xen-hypercalls.h", cHeader(all)],
    ["docs/abi-reference.md", abiReference(all)],
  ];
}

function current(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), "utf8");
  } catch {
    return undefined;
  }
}

function main(check: boolean): number {
  let stale = 0;
  for (const [path, text] of outputs(sources())) {
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
