import { parseArgs } from "node:util";
import { UsageError } from "../packages/lab/src/cli/usage-error.js";

/** One option of a script: how its text is read, and what it is without. */
export interface ScriptOption {
  /** What stands for its value in the usage; none: a switch, read as "true". */
  readonly value?: string;
  /** @throws UsageError */
  readonly parse: (text: string) => unknown;
  readonly otherwise: unknown;
}

type Options = Readonly<Record<string, ScriptOption>>;
type Values<O extends Options> = {
  readonly [K in keyof O]: ReturnType<O[K]["parse"]> | O[K]["otherwise"];
};

/**
 * Reads the command line of a script that npm runs. A wrong one ends the process with 2, as that of `hyperwalk` does,
 * after a line that names the argument; `--help` ends it with 0.
 *
 * @param script its name in package.json
 * @param positionals checks the arguments that are not options; without it there may be none
 */
export function scriptArguments<const O extends Options>(
  script: string,
  options: O,
  positionals?: { readonly usage: string; readonly check: (texts: readonly string[]) => void },
): { readonly values: Values<O>; readonly positionals: readonly string[] } {
  const usage = usageOf(script, options, positionals?.usage);
  try {
    const parsed = parseArgs({
      allowPositionals: positionals !== undefined,
      options: {
        help: { type: "boolean" },
        ...Object.fromEntries(
          Object.entries(options).map(([name, { value }]) => [
            name,
            { type: value === undefined ? ("boolean" as const) : ("string" as const) },
          ]),
        ),
      },
    });
    if (parsed.values.help === true) {
      console.log(usage);
      process.exit(0);
    }
    positionals?.check(parsed.positionals);
    const given: Readonly<Record<string, string | boolean | undefined>> = parsed.values;
    const values = Object.entries(options).map(([name, { parse, otherwise }]) => [
      name,
      given[name] === undefined ? otherwise : parse(String(given[name])),
    ]);
    return { values: Object.fromEntries(values) as Values<O>, positionals: parsed.positionals };
  } catch (error) {
    if (error instanceof UsageError) usageFailure(error.message, usage);
    // Node's own, of an option that there is not or that lacks its value.
    if (error instanceof TypeError && "code" in error) usageFailure(error.message.split("\n")[0], usage);
    throw error;
  }
}

/** Says that the command line is wrong, and ends the process with 2. */
export function usageFailure(message: string, usage?: string): never {
  console.error(`error: ${message}`);
  if (usage !== undefined) console.error(usage);
  process.exit(2);
}

/** A parser for numbers above zero. */
export function positiveNumber(option: string): (text: string) => number {
  return (text) => {
    const value = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : 0;
    if (value > 0) return value;
    throw new UsageError(`option ${option}`, `"${text}" is not valid`, "a number above 0");
  };
}

function usageOf(script: string, options: Options, positionals: string | undefined): string {
  const words = Object.entries(options).map(([name, { value }]) =>
    value === undefined ? `[--${name}]` : `[--${name} ${value}]`,
  );
  if (positionals !== undefined) words.push(positionals);
  return `usage: npm run ${[script, ...(words.length > 0 ? ["--"] : []), ...words].join(" ")}`;
}
