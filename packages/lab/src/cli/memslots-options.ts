import { type Command, Option } from "commander";
import { DEFAULT_MEMSLOT_UPDATES } from "../memslot-names.js";
import { someOf } from "./option-values.js";
import { JSON_OPTION, machineOption } from "./simulation-options.js";

/** Options of `hyperwalk memslots`. */
export function memslotsOptions(command: Command): Command {
  return command
    .addOption(machineOption())
    .addOption(
      new Option(
        "--update <list>",
        `what happens to the slots, separated by commas, or all: ${DEFAULT_MEMSLOT_UPDATES.join(", ")}`,
      )
        .argParser(someOf("--update", DEFAULT_MEMSLOT_UPDATES))
        .default([...DEFAULT_MEMSLOT_UPDATES], "all"),
    )
    .option(...JSON_OPTION);
}
