/** What snapshots are made of. Objects have no prototype that matters, numbers are finite. */
export type PlainData =
  | undefined
  | boolean
  | number
  | string
  | Uint8Array
  | Int32Array
  | Float64Array
  | readonly PlainData[]
  | { readonly [key: string]: PlainData };

/** Name of a value's kind, for comparisons and messages. */
export function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "list";
  if (value === null) return "null";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof Int32Array) return "32-bit integers";
  if (value instanceof Float64Array) return "doubles";
  if (value === undefined) return "nothing";
  return typeof value;
}

/**
 * Where one value has not the shape of another: other kinds, other keys, typed arrays of other lengths. A list's items
 * have to look like the first item of the pattern's list; what is absent on either side fits.
 * @param variable paths of typed arrays whose length may differ, with `[]` for every item of a list
 * @returns a path with what is wrong there; undefined: it fits
 */
export function misfit(
  value: unknown,
  pattern: unknown,
  path: string,
  variable: ReadonlySet<string>,
): string | undefined {
  if (value === undefined || pattern === undefined) return undefined;
  const kind = kindOf(value);
  if (kind !== kindOf(pattern)) return `${path} is ${kind} instead of ${kindOf(pattern)}`;
  if (kind === "number") return Number.isFinite(value) ? undefined : `${path} is not a number`;
  if (ArrayBuffer.isView(value)) return lengths(value, pattern, path, variable);
  if (Array.isArray(value)) {
    const items = pattern as readonly unknown[];
    if (items.length === 0) return undefined;
    for (let i = 0; i < value.length; i++) {
      const found = misfit(value[i], items[Math.min(i, items.length - 1)], `${path}[${i}]`, variable);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return kind === "object" ? members(value as object, pattern as object, path, variable) : undefined;
}

function lengths(
  value: unknown,
  pattern: unknown,
  path: string,
  variable: ReadonlySet<string>,
): string | undefined {
  const { length } = value as Uint8Array;
  const wanted = (pattern as Uint8Array).length;
  return length === wanted || variable.has(path.replace(/\[\d+\]/g, "[]"))
    ? undefined
    : `${path} has ${length} elements instead of ${wanted}`;
}

function members(
  value: object,
  pattern: object,
  path: string,
  variable: ReadonlySet<string>,
): string | undefined {
  const found = value as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(found)) if (!Object.hasOwn(pattern, key)) return `${path}.${key} is unknown`;
  for (const [key, wanted] of Object.entries(pattern)) {
    if (wanted !== undefined && !Object.hasOwn(found, key)) return `${path}.${key} is missing`;
    const inside = misfit(found[key], wanted, path === "" ? key : `${path}.${key}`, variable);
    if (inside !== undefined) return inside;
  }
  return undefined;
}
