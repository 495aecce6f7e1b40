import { type Command, Option } from "commander";
import type { Shard } from "../results/run-sweep.js";
import type { MergeOptions } from "./merge-command.js";
import type { Output } from "./output.js";
import type { RunOptions } from "./run-command.js";
import { JSON_OPTION, workersOption } from "./simulation-options.js";
import type { StubsOptions } from "./stubs-command.js";
import type { SweepOptions } from "./sweep-command.js";
import { UsageError } from "./usage-error.js";

const MAX_SHARDS = 100_000;

/** Adds `init`, `run`, `sweep`, `merge` and `stubs` to the command line. @param exit given the exit code of the one that ran */
export function registerScenarios(program: Command, output: Output, exit: (code: number) => void): void {
  program
    .command("init")
    .description("write a guest and scenarios to begin from")
    .argument("[folder]", "where to; it may exist", ".")
    .action(async (folder: string) => {
      const { initCommand } = await import("./init-command.js");
      exit(initCommand(folder, output));
    });

  program
    .command("run")
    .description("run a scenario file: one guest through several interfaces, and what was expected of it")
    .argument("<scenario>", "path of a YAML file; `hyperwalk init` writes one")
    .option("-o, --output <file>", "write the result, as JSON, for `hyperwalk report`")
    .option(...JSON_OPTION)
    .action(async (path: string, options: RunOptions) => {
      const { runCommand } = await import("./run-command.js");
      exit(await runCommand(path, options, output));
    });

  program
    .command("sweep")
    .description("run a scenario at every point of its axes, on all processors")
    .argument("<scenario>", "path of a YAML file with `sweep:`")
    .option("-o, --output <folder>", "where results go (default: the scenario's name and -results)")
    .addOption(workersOption())
    .addOption(
      new Option(
        "--shard <i/n>",
        "run the i-th of n parts alone, into a folder of its own; `merge` joins them",
      ).argParser(shardOf),
    )
    .option("--resume", "go on with what an earlier sweep left in the folder")
    .option(...JSON_OPTION)
    .action(async (path: string, options: SweepOptions) => {
      const { sweepCommand } = await import("./sweep-command.js");
      exit(await sweepCommand(path, options, output));
    });

  program
    .command("stubs")
    .description("write C stubs of your own operations, for every interface, from a file that describes them")
    .argument("<file>", "a description in YAML, as docs/adding-an-operation.md shows")
    .addOption(
      new Option("--structs <file>", "another description, whose layouts this one names; may be given again")
        .argParser((file: string, before: readonly string[]) => [...before, file])
        .default([], "none"),
    )
    .option("-o, --output <file>", "where to (default: standard output)")
    .option("--json", "print the description as it was understood, as one JSON document")
    .action(async (file: string, options: StubsOptions) => {
      const { stubsCommand } = await import("./stubs-command.js");
      exit(stubsCommand(file, options, output));
    });

  program
    .command("merge")
    .description("join the shards of a sweep")
    .argument("<folder...>", "folders of shards, or folders that hold some")
    .option("-o, --output <folder>", "where results go (default: the first folder)")
    .option(...JSON_OPTION)
    .action(async (folders: readonly string[], options: MergeOptions) => {
      const { mergeCommand } = await import("./merge-command.js");
      exit(await mergeCommand(folders, options, output));
    });
}

function shardOf(text: string): Shard {
  const [, part, of] = /^([0-9]{1,6})\/([0-9]{1,6})$/.exec(text) ?? [];
  const shard = { part: Number(part), of: Number(of) };
  if (!(shard.part >= 1 && shard.part <= shard.of && shard.of <= MAX_SHARDS))
    throw new UsageError(
      "option --shard",
      `"${text}" is not valid`,
      `1/n to n/n, with n up to ${MAX_SHARDS}`,
    );
  return shard;
}
