import { type Command, Option } from "commander";
import { DEFAULT_NOTIFICATIONS, TRANSPORT_HOSTS, TRANSPORTS } from "../transport-names.js";
import { someOf, wholeNumber } from "./option-values.js";
import { eptOption, JSON_OPTION, machineOption, specCtrlOption } from "./simulation-options.js";

/** Options of `hyperwalk transports`. */
export function transportsOptions(command: Command): Command {
  return command
    .addOption(machineOption())
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
    .option(...JSON_OPTION);
}
