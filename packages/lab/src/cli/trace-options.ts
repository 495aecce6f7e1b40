import { type Command, Option } from "commander";
import { GUEST_OPERATIONS } from "../guest.js";
import { ABIS } from "../result.js";
import { DEFAULT_TIMELINE_ITERATIONS } from "../timeline/timeline-defaults.js";
import { DEFAULT_TRACED_CALLS, TRACE_FORMATS } from "../timeline/trace-formats.js";
import { oneOf, wholeNumber } from "./option-values.js";
import type { Output } from "./output.js";
import { comparedOptions, iterationsOption, machineOption, oneHostOption } from "./simulation-options.js";
import type { TraceOptions } from "./trace-command.js";

/** Adds `trace`. @param exit given its exit code */
export function registerTrace(program: Command, output: Output, exit: (code: number) => void): void {
  traceOptions(program.command("trace"))
    .description("show where the time of single hypercalls goes, function by function, in a trace viewer")
    .argument("<guest>", "hypercall-bench, runstate-loop, or the path of a PVH ELF file")
    .action(async (guest: string, options: TraceOptions) => {
      const { traceCommand } = await import("./trace-command.js");
      exit(await traceCommand(guest, options, output));
    })
    .addHelpText(
      "after",
      `
Formats:
  perfetto    Trace Event Format, for https://ui.perfetto.dev and chrome://tracing
  speedscope  for https://www.speedscope.app, values in cycles
  folded      stacks for flame graphs, weights in ticks: 256 to the cycle`,
    );
}

function traceOptions(command: Command): Command {
  const fixed = command
    .addOption(
      new Option("--format <name>", `what to write: ${TRACE_FORMATS.join(", ")}`)
        .argParser(oneOf("--format", TRACE_FORMATS))
        .default("perfetto"),
    )
    .option(
      "-o, --output <file>",
      "where to write it, and print a summary instead (default: standard output)",
    )
    .addOption(
      new Option(
        "--calls <n>",
        `hypercalls from the beginning of the measured window (default: ${DEFAULT_TRACED_CALLS})`,
      ).argParser(wholeNumber("--calls", 1, 2 ** 16)),
    )
    .option("--first", "the first hypercall of the run, when nothing is warm, instead")
    .option("--all", "the whole run instead")
    .addOption(machineOption())
    .addOption(
      new Option("--abi <name>", `interface: ${ABIS.join(", ")}`)
        .argParser(oneOf("--abi", ABIS))
        .default("linear"),
    )
    .addOption(oneHostOption())
    .addOption(iterationsOption(DEFAULT_TIMELINE_ITERATIONS))
    .addOption(
      new Option("--op <name>", `what a benchmark guest calls: ${GUEST_OPERATIONS.join(", ")}`)
        .argParser(oneOf("--op", GUEST_OPERATIONS))
        .default("get_runstate_info"),
    );
  return comparedOptions(fixed);
}
