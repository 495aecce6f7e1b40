import { type Command, Option } from "commander";
import { P2M_PAGES } from "../result.js";
import { oneOf, someOf, wholeNumber } from "./option-values.js";
import { JSON_OPTION } from "./simulation-options.js";

/** Those of the Arm experiment, which help does not load. */
const ARM_STATE_NAMES = ["hot", "tlb-cold", "cold"] as const;

/** Options of `hyperwalk arm`. */
export function armOptions(command: Command): Command {
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
    .option(...JSON_OPTION);
}
