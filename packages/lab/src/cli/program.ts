import { Command, CommanderError, Option } from "commander";
import {
  DEFAULT_ITERATIONS,
  DEFAULT_MAX_INSTRUCTIONS,
  DEFAULT_MEMORY_MIB,
  DEFAULT_MMIO_HANDLERS,
} from "../defaults.js";
import { GUEST_OPERATIONS } from "../guest.js";
import { ABIS, GUEST_PAGES, P2M_PAGES } from "../result.js";
import { TOOL } from "../tool.js";
import type { CompareOptions } from "./compare-command.js";
import { oneOf, someOf, wholeNumber } from "./option-values.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/**
 * Runs the command line. Commands are loaded when they are called: `--help` and a mistyped option need no simulator.
 *
 * @param args without the program's name
 * @returns the exit code: 0, 1 when a guest ended badly, 2 when the command line was wrong
 */
export async function runProgram(args: readonly string[], output: Output): Promise<number> {
  let code = 0;
  const program = new Command(TOOL.name)
    .description("Run, compare and explain Xen hypercall interfaces, cycle by cycle")
    .version(TOOL.version)
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: output.err })
    .showHelpAfterError();

  program
    .command("main")
    .description(
      "the main comparison: hypercall-bench on epyc-9124, three interfaces, IBPB on exit off and on",
    )
    .action(async () => {
      const { mainCommand } = await import("./main-command.js");
      code = mainCommand(output);
    });

  compareOptions(program.command("compare"))
    .description("run one guest through several interfaces and say where the cycles go")
    .argument("<guest>", "hypercall-bench, runstate-loop, or the path of a PVH ELF file")
    .action(async (guest: string, options: CompareOptions) => {
      const { compareCommand } = await import("./compare-command.js");
      code = await compareCommand(guest, options, output);
    });

  const profiles = program
    .command("profiles")
    .description("list the machines")
    .action(async () => {
      const { profilesCommand } = await import("./profiles-command.js");
      code = profilesCommand(output);
    });
  profiles
    .command("show")
    .description("every number of one machine, with its provenance")
    .argument("<id>", "a machine's id")
    .action(async (id: string) => {
      const { profilesShowCommand } = await import("./profiles-command.js");
      code = profilesShowCommand(id, output);
    });

  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof UsageError) {
      output.err(`error: ${error.message}\n`);
      return 2;
    }
    // Commander has printed its message; help and version are not errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

function compareOptions(command: Command): Command {
  const choice = <T extends string>(
    flag: string,
    value: string,
    allowed: readonly T[],
    text: string,
  ): Option =>
    new Option(`${flag} <${value}>`, `${text}: ${allowed.join(", ")}`).argParser(oneOf(flag, allowed));
  const number = (flag: string, least: number, most: number, fallback: number, text: string): Option =>
    new Option(`${flag} <n>`, text).argParser(wholeNumber(flag, least, most)).default(fallback);
  return command
    .addOption(new Option("--machine <id>", "processor, see `hyperwalk profiles`").default("epyc-9124"))
    .addOption(
      new Option("--abi <list>", `interfaces, separated by commas: ${ABIS.join(", ")}`)
        .argParser(someOf("--abi", ABIS))
        .default([...ABIS], ABIS.join(",")),
    )
    .addOption(
      number("--iterations", 1, 2 ** 24, DEFAULT_ITERATIONS, "hypercalls in the guest's measured loop"),
    )
    .addOption(
      choice("--op", "name", GUEST_OPERATIONS, "what a benchmark guest calls").default("get_runstate_info"),
    )
    .addOption(choice("--guest-page", "size", GUEST_PAGES, "leaves of the guest's page tables").default("4k"))
    .addOption(choice("--p2m-page", "size", P2M_PAGES, "largest leaves of the p2m").default("4k"))
    .addOption(
      choice("--ibpb", "switch", ["on", "off"], "IBPB on each exit (default: as Xen chooses on the machine)"),
    )
    .addOption(
      number("--mmio-handlers", 0, 16, DEFAULT_MMIO_HANDLERS, "handlers that Xen asks on each guest copy"),
    )
    .addOption(number("--memory", 8, 2 ** 20, DEFAULT_MEMORY_MIB, "guest memory, MiB"))
    .addOption(
      number(
        "--max-instructions",
        1,
        2 ** 40,
        DEFAULT_MAX_INSTRUCTIONS,
        "stop a guest after so many instructions",
      ),
    )
    .addOption(new Option("--cmdline <text>", "appended to the guest's command line").default(""))
    .option("--json", "print one JSON document and nothing else");
}
