import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const guide = readFileSync(join(root, "docs/tracing.md"), "utf8");
const snippets = [...guide.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]);

/** Runs a snippet as its reader would, with the packages' sources standing in for the published ones. */
function run(snippet: string): string {
  const folder = mkdtempSync(join(root, "test", ".tracing-"));
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

describe("the guide to tracing", () => {
  it("shows a hypercall from exit to entry, slower the first time", () => {
    const lines = run(snippets[0]).trim().split("\n");
    const [, cold, warm] = /^vcpu\.get_runstate_info: first (\d+) cycles, later (\d+)$/.exec(lines[0]) ?? [];
    expect(Number(cold)).toBeGreaterThan(Number(warm));
    expect(lines[2]).toMatch(/^ {2}vm-exit \[vm-exit\]: 0\.0 to /);
    expect(lines.at(-1)).toMatch(/^ {2}vm-entry \[vm-entry\]: /);
  }, 60_000);

  it("accounts for every tick of a system's clock", () => {
    expect(run(snippets[1]).trim()).toBe("true");
  }, 60_000);
});
