import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

/*
 * Code in docs/guides is run. What comes after the language of a block says how:
 *   run         carried out, in a folder of the guide's own; the `text` block directly after it is what it prints
 *   file=<name> written there
 *   needs=<x>   run only where there is such a program
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const GUIDES = join(ROOT, "docs/guides");
const TSX = join(ROOT, "node_modules/tsx/dist/cli.mjs");
const SOURCE = "--conditions=@hyperwalk/source";

interface Block {
  readonly line: number;
  readonly language: string;
  readonly options: readonly string[];
  readonly code: string;
  /** What stands in the `text` block directly after it. */
  readonly prints: string | undefined;
}

function blocksOf(text: string): Block[] {
  const found = [...text.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    language: match[1],
    options: match[2].trim().split(/\s+/).filter(Boolean),
    code: match[3],
    end: match.index + match[0].length,
    index: match.index,
  }));
  return found.map((block, i) => {
    const next = found[i + 1];
    const follows = next?.language === "text" && text.slice(block.end, next.index).trim() === "";
    return { ...block, prints: follows ? next.code : undefined };
  });
}

/** What a program prints when it is imported. */
async function outputOf(path: string): Promise<string> {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await import(/* @vite-ignore */ path);
    return log.mock.calls.map((values) => `${values.join(" ")}\n`).join("");
  } finally {
    log.mockRestore();
  }
}

const guides = readdirSync(GUIDES)
  .filter((name) => name.endsWith(".md"))
  .map((name) => ({ name, blocks: blocksOf(readFileSync(join(GUIDES, name), "utf8")) }));

/** The folder of each guide, with what a checkout has under the same names. */
const folders = new Map<string, string>();
beforeAll(() => {
  for (const { name, blocks } of guides) {
    const folder = mkdtempSync(join(ROOT, "test", ".guide-"));
    folders.set(name, folder);
    for (const part of ["examples", "packages"]) symlinkSync(join(ROOT, part), join(folder, part));
    const command = join(folder, "hyperwalk");
    const cli = join(ROOT, "packages/lab/src/cli.ts");
    writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${TSX}" ${SOURCE} "${cli}" "$@"\n`);
    chmodSync(command, 0o755);
    blocks.forEach(({ language, code, options }, i) => {
      const file = options.find((option) => option.startsWith("file="))?.slice("file=".length);
      if (file !== undefined) writeFileSync(join(folder, file), code);
      else if (language === "ts") writeFileSync(join(folder, `block-${i}.ts`), code);
    });
  }
});
afterAll(() => {
  for (const folder of folders.values()) rmSync(folder, { recursive: true });
});

describe.each(guides)("$name", ({ name, blocks }) => {
  const runnable = blocks
    .map((block, i) => ({ ...block, i, title: `line ${block.line}: ${block.language}` }))
    .filter(({ options }) => options.includes("run"));

  it("leaves no code out", () => {
    for (const { language, options, line } of blocks)
      if (language !== "text")
        expect(
          options.some((option) => option === "run" || option.startsWith("file=")),
          `line ${line}`,
        ).toBe(true);
  });

  it("links to what is there", () => {
    const text = readFileSync(join(GUIDES, name), "utf8");
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#\s]+)/g))
      expect(() => readFileSync(join(GUIDES, target)), target).not.toThrow();
  });

  if (runnable.length > 0)
    it.each(runnable)(
      "$title",
      async ({ i, language, code, prints, options }) => {
        const cwd = folders.get(name) ?? "";
        const needs = options.find((option) => option.startsWith("needs="))?.slice("needs=".length);
        if (needs !== undefined && spawnSync(needs, ["--version"]).error !== undefined) return;
        if (language === "ts") {
          expect(await outputOf(join(cwd, `block-${i}.ts`))).toBe(prints);
          return;
        }
        const run = spawnSync("sh", ["-e", "-c", code], {
          cwd,
          encoding: "utf8",
          env: { ...process.env, PATH: `${cwd}:${process.env.PATH ?? ""}` },
        });
        expect([run.stderr, run.status]).toEqual(["", 0]);
        if (prints !== undefined) expect(run.stdout).toBe(prints);
      },
      120_000,
    );
});

it("programs in the guides have the types that they say", () => {
  const config = ts.readConfigFile(join(ROOT, "tsconfig.json"), ts.sys.readFile).config;
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const files = guides.flatMap(({ name, blocks }) =>
    blocks.flatMap(({ language, options: how }, i) =>
      language === "ts" && how.includes("run") ? [join(folders.get(name) ?? "", `block-${i}.ts`)] : [],
    ),
  );
  const program = ts.createProgram(files, {
    ...options,
    noEmit: true,
    isolatedDeclarations: false,
    declaration: false,
  });
  const wrong = ts
    .getPreEmitDiagnostics(program)
    .filter(({ file }) => file !== undefined && files.includes(file.fileName))
    .map(
      ({ file, messageText }) =>
        `${file?.text.split("\n")[0]}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
    );
  expect(wrong).toEqual([]);
}, 120_000);
