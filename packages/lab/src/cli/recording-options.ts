import { type Command, Option } from "commander";
import {
  DEFAULT_BOOT_INSTRUCTIONS,
  DEFAULT_BOOT_MEMORY,
  DEFAULT_ITERATIONS,
  DEFAULT_MMIO_HANDLERS,
} from "../defaults.js";
import { GUEST_OPERATIONS } from "../guest.js";
import { ABIS, COMPARED_ABIS, GUEST_PAGES, HOSTS, KVM_ABIS, P2M_PAGES } from "../result.js";
import type { ImportXentraceOptions } from "./import-xentrace-command.js";
import { memorySize, oneOf, someOf, wholeNumber } from "./option-values.js";
import type { Output } from "./output.js";
import type { RecordOptions } from "./record-command.js";
import type { RecostOptions } from "./recost-command.js";
import { eptOption, fastForwardOption, specCtrlOption } from "./simulation-options.js";

/** Those of `recording/record.ts`, which help does not load. */
const RECORDED_ABIS = ["linear", "physaddr", "percall", "fastabi"] as const;
/** Those of `@hyperwalk/xen`, too. */
const BOOT_PROTOCOL_NAMES = ["pvh", "multiboot", "hvm"] as const;
const MAX_VCPUS = 32;

/** Those of `recording/replay-plan.ts`, and powers of two: KiB that stand for what a guest touches between two calls. */
const BETWEEN = ["instructions", "nothing"] as const;
const FOOTPRINTS = Array.from({ length: 15 }, (_, power) => String(2 ** power));
const DEFAULT_FOOTPRINT = 32;

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
    .addOption(
      new Option("--machine <id>", "processor: see `hyperwalk profiles`, or a profile file").default(
        "epyc-9124",
      ),
    )
    .addOption(
      new Option("--abi <name>", `hypercall interface: ${RECORDED_ABIS.join(", ")}`)
        .argParser(oneOf("--abi", RECORDED_ABIS))
        .default("linear"),
    )
    .addOption(
      new Option("--cmdline <text>", "the guest's command line, or what is appended to it").default(""),
    )
    .addOption(
      new Option("--memory <size>", "guest memory: MiB, or with K, M, G, T")
        .argParser(memorySize("--memory", 2 ** 20, 2 ** 40))
        .default(DEFAULT_BOOT_MEMORY, `${DEFAULT_BOOT_MEMORY / 2 ** 20}M`),
    )
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
    .addOption(
      new Option("--max-instructions <n>", "stop the guest after so many instructions")
        .argParser(wholeNumber("--max-instructions", 1, 2 ** 50))
        .default(DEFAULT_BOOT_INSTRUCTIONS),
    )
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
    .addOption(
      new Option("--module <file>", "of an image: a file that the boot loader passes on; may be given again")
        .argParser((file: string, before: readonly string[]) => [...before, file])
        .default([], "none"),
    )
    .addOption(
      new Option(
        "--protocol <name>",
        `of an image: how it starts: ${BOOT_PROTOCOL_NAMES.join(", ")}`,
      ).argParser(oneOf("--protocol", BOOT_PROTOCOL_NAMES)),
    )
    .addOption(
      new Option("--vcpus <n>", `of an image: virtual CPUs, 1 to ${MAX_VCPUS}`)
        .argParser(wholeNumber("--vcpus", 1, MAX_VCPUS))
        .default(1),
    )
    .option("--hardware-domain", "of an image: it may write to Xen's own console and has no PV console")
    .option("--json", "print one JSON document and nothing else");
}

function recostOptions(command: Command): Command {
  return command
    .addOption(new Option("--machine <id>", "processor, see `hyperwalk profiles` (default: the record's)"))
    .addOption(
      new Option("--abi <list>", `interfaces, separated by commas, or all: ${ABIS.join(", ")}`)
        .argParser(someOf("--abi", ABIS))
        .default(COMPARED_ABIS, COMPARED_ABIS.join(",")),
    )
    .addOption(
      new Option(
        "--host <list>",
        `hypervisors, separated by commas, or all: ${HOSTS.join(", ")}; kvm has ${KVM_ABIS.join(", ")} alone`,
      )
        .argParser(someOf("--host", HOSTS))
        .default(["xen"], "xen"),
    )
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
        .default(DEFAULT_FOOTPRINT),
    )
    .option("--json", "print one JSON document and nothing else");
}

function importXentraceOptions(command: Command): Command {
  return command
    .requiredOption("-o, --output <file>", "where the mix goes")
    .addOption(
      new Option("--domain <id>", "this domain's hypercalls alone (default: all)").argParser(
        wholeNumber("--domain", 0, 0x7fff),
      ),
    )
    .option("--json", "print one JSON document and nothing else");
}
