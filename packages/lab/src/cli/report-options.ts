import { type Command, Option } from "commander";
import type { Output } from "./output.js";
import type { ReportOptions } from "./report-command.js";
import { workersOption } from "./simulation-options.js";

/** Adds `report`. @param exit given its exit code */
export function registerReport(program: Command, output: Output, exit: (code: number) => void): void {
  program
    .command("report")
    .description(
      "write one HTML page of charts and tables about a scenario, or about what other commands found",
    )
    .argument(
      "<input...>",
      "a scenario file to run, with or without a sweep; or one or two files of compare --json or run, the folder of a sweep, an analysis of sensitivity; - is standard input",
    )
    .addOption(new Option("-o, --output <file>", "the page").default("report.html"))
    .option("--title <text>", "its title (default: what was run)")
    .option("--no-sensitivity", "of a scenario: leave out what the estimates' ranges do, which takes longest")
    .addOption(workersOption())
    .option("--json", "print what was written as one JSON document")
    .action(async (inputs: string[], options: ReportOptions) => {
      const { reportCommand } = await import("./report-command.js");
      exit(await reportCommand(inputs, options, output));
    });
}
