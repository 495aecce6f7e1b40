import type { OperationName } from "@hyperwalk/guest-sdk";
import type { XenSystem } from "@hyperwalk/xen";

/** Pages of the guest's that rows use, two after each other under every name. */
export const PAGES = ["buffer", "list", "context", "control", "array", "info", "area", "time"] as const;
export type PageName = (typeof PAGES)[number];
export const PAGE_BYTES = 8192;

/** A pointer, as the interface passes pointers, or a linear one whatever the interface. */
export interface PagePointer {
  readonly page: PageName;
  readonly offset?: number;
  readonly linear?: true;
}

/** What a row passes for a value. */
export type RowValue =
  | number
  | bigint
  /** An output of an earlier row, by the name that it was saved under. */
  | { readonly saved: string }
  | PagePointer
  /** A hypercall's number with what the interface marks its calls with. */
  | { readonly call: number }
  | { readonly frameOf: PageName }
  /** A guest-physical address, whatever the interface. */
  | { readonly addressOf: PageName; readonly offset?: number };

/** Words that the guest stores before the call; those of `longs` are as wide as the caller's `unsigned long`. */
export interface Store {
  readonly page: PageName;
  readonly offset: number;
  /** Number of a long, from the offset on. */
  readonly long?: number;
  readonly value: RowValue;
  readonly bytes: 4 | 8 | "long";
}

/** Where a word is in its page, and its size, for callers whose longs have so many bytes. */
export function storePlace({ offset, long = 0, bytes }: Store, longBytes: 4 | 8): readonly [number, 4 | 8] {
  return [offset + long * longBytes, bytes === "long" ? longBytes : bytes];
}

export type RowResult = number | "does not return";

/** What is left of an output: the value itself, or a name that later rows know it by. */
export type RowOutput = number | bigint | { readonly save: string };

/** What can be looked at right after a call. */
export interface World {
  readonly system: XenSystem;
  /** Bytes of the caller's `unsigned long`. */
  readonly longBytes: 4 | 8;
  /** Guest-physical address of a page. */
  readonly address: (page: PageName) => number;
  /** An output that an earlier row saved. */
  readonly saved: (name: string) => number;
}

/** One call and what comes of it, whatever carries it. */
export interface Row {
  /** Unique; what is special about it. */
  readonly name: string;
  readonly operation: OperationName;
  readonly inputs: Readonly<Record<string, RowValue>>;
  /** What rax has afterwards: a value or a negative errno; or the call does not return. */
  readonly result: RowResult;
  /** Those that the interface carries are compared. */
  readonly outputs?: Readonly<Record<string, RowOutput>>;
  readonly before?: readonly Store[];
  /** Passed instead of a pointer to the struct of the guest's stubs. Interfaces that pass no struct leave the row out. */
  readonly struct?: RowValue;
  /** Looked at right after the call, and what is seen then. */
  readonly look?: (world: World) => unknown;
  readonly seen?: unknown;
  /** What is otherwise for 32-bit callers. */
  readonly for32?: Pick<Partial<Row>, "outputs" | "seen">;
  /** Copies that do not depend on the operation alone: bytes of each, in and out; see `copies.ts`. */
  readonly copies?: { readonly from: readonly number[]; readonly to: readonly number[] };
  /** Look-ups that the operation itself makes, besides those of copies. */
  readonly lookups?: number;
  /** It succeeds with fewer look-ups or references than others, or although a copy does not. */
  readonly uncounted?: true;
}

export const SELF = 0x7ff0;
/** Neither mapped in any guest here, nor within its memory. */
export const NOWHERE = 0x7f00000000n;
/** The same for 32-bit guests. */
export const NOWHERE32 = 0x7f000000;
export const BEYOND_MEMORY_GFN = 0x700000;

export const saved = (name: string): RowValue => ({ saved: name });
export const pointer = (page: PageName, offset = 0): RowValue => ({ page, offset });
export const frameOf = (page: PageName): RowValue => ({ frameOf: page });
export const addressOf = (page: PageName, offset = 0): RowValue => ({ addressOf: page, offset });

/** One row; what is not said is 0, or what the operation's description implies. */
export function row(
  operation: OperationName,
  what: string,
  inputs: Row["inputs"],
  result: RowResult,
  more: Omit<Row, "name" | "operation" | "inputs" | "result"> = {},
): Row {
  return { name: `${operation}, ${what}`, operation, inputs, result, ...more };
}

/** Consecutive longs in a page. @param first number of the first one from the offset on */
export function longs(
  page: PageName,
  offset: number,
  values: readonly RowValue[],
  first = 0,
): readonly Store[] {
  return values.map((value, i) => ({ page, offset, long: first + i, value, bytes: "long" }));
}

/** Consecutive words in a page. */
export function words(
  page: PageName,
  offset: number,
  bytes: 4 | 8,
  ...values: readonly RowValue[]
): readonly Store[] {
  return values.map((value, i) => ({ page, offset: offset + i * bytes, value, bytes }));
}
