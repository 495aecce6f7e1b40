import { HYPERCALL_ABIS, OPERATIONS } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { conformanceGuest } from "./guest.js";
import { operationsNotCarried, reasonNotCarried } from "./not-carried.js";
import { found, wanted } from "./outcome.js";
import { ROWS } from "./rows.js";
import { runRows } from "./run.js";

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
