import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { COPIES, type Copies } from "./copies.js";
import { conformanceGuest } from "./guest.js";
import type { Row } from "./row.js";
import { ROWS } from "./rows.js";
import { type RowOutcome, runRows } from "./run.js";

/** Of facts/xen.md §2.2, by page touched: what finds the guest frame, and the look-up of the data itself. */
interface PerPage {
  readonly lookups: number;
  readonly pteReads: number;
}
const LINEAR_4K: PerPage = { lookups: 6, pteReads: 4 };
const LINEAR_2M: PerPage = { lookups: 5, pteReads: 3 };
const PHYSICAL: PerPage = { lookups: 1, pteReads: 0 };
/** p2m leaves have 4 KiB here: each look-up reads a table of every level. */
const TABLE_READS = 4;

/** Rows that succeed, and whose copies are known. */
const COUNTED = ROWS.filter((row) => succeeds(row) && !row.uncounted && copiesOf(row) !== undefined);

function succeeds({ result }: Row): boolean {
  return result === "does not return" || result >= 0;
}

function copiesOf(row: Row): Copies | undefined {
  return row.copies ?? COPIES[row.operation];
}

/** Of a multicall through percall, entries have a flavour of their own: this one's, without the bit, is linear. */
function hasOtherFlavour(row: Row, abi: string): boolean {
  return abi === "percall" && row.name === "multicall.call, one with a linear pointer";
}

/** What is left of the copies when values are in registers: those of lists and buffers that a value points to. */
function withoutStruct(row: Row): Copies {
  if (row.operation !== "memory.memory_map") return { from: [], to: [] };
  return { from: [], to: copiesOf(row)?.to.slice(0, -1) ?? [] };
}

/** Pages that a copy touches: a struct of the row's own can lie across two. */
function pagesOf(row: Row, bytes: number): number {
  const { struct } = row;
  if (typeof struct !== "object" || !("page" in struct)) return 1;
  return ((struct.offset ?? 0) % 4096) + bytes > 4096 ? 2 : 1;
}

function expected(row: Row, copies: Copies, perPage: PerPage) {
  const each = [...copies.from, ...copies.to];
  const pages = each.reduce((sum, bytes) => sum + pagesOf(row, bytes), 0);
  const lookups = pages * perPage.lookups + (row.lookups ?? 0);
  return {
    copiesFromGuest: copies.from.length,
    copiesToGuest: copies.to.length,
    bytesCopied: each.reduce((sum, bytes) => sum + bytes, 0),
    p2mLookups: lookups,
    pageReferences: lookups,
    p2mTableReads: lookups * TABLE_READS,
    guestPteReads: pages * perPage.pteReads,
  };
}

function counted({ counters }: RowOutcome): object {
  const { copiesFromGuest, copiesToGuest, bytesCopied, p2mLookups, pageReferences } = counters;
  const { p2mTableReads, guestPteReads } = counters;
  return {
    copiesFromGuest,
    copiesToGuest,
    bytesCopied,
    p2mLookups,
    pageReferences,
    p2mTableReads,
    guestPteReads,
  };
}

const RUNS: readonly (readonly [
  string,
  "linear" | "physaddr" | "percall" | "fastabi",
  "4k" | "2m",
  ProcessorProfile,
  PerPage,
])[] = [
  ["linear, 4 KiB leaves, NPT", "linear", "4k", epyc9124, LINEAR_4K],
  ["linear, 4 KiB leaves, EPT", "linear", "4k", skylakeSp, LINEAR_4K],
  ["linear, 2 MiB leaves, NPT", "linear", "2m", epyc9124, LINEAR_2M],
  ["physaddr, NPT", "physaddr", "4k", epyc9124, PHYSICAL],
  ["physaddr, EPT", "physaddr", "4k", skylakeSp, PHYSICAL],
  ["percall", "percall", "4k", epyc9124, PHYSICAL],
  ["fastabi", "fastabi", "4k", epyc9124, PHYSICAL],
];

it("counts every row that succeeds, but for those that say that they are not counted", () => {
  const left = ROWS.filter((row) => succeeds(row) && !row.uncounted && copiesOf(row) === undefined);
  expect(left.map(({ name }) => name)).toEqual([]);
});

describe.each(RUNS)("%s", (_, abi, leaf, profile, perPage) => {
  const guest = conformanceGuest(ROWS, abi, profile.vendor, leaf);
  const { outcomes } = runRows(ROWS, { image: guest.image, abi, profile });

  it.each(
    COUNTED.filter((row) => !guest.notCarried.has(row) && !hasOtherFlavour(row, abi)).map(
      (row) => [row.name, row] as const,
    ),
  )("%s", (_name, row) => {
    const copies = abi === "fastabi" ? withoutStruct(row) : copiesOf(row);
    const outcome = outcomes.get(row);
    if (copies === undefined || outcome === undefined) throw new RangeError("no such call was made");
    expect(counted(outcome)).toEqual(expected(row, copies, perPage));
  });
});
