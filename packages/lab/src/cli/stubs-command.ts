import { basename } from "node:path";
import { AbiError, type AbiGroup, loadAbi } from "@hyperwalk/xen/abi-loader";
import { ownHeader } from "../stubs/c-header.js";
import { readText, writeFile } from "./files.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

/** What the command line of `stubs` says, parsed. */
export interface StubsOptions {
  /** Files that have the layouts which the described one names. */
  readonly structs: readonly string[];
  readonly output?: string;
  readonly json?: boolean;
}

/** `hyperwalk stubs`: C stubs of operations that a file describes, for every interface. @returns the exit code */
export function stubsCommand(file: string, options: StubsOptions, output: Output): number {
  const structs = options.structs.flatMap((each) => load(each, []).structs);
  const group = load(file, structs);
  const text = options.json ? `${JSON.stringify(plain(group), null, 2)}\n` : ownHeader(group, basename(file));
  if (options.output === undefined) output.out(text);
  else writeFile("option --output", options.output, text);
  return 0;
}

function load(file: string, structs: AbiGroup["structs"]): AbiGroup {
  const text = readText("argument <file>", file);
  try {
    return loadAbi(text, file, { structs });
  } catch (error) {
    if (!(error instanceof AbiError)) throw error;
    const { line, key, code, allowed } = error;
    throw new UsageError(
      "argument <file>",
      `${file}:${line}: ${code}${key === "" ? "" : ` at ${key}`}`,
      allowed,
    );
  }
}

/** Maps as objects, for JSON. */
function plain(group: AbiGroup): object {
  return { ...group, constants: Object.fromEntries(group.constants) };
}
