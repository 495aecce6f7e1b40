import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const snippets = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]);

/** Runs a snippet as its reader would, with the packages' sources standing in for the published ones. */
function run(snippet: string): string {
  const folder = mkdtempSync(join(root, "test", ".readme-"));
  try {
    const file = join(folder, "snippet.ts");
    writeFileSync(file, snippet);
    return execFileSync(join(root, "node_modules/.bin/tsx"), ["--conditions=@hyperwalk/source", file], {
      encoding: "utf8",
      cwd: folder,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("README", () => {
  it("is short", () => {
    expect(readme.split("\n").length).toBeLessThan(200);
  });

  it("compares two interfaces in its first snippet", () => {
    const lines = run(snippets[0]).trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^linear: [\d.]+ cycles a call, [1-9][\d.]* of them walking guest page tables$/);
    expect(lines[1]).toMatch(/^physaddr: [\d.]+ cycles a call, 0 of them walking guest page tables$/);
  }, 60_000);

  it("greets from a guest in its second", () => {
    expect(run(snippets[1])).toMatch(/hello from a guest of Xen[\s\S]*shutdown/);
  }, 60_000);

  it("names only scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const named = [...readme.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map((match) => match[1]);
    expect(named.length).toBeGreaterThan(5);
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });
});
