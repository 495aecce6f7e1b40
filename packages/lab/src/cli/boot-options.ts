import { type Command, Option } from "commander";
import { BOOT_EXIT_CODES } from "../boot-exit-code.js";
import { ABIS } from "../result.js";
import { oneOf, wholeNumber } from "./option-values.js";
import {
  bootInstructionsOption,
  bootMemoryOption,
  eptOption,
  fastForwardOption,
  JSON_OPTION,
  machineOption,
  moduleOption,
  monitorOption,
  oneHostOption,
  protocolOption,
  specCtrlOption,
  vcpusOption,
} from "./simulation-options.js";

/** Options of `hyperwalk boot`. */
export function bootOptions(command: Command): Command {
  const codes = Object.values(BOOT_EXIT_CODES).map(([code, text]) => `  ${code}  ${text}`);
  return command
    .option(
      "--xl <file>",
      "a domain as xl.cfg describes it, in place of <image> and the options that it has keys for",
    )
    .addOption(new Option("--cmdline <text>", "the guest's command line").default(""))
    .addOption(moduleOption())
    .addOption(protocolOption("how the image starts"))
    .addOption(vcpusOption("virtual CPUs, each on a processor of its own:"))
    .addOption(bootMemoryOption())
    .addOption(machineOption())
    .addOption(
      new Option("--abi <name>", `hypercall interface: ${ABIS.join(", ")}`)
        .argParser(oneOf("--abi", ABIS))
        .default("linear"),
    )
    .addOption(oneHostOption())
    .addOption(monitorOption())
    .addOption(specCtrlOption())
    .addOption(eptOption())
    .option("--rfc-quirks", "FastABI as the code of the RFC has it, where that is not what its document says")
    .option(
      "--fixed-memory-layout",
      "map shared_info and the grant table before the guest starts, above its RAM",
    )
    .option("--hardware-domain", "the guest may write to Xen's own console and has no PV console")
    .addOption(bootInstructionsOption())
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
    .option(...JSON_OPTION)
    .addHelpText(
      "after",
      `\nExit code: what the guest writes to an exit port (port 0xf4 of multiboot guests, low 7 bits), or\n${codes.join("\n")}`,
    );
}
