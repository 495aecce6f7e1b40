import { type Command, Option } from "commander";
import { GUEST_OPERATIONS, type GuestOperation } from "../guest.js";
import type { CompareOptions } from "./compare-command.js";
import type { OperationChoice } from "./option-values.js";
import { workersOption } from "./simulation-options.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `sensitivity` says: a comparison, and which estimates to vary. */
export interface SensitivityOptions extends CompareOptions {
  /** Empty: all. */
  readonly key: readonly string[];
  /** Default: one for each processor. */
  readonly workers?: number;
}

export type ParsedSensitivityOptions = Omit<SensitivityOptions, "op"> & {
  readonly op: OperationChoice<GuestOperation>;
};

/** Options of `sensitivity` beside those of `compare`. */
export function sensitivityOptions(command: Command): Command {
  return command
    .addOption(workersOption())
    .addOption(
      new Option(
        "--key <key>",
        "vary this estimate alone, by its key in the table of compare; may be given again",
      )
        .argParser((key: string, before: readonly string[]) => [...before, key])
        .default([], "all"),
    );
}

/** @throws UsageError for a matrix of operations */
export function oneOperation(op: OperationChoice<GuestOperation>): GuestOperation {
  if (typeof op === "string") return op;
  throw new UsageError("option --op", "an analysis is of one operation", GUEST_OPERATIONS.join(", "));
}
