import { type Command, Option } from "commander";
import { LONG_PARTS, VALIDATION_PARTS } from "../validation/validation-parts.js";
import { someOf } from "./option-values.js";
import { JSON_OPTION } from "./simulation-options.js";

/** Options of `hyperwalk validate`. */
export function validateOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--only <list>",
        `parts, separated by commas, or all: ${VALIDATION_PARTS.join(", ")} (default: all but the long ones)`,
      ).argParser(someOf("--only", VALIDATION_PARTS)),
    )
    .option("--long", `the long parts too, minutes and a gigabyte of memory: ${LONG_PARTS.join(", ")}`)
    .option(
      "--write <file>",
      "write the results into the generated blocks of a page, such as docs/validation.md",
    )
    .option("--check <file>", "end with 1 when a generated block of the page is stale")
    .option(...JSON_OPTION);
}
