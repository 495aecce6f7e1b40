import { z } from "zod";

type Issue = z.core.$ZodIssue;

/** What is wrong with a value, in words. */
export interface SchemaProblem {
  readonly path: readonly PropertyKey[];
  readonly problem: string;
  readonly allowed: string;
}

/** Keys with values and no others. The message of a stray key, for {@link problemOf}, is the list of those there are. */
export function section<T extends z.core.$ZodLooseShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  return z.strictObject(shape, {
    error: ({ code }) => (code === "unrecognized_keys" ? Object.keys(shape).join(", ") : undefined),
  });
}

/** One issue of a schema check as one problem: of a union's branches, the one that the value comes nearest to. */
export function problemOf(issue: Issue, root: unknown, before: readonly PropertyKey[] = []): SchemaProblem {
  const path = [...before, ...issue.path];
  const found = shown(at(root, path));
  switch (issue.code) {
    case "unrecognized_keys":
      return {
        path: [...path, issue.keys[0]],
        problem: "there is no such key",
        allowed: issue.message,
      };
    case "invalid_value":
      return { path, problem: found, allowed: issue.values.map(String).join(", ") };
    case "invalid_type":
      return { path, problem: found, allowed: TYPES[issue.expected] ?? issue.expected };
    case "too_small":
      return {
        path,
        problem: found,
        allowed: `${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}${unitOf(issue.origin)}`,
      };
    case "too_big":
      return { path, problem: found, allowed: `at most ${issue.maximum}${unitOf(issue.origin)}` };
    case "invalid_format":
      return { path, problem: found, allowed: formatOf(issue) };
    case "invalid_union":
      return nearest(issue.errors, root, path, found);
    case "invalid_key":
    case "invalid_element":
      return problemOf(issue.issues[0], root, path);
    case "custom":
      return {
        path,
        problem: issue.message,
        allowed: String((issue.params as { allowed?: string } | undefined)?.allowed ?? ""),
      };
    case "not_multiple_of":
      return { path, problem: found, allowed: `a multiple of ${issue.divisor}` };
  }
}

const TYPES: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  array: "a list",
  object: "keys with values",
  record: "keys with values",
};

function nearest(
  branches: readonly (readonly Issue[])[],
  root: unknown,
  path: readonly PropertyKey[],
  found: string,
): SchemaProblem {
  const problems = branches
    .filter((issues) => issues.length > 0)
    .map((issues) => problemOf(issues[0], root, path));
  // A branch that got into the value's own keys is the one that was meant.
  const inside = problems.filter((each) => each.path.length > path.length);
  const [only] = inside.sort((a, b) => b.path.length - a.path.length);
  if (only !== undefined) return only;
  const custom = branches.flat().find((issue) => issue.code === "custom" && issue.path.length === 0);
  if (custom !== undefined) return problemOf(custom, root, path);
  return { path, problem: found, allowed: [...new Set(problems.map((each) => each.allowed))].join(", or ") };
}

function formatOf(issue: Issue & { code: "invalid_format" }): string {
  return issue.message.startsWith("Invalid") && "pattern" in issue
    ? `text like ${issue.pattern}`
    : issue.message;
}

function unitOf(origin: string): string {
  if (origin === "string") return " characters";
  return origin === "array" ? " values" : "";
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  let node = root;
  for (const step of path) {
    if (typeof node !== "object" || node === null || !Object.hasOwn(node, step)) return undefined;
    node = (node as Record<PropertyKey, unknown>)[step];
  }
  return node;
}

/** A value as a message repeats it. */
export function shown(value: unknown): string {
  if (value === undefined) return "it is missing";
  if (value === null) return "it is empty";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object") return "keys with values";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
