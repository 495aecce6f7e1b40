import { PROFILES, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { runProgram } from "../src/cli/program.ts";
import { plain } from "../src/report/paint.ts";
import { transportsReport } from "../src/report/transports-report.ts";
import type { TransportName } from "../src/transport-names.ts";
import { compareTransports, type TransportsDocument } from "../src/transports.ts";

const QUICK = { iterations: 16, batches: [] } as const;

describe("the experiment on notifications", () => {
  const documents = new Map<string, TransportsDocument>(
    PROFILES.map((machine) => [machine.id, compareTransports({ machine, ...QUICK })]),
  );

  it.each([...documents])("has figures on %s that are views of the ledger", (_, { results }) => {
    for (const { ledger, cyclesPerNotification, exit, transport } of results) {
      expect(exit, transport).toMatchObject({ ok: true });
      const sum = ledger.reduce((total, cell) => total + cell.cyclesPerCall, 0);
      expect(Math.abs(sum - cyclesPerNotification)).toBeLessThan(1e-6 * sum);
    }
  });

  it.each([...documents])("says what attestation sees on %s", (_, { results }) => {
    const changes = (part: "text" | "hypercallPage"): readonly TransportName[] =>
      results
        .filter((each) => each[part].changed && each.handler === "hypervisor")
        .map((each) => each.transport);
    expect(changes("text")).toEqual(["hypercall-patched"]);
    expect(changes("hypercallPage")).toEqual(["hypercall-page"]);
    const launch = (transport: string) => results.find((each) => each.transport === transport)?.text;
    // The same image: who makes the call for it leaves it alone.
    expect(launch("hypercall-emulated")?.launch).toBe(launch("hypercall-patched")?.launch);
    expect(launch("pio")?.launch).not.toBe(launch("mmio")?.launch);
  });

  it("is told as text that fits what it says of a shared ring", () => {
    const document = compareTransports({
      machine: skylakeSp,
      iterations: 16,
      transports: ["hypercall-inline", "pio"],
      batches: [1, 16],
    });
    const text = transportsReport(document, plain);
    for (const { cyclesPerMessage } of document.batches) {
      const [whole] = cyclesPerMessage
        .toFixed(1)
        .replace(/\B(?=(\d{3})+\.)/g, " ")
        .split("|");
      expect(text).toContain(whole);
    }
    expect(text).toContain("[R] G. Haskins");
    expect(text).toContain("recalled, not verified");
  });

  it("is a command whose JSON is one document, and which refuses what there is not", async () => {
    const run = async (...args: string[]) => {
      const out: string[] = [];
      const err: string[] = [];
      const output = { out: (t: string) => out.push(t), err: (t: string) => err.push(t), paint: plain };
      const code = await runProgram(["transports", ...args], output as never);
      return { code, out: out.join(""), err: err.join("") };
    };
    const { code, out } = await run("--json", "--transport", "pio", "--iterations", "4");
    expect(code).toBe(0);
    const document: TransportsDocument = JSON.parse(out);
    expect(document.results.map(({ transport }) => transport)).toContain("pio");
    const wrong = await run("--transport", "smoke");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("hypercall-inline")]);
  });
});
