import { Command, CommanderError, Option } from "commander";
import { BOOT_EXIT_CODES } from "../boot-exit-code.js";
import {
  DEFAULT_BOOT_INSTRUCTIONS,
  DEFAULT_BOOT_MEMORY,
  DEFAULT_ITERATIONS,
  DEFAULT_SENSITIVITY_ITERATIONS,
} from "../defaults.js";
import { FileError } from "../file-error.js";
import { GUEST_OPERATIONS, type GuestOperation } from "../guest.js";
import { DEFAULT_MEMSLOT_UPDATES } from "../memslot-names.js";
import { ABIS, COMPARED_ABIS, HOSTS, KVM_ABIS, P2M_PAGES } from "../result.js";
import { TOOL } from "../tool.js";
import { DEFAULT_NOTIFICATIONS, TRANSPORT_HOSTS, TRANSPORTS } from "../transport-names.js";
import type { ArmOptions } from "./arm-command.js";
import type { BootOptions } from "./boot-command.js";
import type { CompareOptions } from "./compare-command.js";
import type { MemslotsOptions } from "./memslots-command.js";
import {
  memorySize,
  type OperationChoice,
  oneOf,
  operationChoice,
  someOf,
  wholeNumber,
} from "./option-values.js";
import type { Output } from "./output.js";
import type { PlaygroundOptions } from "./playground-command.js";
import { profilesCommands } from "./profiles-options.js";
import { registerRecording } from "./recording-options.js";
import { registerReport } from "./report-options.js";
import { scenarioCommands } from "./scenario-commands.js";
import { oneOperation, type ParsedSensitivityOptions, sensitivityOptions } from "./sensitivity-options.js";
import { comparedOptions, eptOption, fastForwardOption, specCtrlOption } from "./simulation-options.js";
import { registerTrace } from "./trace-options.js";
import type { TransportsOptions } from "./transports-command.js";
import { UsageError } from "./usage-error.js";
import type { ValidateOptions } from "./validate-command.js";
import { validateOptions } from "./validate-options.js";

type ParsedCompareOptions = Omit<CompareOptions, "op"> & { readonly op: OperationChoice<GuestOperation> };

/** Those of `@hyperwalk/xen`, which help does not load. */
const BOOT_PROTOCOL_NAMES = ["pvh", "multiboot", "hvm"] as const;
/** That of `@hyperwalk/xen`, too. */
const MAX_VCPUS = 32;
/** Those of the Arm experiment, which help does not load either. */
const ARM_STATE_NAMES = ["hot", "tlb-cold", "cold"] as const;

