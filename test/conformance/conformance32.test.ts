import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import type { HypercallAbiName } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { conformanceGuest32, type Paging32 } from "./guest32.js";
import { reasonNotCarried } from "./not-carried.js";
import { found, wanted } from "./outcome.js";
import { ROWS } from "./rows.js";
import { runRows } from "./run.js";

const RUNS: readonly (readonly [HypercallAbiName, Paging32, "amd" | "intel"])[] = [
  ["linear", "unpaged", "amd"],
  ["linear", "legacy", "intel"],
  ["linear", "pae", "amd"],
  ["physaddr", "pae", "intel"],
  ["percall", "pae", "amd"],
  ["sg-frames", "pae", "intel"],
  ["sg-tuples", "pae", "amd"],
  ["sg-descriptor", "pae", "intel"],
  ["registered", "pae", "amd"],
];

/** All but FastABI, which is for 64-bit mode alone: the same table as for 64-bit guests. */
describe.each(RUNS)("a 32-bit guest, %s, %s, %s", (abi, paging, vendor) => {
  const carried = ROWS.filter((row) => reasonNotCarried(row, abi) === undefined).map((row) => ({
    ...row,
    ...row.for32,
  }));
  const image = conformanceGuest32(carried, abi, vendor, paging);
  const profile = vendor === "amd" ? epyc9124 : skylakeSp;
  const { outcomes, end } = runRows(carried, { image, abi, longBytes: 4, profile });

  it.each(carried.map((row) => [row.name, row] as const))("%s", (_, row) => {
    const outcome = outcomes.get(row);
    expect(outcome === undefined ? "no such call was made" : found(row, abi, outcome)).toEqual(
      wanted(row, abi),
    );
  });

  it("the guest came to its end", () => {
    expect(end).toMatchObject({ reason: "shutdown", shutdown: "reboot" });
  });
});
