import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { runProgram } from "../../packages/lab/src/cli/program.js";
import { plain } from "../../packages/lab/src/report/paint.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SLURM = "examples/sweeps/slurm.sbatch";
const JOB = "examples/sweeps/kubernetes-job.yml";
const CLI = [
  join(ROOT, "node_modules/.bin/tsx"),
  "--conditions=@hyperwalk/source",
  join(ROOT, "packages/lab/src/cli.ts"),
];
const FILES = ["sweep.json", "results.jsonl", "results.csv", "results.parquet"];

interface IndexedJob {
  readonly spec: {
    readonly completionMode: string;
    readonly completions: number;
    readonly template: {
      readonly spec: {
        readonly restartPolicy: string;
        readonly containers: readonly [
          {
            readonly command: readonly string[];
            readonly args: readonly string[];
            readonly env: readonly { readonly name: string; readonly value: string }[];
          },
        ];
      };
    };
  };
}

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-array-"));
  const whole = readFileSync(join(ROOT, "examples/sweeps/page-sizes.yml"), "utf8");
  // The example itself, with fewer calls.
  writeFileSync(join(directory, "page-sizes.yml"), whole.replace("iterations: 256", "iterations: 4"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", HYPERWALK: CLI.join(" "), ...env },
  });
  expect({ status, stderr: stderr.replace(/^npm warn.*\n/gm, "") }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

/** A command that needs no process of its own. */
async function hyperwalk(...args: string[]): Promise<void> {
  let said = "";
  const err = (text: string) => {
    said += text;
  };
  expect({ code: await runProgram(args, { paint: plain, out: () => undefined, err }), said }).toEqual({
    code: 0,
    said: "",
  });
}

const results = (folder: string) =>
  FILES.map((file) => readFileSync(join(directory, folder, file)).toString("latin1"));

describe("the job arrays of the examples, by a scheduler that runs one task after the other", {
  timeout: 240_000,
}, () => {
  it("Slurm: its tasks and a merge give what the whole sweep gives", async () => {
    run("bash", ["-n", SLURM]);
    const text = readFileSync(join(ROOT, SLURM), "utf8");
    const [, first, last] = /^#SBATCH --array=(\d+)-(\d+)$/m.exec(text) ?? [];
    expect([first, last]).toEqual(["1", "4"]);
    // As many tasks as matter: the array's size comes from the scheduler.
    const tasks = 2;
    for (let task = 1; task <= tasks; task++)
      run("bash", [SLURM], {
        SLURM_ARRAY_TASK_ID: String(task),
        SLURM_ARRAY_TASK_COUNT: String(tasks),
        SLURM_CPUS_PER_TASK: "2",
        SCENARIO: join(directory, "page-sizes.yml"),
        RESULTS: join(directory, "slurm"),
      });
    await hyperwalk("merge", join(directory, "slurm"));
    await hyperwalk("sweep", join(directory, "page-sizes.yml"), "--output", join(directory, "whole"));
    expect(results("slurm")).toEqual(results("whole"));
    expect(results("whole")[1].trim().split("\n")).toHaveLength(18);
  });

  it("Kubernetes: an indexed job whose pods are shards", async () => {
    const job = parse(readFileSync(join(ROOT, JOB), "utf8")) as IndexedJob;
    const { containers, restartPolicy } = job.spec.template.spec;
    const [{ command, args, env }] = containers;
    expect(job.spec.completionMode).toBe("Indexed");
    expect(restartPolicy).toBe("OnFailure");
    const given = Object.fromEntries(env.map(({ name, value }) => [name, value]));
    expect(given.SHARDS).toBe(String(job.spec.completions));
    const pod = (index: number) =>
      run(command[0], [...command.slice(1), ...args], {
        ...given,
        JOB_COMPLETION_INDEX: String(index),
        SHARDS: "2",
        SCENARIO: join(directory, "page-sizes.yml"),
        RESULTS: join(directory, "kubernetes"),
      });
    pod(0);
    pod(1);
    await hyperwalk("merge", join(directory, "kubernetes"));
    expect(results("kubernetes")).toEqual(results("slurm"));
  });
});
