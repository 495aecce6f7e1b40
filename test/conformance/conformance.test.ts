import { descriptorOf } from "@hyperwalk/guest-sdk";
import { HYPERCALL_ABIS, OPERATIONS } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { conformanceGuest } from "./guest.js";
import type { Row, RowOutput } from "./row.js";
import { ROWS } from "./rows.js";
import { type RowOutcome, runRows } from "./run.js";

/** What is compared of a call, as one object. */
export function found(row: Row, { result, outputs, seen }: RowOutcome): object {
  const fields = descriptorOf(row.operation).outputs;
  const named = Object.entries(row.outputs ?? {}).map(([name, wanted]) => {
    const at = fields.findIndex((field) => field.name === name);
    return [name, typeof wanted === "object" ? wanted : shown(outputs[at], fields[at].signed)] as const;
  });
  return { result, outputs: Object.fromEntries(named), ...(row.look === undefined ? {} : { seen }) };
}

function wanted(row: Row): object {
  const { result, outputs = {}, look, seen } = row;
  const named = Object.entries(outputs).map(([name, value]) => [name, expected(value)]);
  return { result, outputs: Object.fromEntries(named), ...(look === undefined ? {} : { seen }) };
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
    expect(outcome === undefined ? "no such call was made" : found(row, outcome)).toEqual(wanted(row));
  });

  it("the guest came to its end", () => {
    expect(end).toMatchObject({ reason: "shutdown", shutdown: "reboot" });
  });
});
