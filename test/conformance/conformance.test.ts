import { descriptorOf } from "@hyperwalk/guest-sdk";
import { HYPERCALL_ABIS, type HypercallAbiName, OPERATIONS } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { conformanceGuest } from "./guest.js";
import { operationsNotCarried, reasonNotCarried } from "./not-carried.js";
import type { Row, RowOutput } from "./row.js";
import { ROWS } from "./rows.js";
import { type RowOutcome, runRows } from "./run.js";

/** What is compared of a call, as one object. */
export function found(row: Row, abi: HypercallAbiName, { result, outputs, seen }: RowOutcome): object {
  const fields = descriptorOf(row.operation).outputs;
  const named = outputsOf(row, abi).map(([name, wanted]) => {
    const at = fields.findIndex((field) => field.name === name);
    return [name, typeof wanted === "object" ? wanted : shown(outputs[at], fields[at].signed)] as const;
  });
  return { result, outputs: Object.fromEntries(named), ...(row.look === undefined ? {} : { seen }) };
}

function wanted(row: Row, abi: HypercallAbiName): object {
  const { result, look, seen } = row;
  const named = outputsOf(row, abi).map(([name, value]) => [name, expected(value)]);
  return { result, outputs: Object.fromEntries(named), ...(look === undefined ? {} : { seen }) };
}

/** Those that the interface carries. */
function outputsOf(row: Row, abi: HypercallAbiName): readonly (readonly [string, RowOutput])[] {
  const fields = descriptorOf(row.operation).outputs;
  return Object.entries(row.outputs ?? {}).filter(
    ([name]) => abi !== "fastabi" || fields.find((field) => field.name === name)?.register !== 0,
  );
}

const expected = (value: RowOutput) => (typeof value === "object" ? value : BigInt(value));
const shown = (bits: bigint, signed: boolean) => (signed ? BigInt.asIntN(64, bits) : bits);

it("the table has every operation, succeeding where a guest may", () => {
  const missing = OPERATIONS.filter(
    ({ descriptor }) => !ROWS.some(({ operation }) => operation === descriptor.name),
  );
  expect(missing.map(({ descriptor }) => descriptor.name)).toEqual([]);
  expect(new Set(ROWS.map(({ name }) => name)).size).toBe(ROWS.length);
});

describe.each(HYPERCALL_ABIS)("%s", (abi) => {
  const guest = conformanceGuest(ROWS, abi, "amd");
  const { outcomes, end } = runRows(ROWS, { image: guest.image, abi });
  const carried = ROWS.filter((row) => !guest.notCarried.has(row));

  it.each(carried.map((row) => [row.name, row] as const))("%s", (_, row) => {
    const outcome = outcomes.get(row);
    expect(outcome === undefined ? "no such call was made" : found(row, abi, outcome)).toEqual(
      wanted(row, abi),
    );
  });

  it("carries everything but what is listed, each for its reason", () => {
    const listed = ROWS.map((row) => [row.name, reasonNotCarried(row, abi)] as const);
    const refused = [...guest.notCarried].map(([row, reason]) => [row.name, reason] as const);
    expect(Object.fromEntries(refused)).toEqual(
      Object.fromEntries(listed.filter(([, reason]) => reason !== undefined)),
    );
    const without = OPERATIONS.map(({ descriptor }) => descriptor.name).filter(
      (name) => !carried.some(({ operation }) => operation === name),
    );
    expect(without.sort()).toEqual(operationsNotCarried(abi));
  });

  it("the guest came to its end", () => {
    expect(end).toMatchObject({ reason: "shutdown", shutdown: "reboot" });
  });
});
