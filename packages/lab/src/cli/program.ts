import { Command, CommanderError, Option } from "commander";
import { DEFAULT_SENSITIVITY_ITERATIONS } from "../defaults.js";
import { FileError } from "../file-error.js";
import { TOOL } from "../tool.js";
import type { ArmOptions } from "./arm-command.js";
import { armOptions } from "./arm-options.js";
import type { BootOptions } from "./boot-command.js";
import { bootOptions } from "./boot-options.js";
import { compareOptions, type ParsedCompareOptions } from "./compare-options.js";
import type { MemslotsOptions } from "./memslots-command.js";
import { memslotsOptions } from "./memslots-options.js";
import { wholeNumber } from "./option-values.js";
import type { Output } from "./output.js";
import type { PlaygroundOptions } from "./playground-command.js";
import { registerProfiles } from "./profiles-options.js";
import { registerRecording } from "./recording-options.js";
import { registerReport } from "./report-options.js";
import { registerScenarios } from "./scenario-commands.js";
import { oneOperation, type ParsedSensitivityOptions, sensitivityOptions } from "./sensitivity-options.js";
import { registerTrace } from "./trace-options.js";
import type { TransportsOptions } from "./transports-command.js";
import { transportsOptions } from "./transports-options.js";
import { UsageError } from "./usage-error.js";
import type { ValidateOptions } from "./validate-command.js";
import { validateOptions } from "./validate-options.js";

/**
 * Runs the command line. Commands are loaded when they are called: `--help` and a mistyped option need no simulator.
 *
 * @param args without the program's name
 * @returns the exit code: 0, 1 when a guest ended badly, 2 when the command line was wrong; more of `boot`
 */
export async function runProgram(args: readonly string[], output: Output): Promise<number> {
  let code = 0;
  const exit = (ended: number): void => {
    code = ended;
  };
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
    .description("boot an image under Xen or KVM: PVH, multiboot, or ELF with a 32-bit entry")
    .argument("[image]", "path of the image; without one, --xl says it")
    .action(async (image: string | undefined, options: BootOptions, command: Command) => {
      const { bootCommand, bootFromXl } = await import("./boot-command.js");
      const given = (option: keyof BootOptions) => command.getOptionValueSource(option) === "cli";
      code = await bootCommand(bootFromXl(image, options, given), output);
    });

  registerRecording(program, output, exit);

  registerTrace(program, output, exit);

  registerReport(program, output, exit);

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
  registerScenarios(program, output, exit);

  validateOptions(program.command("validate"))
    .description("every published figure beside what the simulator says, with the error and what it rests on")
    .action(async (options: ValidateOptions) => {
      const { validateCommand } = await import("./validate-command.js");
      code = await validateCommand(options, output);
    });

  registerProfiles(program, output, exit);

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
