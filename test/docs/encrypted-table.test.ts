import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compare, findProfile, runstateLoop } from "hyperwalk";
import { describe, expect, it } from "vitest";

const guide = readFileSync(fileURLToPath(new URL("../../docs/guests.md", import.meta.url)), "utf8");
/** Rows of the table of encrypted guests: kind, and what its cells say for linear, physaddr and FastABI. */
const rows = [...guide.matchAll(/^\| (plain|`sev[\w-]*`) \| (.+) \| (.+) \| (.+) \|$/gm)].map(
  ([, kind, ...cells]) => ({ kind: kind.replaceAll("`", ""), cells }),
);

describe("the table of encrypted guests in docs/guests.md", () => {
  it("has a row for each kind", () => {
    expect(rows.map(({ kind }) => kind)).toEqual(["plain", "sev", "sev-es", "sev-snp"]);
  });

  // One row of the three: the others go the same way, and each takes seconds.
  it("says of SEV-SNP what compare finds", () => {
    const machine = findProfile("epyc-9124");
    if (machine === undefined) throw new Error("no epyc-9124");
    const { runs } = compare({ guest: runstateLoop, machine, confidential: "sev-snp" });
    const found = runs.map(({ cyclesPerCall, results = [] }) => {
      const failed = results.length === 1 && results[0].result === "-EFAULT";
      return `${Math.round(cyclesPerCall ?? 0)}${failed ? ", all -EFAULT" : ""}`;
    });
    expect(found).toEqual(rows[3].cells);
  }, 60_000);
});
