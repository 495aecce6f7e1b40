import { type Command, Option } from "commander";
import { DEFAULT_ITERATIONS, DEFAULT_MMIO_HANDLERS } from "../defaults.js";
import { GUEST_OPERATIONS } from "../guest.js";
import { BETWEEN, DEFAULT_FOOTPRINT, RECORDED_ABIS } from "../recording/recording-names.js";
import { GUEST_PAGES, P2M_PAGES } from "../result.js";
import type { ImportXentraceOptions } from "./import-xentrace-command.js";
import { oneOf, wholeNumber } from "./option-values.js";
import type { Output } from "./output.js";
import type { RecordOptions } from "./record-command.js";
import type { RecostOptions } from "./recost-command.js";
import {
  abisOption,
  bootInstructionsOption,
  bootMemoryOption,
  eptOption,
  fastForwardOption,
  hostsOption,
  JSON_OPTION,
  machineOption,
  moduleOption,
  protocolOption,
  specCtrlOption,
  vcpusOption,
} from "./simulation-options.js";

/** Powers of two: KiB that stand for what a guest touches between two calls. */
const FOOTPRINTS = Array.from({ length: 15 }, (_, power) => String(2 ** power));

/** Adds the commands that write and read records of hypercalls. @param exit given the exit code of the one that ran */
export function registerRecording(program: Command, output: Output, exit: (code: number) => void): void {
  recordOptions(program.command("record"))
    .description("run a guest and write down the hypercalls that it makes, one line of JSON for each")
    .argument("<guest>", "hypercall-bench, runstate-loop, or the path of an image as `boot` takes it")
    .action(async (guest: string, options: RecordOptions, command: Command) => {
      const { recordCommand } = await import("./record-command.js");
      const given = (option: keyof RecordOptions) => command.getOptionValueSource(option) === "cli";
      exit(await recordCommand(guest, options, given, output));
    });

  recostOptions(program.command("recost"))
    .description(
      "repeat the hypercalls of a record through other interfaces, machines and hosts, and price them there",
    )
    .argument("<file>", "what `record` or `import-xentrace` wrote")
    .action(async (file: string, options: RecostOptions, command: Command) => {
      const { recostCommand } = await import("./recost-command.js");
      const given = (option: keyof RecostOptions) => command.getOptionValueSource(option) === "cli";
      exit(await recostCommand(file, options, given, output));
    });

  importXentraceOptions(program.command("import-xentrace"))
    .description(
      "make a mix of hypercalls, for `recost` to price, of a trace that xentrace wrote on a real host",
    )
    .argument("<file>", "xentrace's binary output")
    .action(async (file: string, options: ImportXentraceOptions) => {
      const { importXentraceCommand } = await import("./import-xentrace-command.js");
      exit(await importXentraceCommand(file, options, output));
    });
}

function recordOptions(command: Command): Command {
  return command
    .requiredOption("-o, --output <file>", "where the record goes")
    .addOption(machineOption())
    .addOption(
      new Option("--abi <name>", `hypercall interface: ${RECORDED_ABIS.join(", ")}`)
        .argParser(oneOf("--abi", RECORDED_ABIS))
        .default("linear"),
    )
    .addOption(
      new Option("--cmdline <text>", "the guest's command line, or what is appended to it").default(""),
    )
    .addOption(bootMemoryOption())
    .addOption(
      new Option(
        "--p2m-page <size>",
        `largest leaves of the p2m: ${P2M_PAGES.join(", ")} (default: 2m, 4k of a built-in guest)`,
      ).argParser(oneOf("--p2m-page", P2M_PAGES)),
    )
    .addOption(
      new Option(
        "--mmio-handlers <n>",
        `handlers that Xen asks on each guest copy (default: 1, ${DEFAULT_MMIO_HANDLERS} of a built-in guest)`,
      ).argParser(wholeNumber("--mmio-handlers", 0, 16)),
    )
    .addOption(specCtrlOption())
    .addOption(eptOption())
    .addOption(bootInstructionsOption())
    .addOption(fastForwardOption())
    .addOption(
      new Option("--iterations <n>", "of a built-in guest: hypercalls in its measured loop")
        .argParser(wholeNumber("--iterations", 1, 2 ** 24))
        .default(DEFAULT_ITERATIONS),
    )
    .addOption(
      new Option("--op <name>", `of a built-in guest: what it calls: ${GUEST_OPERATIONS.join(", ")}`)
        .argParser(oneOf("--op", GUEST_OPERATIONS))
        .default("get_runstate_info"),
    )
    .addOption(
      new Option(
        "--guest-page <size>",
        `of a built-in guest: leaves of its page tables: ${GUEST_PAGES.join(", ")}`,
      )
        .argParser(oneOf("--guest-page", GUEST_PAGES))
        .default("4k"),
    )
    .addOption(moduleOption("of an image: "))
    .addOption(protocolOption("of an image: how it starts"))
    .addOption(vcpusOption("of an image: virtual CPUs,"))
    .option("--hardware-domain", "of an image: it may write to Xen's own console and has no PV console")
    .option(...JSON_OPTION);
}

function recostOptions(command: Command): Command {
  return command
    .addOption(new Option("--machine <id>", "processor, see `hyperwalk profiles` (default: the record's)"))
    .addOption(abisOption())
    .addOption(hostsOption())
    .addOption(specCtrlOption())
    .addOption(eptOption())
    .addOption(
      new Option(
        "--p2m-page <size>",
        `largest leaves of the p2m: ${P2M_PAGES.join(", ")} (default: the record's)`,
      ).argParser(oneOf("--p2m-page", P2M_PAGES)),
    )
    .addOption(
      new Option(
        "--mmio-handlers <n>",
        "handlers that Xen asks on each guest copy (default: the record's)",
      ).argParser(wholeNumber("--mmio-handlers", 0, 16)),
    )
    .addOption(
      new Option(
        "--guest-page <size>",
        `leaves of the replay's page tables: ${GUEST_PAGES.join(", ")} (default: those that the recorded walks show)`,
      ).argParser(oneOf("--guest-page", GUEST_PAGES)),
    )
    .addOption(
      new Option(
        "--between <what>",
        "what stands for the guest's own work between two calls: as many instructions as were recorded, or nothing",
      )
        .argParser(oneOf("--between", BETWEEN))
        .default("instructions"),
    )
    .addOption(
      new Option("--footprint <KiB>", "memory that those instructions go through, a power of two up to 16384")
        .argParser((text: string) => Number(oneOf("--footprint", FOOTPRINTS)(text)))
        .default(DEFAULT_FOOTPRINT / 1024),
    )
    .option(...JSON_OPTION);
}

function importXentraceOptions(command: Command): Command {
  return command
    .requiredOption("-o, --output <file>", "where the mix goes")
    .addOption(
      new Option("--domain <id>", "this domain's hypercalls alone (default: all)").argParser(
        wholeNumber("--domain", 0, 0x7fff),
      ),
    )
    .option(...JSON_OPTION);
}
