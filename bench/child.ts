import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle, directoryOf } from "../scripts/bundle.js";

/** What a process left behind. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** Runs a program to its end. */
export function execute(command: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) =>
      resolve({ code, stdout, stderr, seconds: (performance.now() - start) / 1000 }),
    );
  });
}

/** Processes that a figure of first systems is made of. */
const PROCESSES = 5;

/** Scripts of `children/`, each bundled once and run in a process of its own under plain Node. */
export class Children {
  private readonly directory: string = mkdtempSync(join(tmpdir(), "hyperwalk-bench-"));
  private readonly bundled = new Map<string, string>();

  /** @returns the last line that the script printed, parsed, and everything else */
  async run<T>(
    name: string,
    args: readonly string[] = [],
    nodeOptions: readonly string[] = [],
  ): Promise<T & Finished> {
    const script = await this.script(name);
    const finished = await execute(process.execPath, [...nodeOptions, script, ...args]);
    if (finished.code !== 0)
      throw new Error(`${name} ${args.join(" ")}: exit ${finished.code}\n${finished.stderr}`);
    const last =
      finished.stdout
        .trimEnd()
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .at(-1) ?? "{}";
    return { ...finished, ...(JSON.parse(last) as T) };
  }

  /** The same in five processes, one after the other: for what only the first system of a process shows. */
  async runEach<T>(name: string, args: readonly string[]): Promise<readonly T[]> {
    const runs: T[] = [];
    for (let i = 0; i < PROCESSES; i++) runs.push(await this.run<T>(name, args));
    return runs;
  }

  /** Removes the bundled scripts. */
  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async script(name: string): Promise<string> {
    const known = this.bundled.get(name);
    if (known) return known;
    const file = join(this.directory, `${name}.mjs`);
    const contents = `import ${JSON.stringify(`./children/${name}.ts`)};`;
    writeFileSync(
      file,
      await bundle({ contents, resolveDir: directoryOf(import.meta.url), platform: "node" }),
    );
    this.bundled.set(name, file);
    return file;
  }
}
