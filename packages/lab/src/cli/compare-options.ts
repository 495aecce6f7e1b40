import { type Command, Option } from "commander";
import { DEFAULT_ITERATIONS } from "../defaults.js";
import { GUEST_OPERATIONS, type GuestOperation } from "../guest.js";
import type { CompareOptions } from "./compare-command.js";
import { type OperationChoice, operationChoice } from "./option-values.js";
import {
  abisOption,
  comparedOptions,
  hostsOption,
  iterationsOption,
  JSON_OPTION,
  machineOption,
  monitorOption,
} from "./simulation-options.js";

/** What the command line of `compare` says: of one operation, or of a matrix of them. */
export type ParsedCompareOptions = Omit<CompareOptions, "op"> & {
  readonly op: OperationChoice<GuestOperation>;
};

/** Options of `hyperwalk compare`, and of what compares. */
export function compareOptions(command: Command, iterations: number = DEFAULT_ITERATIONS): Command {
  const many = command
    .addOption(machineOption())
    .addOption(abisOption())
    .addOption(hostsOption())
    .addOption(monitorOption())
    .addOption(iterationsOption(iterations))
    .addOption(
      new Option(
        "--op <name>",
        `what a benchmark guest calls: ${GUEST_OPERATIONS.join(", ")}; or a matrix of operations: all, or names as vcpu.is_up, separated by commas`,
      )
        .argParser(operationChoice("--op", GUEST_OPERATIONS))
        .default("get_runstate_info"),
    );
  return comparedOptions(many).option(...JSON_OPTION);
}