/**
 * Runs the command line. Commands are loaded when they are called: `--help` and a mistyped option need no simulator.
 *
 * @param args without the program's name
 * @returns the exit code: 0, 1 when a guest ended badly, 2 when the command line was wrong; more of `boot`
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
    .action(async (guest: string, parsed: ParsedCompareOptions) => {
      const { op, ...options } = parsed;
      if (typeof op === "string") {
        const { compareCommand } = await import("./compare-command.js");
        code = await compareCommand(guest, { ...options, op }, output);
      } else {
        const { matrixCommand } = await import("./matrix-command.js");
        code = await matrixCommand(guest, op, options, output);
      }
    });

  sensitivityOptions(compareOptions(program.command("sensitivity"), DEFAULT_SENSITIVITY_ITERATIONS))
    .description("push every estimate that a comparison rests on to both ends of its range, and rank them")
    .argument("<guest>", "as of compare")
    .action(async (guest: string, { op, ...options }: ParsedSensitivityOptions) => {
      const { sensitivityCommand } = await import("./sensitivity-command.js");
      code = await sensitivityCommand(guest, { ...options, op: oneOperation(op) }, output);
    });

  bootOptions(program.command("boot"))
    .description("boot an image under Xen: PVH, multiboot, or ELF with a 32-bit entry")
    .argument("[image]", "path of the image; without one, --xl says it")
    .action(async (image: string | undefined, options: BootOptions, command: Command) => {
      const { bootCommand, bootFromXl } = await import("./boot-command.js");
      const given = (option: keyof BootOptions) => command.getOptionValueSource(option) === "cli";
      code = await bootCommand(bootFromXl(image, options, given), output);
    });

  registerRecording(program, output, (exitCode) => {
    code = exitCode;
  });

  registerTrace(program, output, (exitCode) => {
    code = exitCode;
  });

  registerReport(program, output, (exitCode) => {
    code = exitCode;
  });

  transportsOptions(program.command("transports"))
    .description("notify a device by hypercall, port I/O, MMIO and shared rings, and say where the cycles go")
    .action(async (options: TransportsOptions) => {
      const { transportsCommand } = await import("./transports-command.js");
      code = await transportsCommand(options, output);
    });

  memslotsOptions(program.command("memslots"))
    .description(
      "deliver events at every point of an update of KVM's memory slots: shared_info by GFN and by HVA",
    )
    .action(async (options: MemslotsOptions) => {
      const { memslotsCommand } = await import("./memslots-command.js");
      code = await memslotsCommand(options, output);
    });

  armOptions(program.command("arm"))
    .description(
      "on Arm: a hypercall by virtual address (AT S12E1R) against one by physical address, and both while another vCPU changes the mapping",
    )
    .action(async (options: ArmOptions) => {
      const { armCommand } = await import("./arm-command.js");
      code = await armCommand(options, output);
    });

  program
    .command("playground")
    .description("serve the playground to this machine: a page that simulates in the browser")
    .addOption(
      new Option("--port <n>", "port on 127.0.0.1; 0: any that is free")
        .argParser(wholeNumber("--port", 0, 65535))
        .default(0),
    )
    .action(async (options: PlaygroundOptions) => {
      const { playgroundCommand } = await import("./playground-command.js");
      code = await playgroundCommand(options, output);
    });
  scenarioCommands(program, output, (ended) => {
    code = ended;
  });

  validateOptions(program.command("validate"))
    .description("every published figure beside what the simulator says, with the error and what it rests on")
    .action(async (options: ValidateOptions) => {
      const { validateCommand } = await import("./validate-command.js");
      code = await validateCommand(options, output);
    });

  profilesCommands(
    program,
    (started) => {
      code = started;
    },
    output,
  );

  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof UsageError || error instanceof FileError) {
      output.err(`error: ${error.message}\n`);
      return 2;
    }
    // Commander has printed its message; help and version are not errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

function bootOptions(command: Command): Command {
  const codes = Object.values(BOOT_EXIT_CODES).map(([code, text]) => `  ${code}  ${text}`);
  return command
    .option(
      "--xl <file>",
      "a domain as xl.cfg describes it, in place of <image> and the options that it has keys for",
    )
    .addOption(new Option("--cmdline <text>", "the guest's command line").default(""))
    .addOption(
      new Option("--module <file>", "a file that the boot loader passes on; may be given again")
        .argParser((file: string, before: readonly string[]) => [...before, file])
        .default([], "none"),
    )
    .addOption(
      new Option("--protocol <name>", `how the image starts: ${BOOT_PROTOCOL_NAMES.join(", ")}`).argParser(
        oneOf("--protocol", BOOT_PROTOCOL_NAMES),
      ),
    )
    .addOption(
      new Option("--vcpus <n>", `virtual CPUs, each on a processor of its own: 1 to ${MAX_VCPUS}`)
        .argParser(wholeNumber("--vcpus", 1, MAX_VCPUS))
        .default(1),
    )
    .addOption(
      new Option("--memory <size>", "guest memory: MiB, or with K, M, G, T")
        .argParser(memorySize("--memory", 2 ** 20, 2 ** 40))
        .default(DEFAULT_BOOT_MEMORY, `${DEFAULT_BOOT_MEMORY / 2 ** 20}M`),
    )
    .addOption(
      new Option("--machine <id>", "processor: see `hyperwalk profiles`, or a profile file").default(
        "epyc-9124",
      ),
    )
    .addOption(
      new Option("--abi <name>", `hypercall interface: ${ABIS.join(", ")}`)
        .argParser(oneOf("--abi", ABIS))
        .default("linear"),
    )
    .addOption(specCtrlOption())
    .addOption(eptOption())
    .option("--rfc-quirks", "FastABI as the code of the RFC has it, where that is not what its document says")
    .option(
      "--fixed-memory-layout",
      "map shared_info and the grant table before the guest starts, above its RAM",
    )
    .option("--hardware-domain", "the guest may write to Xen's own console and has no PV console")
    .addOption(
      new Option("--max-instructions <n>", "stop the guest after so many instructions")
        .argParser(wholeNumber("--max-instructions", 1, 2 ** 50))
        .default(DEFAULT_BOOT_INSTRUCTIONS),
    )
    .addOption(fastForwardOption())
    .addOption(
      new Option(
        "--snapshot-at <n>",
        "after so many instructions since the guest's start, or at once if --restore or --fast-forward went past them, write the whole system to the file of --snapshot, and go on",
      ).argParser(wholeNumber("--snapshot-at", 1, 2 ** 50)),
    )
    .option("--snapshot <file>", "where --snapshot-at writes it")
    .option("--restore <file>", "go on from such a file, with the same image, machine and options")
    .option("--trace <file>", "write a line of JSON for each hypercall and VM exit")
    .option("--json", "print one JSON document and nothing else")
    .addHelpText(
      "after",
      `\nExit code: what the guest writes to an exit port (port 0xf4 of multiboot guests, low 7 bits), or\n${codes.join("\n")}`,
    );
}

function transportsOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--machine <id>", "processor: see `hyperwalk profiles`, or a profile file").default(
        "epyc-9124",
      ),
    )
    .addOption(
      new Option("--host <list>", `hypervisors, separated by commas, or all: ${TRANSPORT_HOSTS.join(", ")}`)
        .argParser(someOf("--host", TRANSPORT_HOSTS))
        .default([...TRANSPORT_HOSTS], "all"),
    )
    .addOption(
      new Option("--transport <list>", `separated by commas, or all: ${TRANSPORTS.join(", ")}`)
        .argParser(someOf("--transport", TRANSPORTS))
        .default([...TRANSPORTS], "all"),
    )
    .addOption(
      new Option("--iterations <n>", "notifications in the guest's measured loop")
        .argParser(wholeNumber("--iterations", 2, 2 ** 20))
        .default(DEFAULT_NOTIFICATIONS),
    )
    .addOption(specCtrlOption())
    .addOption(eptOption())
    .option("--json", "print one JSON document and nothing else");
}

function memslotsOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--machine <id>", "processor: see `hyperwalk profiles`, or a profile file").default(
        "epyc-9124",
      ),
    )
    .addOption(
      new Option(
        "--update <list>",
        `what happens to the slots, separated by commas, or all: ${DEFAULT_MEMSLOT_UPDATES.join(", ")}`,
      )
        .argParser(someOf("--update", DEFAULT_MEMSLOT_UPDATES))
        .default([...DEFAULT_MEMSLOT_UPDATES], "all"),
    )
    .option("--json", "print one JSON document and nothing else");
}

function armOptions(command: Command): Command {
  const list = <T extends string>(flag: string, value: string, allowed: readonly T[], text: string): Option =>
    new Option(`${flag} <${value}>`, `${text}, separated by commas, or all: ${allowed.join(", ")}`)
      .argParser(someOf(flag, allowed))
      .default([...allowed], "all");
  return command
    .addOption(new Option("--machine <id>", "Arm processor: neoverse-n1").default("neoverse-n1"))
    .addOption(list("--stage1", "sizes", P2M_PAGES, "leaves of the guest's tables"))
    .addOption(list("--stage2", "sizes", P2M_PAGES, "leaves of the p2m"))
    .addOption(list("--state", "states", ARM_STATE_NAMES, "what is warm when the call begins"))
    .addOption(list("--pages", "list", ["1", "2"], "pages that the structure lies in"))
    .addOption(
      new Option("--bytes <n>", "bytes of the structure")
        .argParser(wholeNumber("--bytes", 2, 2048))
        .default(48),
    )
    .addOption(
      new Option(
        "--direction <way>",
        "in: Xen reads the structure (AT S12E1R); out: it writes it (AT S12E1W)",
      )
        .argParser(oneOf("--direction", ["in", "out"]))
        .default("in"),
    )
    .addOption(
      new Option("--va-bits <n>", "bits of the guest's virtual addresses (default: 48)").argParser(
        wholeNumber("--va-bits", 39, 48),
      ),
    )
    .addOption(
      new Option(
        "--ipa-bits <n>",
        "bits of intermediate physical addresses (default: as Xen chooses on the machine)",
      ).argParser(wholeNumber("--ipa-bits", 32, 48)),
    )
    .option("--json", "print one JSON document and nothing else");
}

function compareOptions(command: Command, iterations: number = DEFAULT_ITERATIONS): Command {
  const many = command
    .addOption(
      new Option("--machine <id>", "processor: see `hyperwalk profiles`, or a profile file").default(
        "epyc-9124",
      ),
    )
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
    .addOption(
      new Option("--iterations <n>", "hypercalls in the guest's measured loop")
        .argParser(wholeNumber("--iterations", 1, 2 ** 24))
        .default(iterations),
    )
    .addOption(
      new Option(
        "--op <name>",
        `what a benchmark guest calls: ${GUEST_OPERATIONS.join(", ")}; or a matrix of operations: all, or names as vcpu.is_up, separated by commas`,
      )
        .argParser(operationChoice("--op", GUEST_OPERATIONS))
        .default("get_runstate_info"),
    );
  return comparedOptions(many).option("--json", "print one JSON document and nothing else");
}
