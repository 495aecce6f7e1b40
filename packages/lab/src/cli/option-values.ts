import type { FastForwardTarget } from "@hyperwalk/xen";
import { UsageError } from "./usage-error.js";

/** A parser for whole numbers within bounds. */
export function wholeNumber(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most))
      throw new UsageError(
        `option ${option}`,
        `"${text}" is not valid`,
        least === most ? String(least) : `a whole number from ${least} to ${most}`,
      );
    return value;
  };
}

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
const PAGE = 4096;

/** A parser for a size of memory: a number with K, M, G or T, or of MiB. Gives bytes. */
export function memorySize(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const [, digits, unit = "M"] = /^([0-9]{1,15})([KMGT])?(?:i?B)?$/i.exec(text) ?? [];
    const value = digits === undefined ? Number.NaN : Number(digits) * UNITS[unit.toUpperCase()];
    if (!(value >= least && value <= most && value % PAGE === 0))
      throw new UsageError(
        `option ${option}`,
        `"${text}" is not valid`,
        `whole pages from ${least / 2 ** 20}M to ${most / 2 ** 40}T, as a number of MiB or with K, M, G or T`,
      );
    return value;
  };
}

/** A parser for where a fast-forward ends: `marker`, an address with 0x, or a number of guest instructions. */
export function fastForwardTarget(option: string): (text: string) => FastForwardTarget {
  return (text) => {
    if (text === "marker") return { untilMarker: true };
    if (/^0x[0-9a-f]{1,16}$/i.test(text)) return { untilAddress: BigInt(text) };
    const instructions = /^[0-9]{1,15}$/.test(text) ? Number(text) : 0;
    if (instructions > 0) return { instructions };
    throw new UsageError(
      `option ${option}`,
      `"${text}" is not valid`,
      "marker, a linear address with 0x (up to 16 hexadecimal digits), or a number of guest instructions (1 or more)",
    );
  };
}

/** A parser for one word out of a list. */
export function oneOf<T extends string>(option: string, allowed: readonly T[]): (text: string) => T {
  return (text) => {
    const found = allowed.find((each) => each === text);
    if (found === undefined)
      throw new UsageError(`option ${option}`, `"${text}" is not valid`, allowed.join(", "));
    return found;
  };
}

/** A parser for words out of a list, separated by commas, each at most once; `all` stands for the whole list. */
export function someOf<T extends string>(
  option: string,
  allowed: readonly T[],
): (text: string) => readonly T[] {
  const one = oneOf(option, allowed);
  return (text) => {
    if (text === "all") return allowed;
    const found = text.split(",").map((word) => one(word.trim()));
    checkOnce(option, found, `each of ${allowed.join(", ")} once`);
    return found;
  };
}

/** What `compare` is to call: one of a benchmark guest's own operations, or a matrix of operations, of all if the list is empty. */
export type OperationChoice<T extends string> = T | readonly string[];

/** A parser for one word out of a list, for `all`, or for names with a dot in them, separated by commas. */
export function operationChoice<T extends string>(
  option: string,
  allowed: readonly T[],
): (text: string) => OperationChoice<T> {
  const one = oneOf(option, [...allowed, "all", "names as in docs/abi-reference.md"] as readonly string[]);
  return (text) => {
    if (text === "all") return [];
    if (!text.includes(".")) return one(text) as T;
    const names = text.split(",").map((word) => word.trim());
    checkOnce(option, names, "each name once");
    return names;
  };
}

function checkOnce(option: string, words: readonly string[], allowed: string): void {
  const twice = words.find((word, at) => words.indexOf(word) !== at);
  if (twice !== undefined) throw new UsageError(`option ${option}`, `"${twice}" is given twice`, allowed);
}
