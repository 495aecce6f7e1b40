import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadAbi } from "@hyperwalk/xen/abi-loader";
import { xenHeader } from "../../packages/lab/src/stubs/c-header.ts";
import { abiReference } from "./abi-reference.ts";
import { descriptors } from "./descriptors.ts";
import { sdkStubs } from "./sdk-stubs.ts";
import { BANNER, type Source } from "./source.ts";

const ABI = "packages/xen/abi";

/** The description files, in order of name. @param root the repository's directory */
export function loadSources(root: string): Source[] {
  const files = readdirSync(join(root, ABI)).filter((name) => name.endsWith(".yml"));
  return files.sort().map((name) => {
    const file = `${ABI}/${name}`;
    return { file, group: loadAbi(readFileSync(join(root, file), "utf8"), file) };
  });
}

/** What every generated file should contain: path from the root, text. */
export function generatedFiles(root: string): [string, string][] {
  const sources = loadSources(root);
  return [
    ["packages/xen/src/operations/descriptors.gen.ts", descriptors(sources)],
    ["packages/guest-sdk/src/stubs/operations.gen.ts", sdkStubs(sources)],
    [
      "packages/guest-sdk/include/xen-hypercalls.h",
      xenHeader(
        sources.map(({ group }) => group),
        BANNER.join(" "),
      ),
    ],
    ["docs/abi-reference.md", abiReference(sources)],
  ];
}
