import { epyc9124, PROFILES, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { runProgram } from "../src/cli/program.ts";
import { plain } from "../src/report/paint.ts";
import { transportsReport } from "../src/report/transports-report.ts";
import type { TransportName } from "../src/transport-names.ts";
import { compareTransports, type TransportsDocument } from "../src/transports.ts";

const QUICK = { hosts: ["xen"], iterations: 16, batches: [] } as const;

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

  it.each([epyc9124, skylakeSp])(
    "runs the same guest under KVM, $id, in the kernel, with an eventfd and in user space",
    (machine) => {
      const { results } = compareTransports({
        machine,
        hosts: ["kvm"],
        transports: ["hypercall-inline", "hypercall-patched", "pio", "mmio", "mmio-fast"],
        iterations: 16,
        batches: [],
      });
      for (const { ledger, cyclesPerNotification, exit } of results) {
        expect(exit.ok).toBe(true);
        const sum = ledger.reduce((total, cell) => total + cell.cyclesPerCall, 0);
        expect(Math.abs(sum - cyclesPerNotification)).toBeLessThan(1e-6 * sum);
      }
      const of = (handler: string, transport: string) => {
        const found = results.find((each) => each.handler === handler && each.transport === transport);
        return found?.cyclesPerNotification ?? Number.NaN;
      };
      for (const handler of ["hypervisor", "ioeventfd", "user-space"]) {
        expect(of(handler, "hypercall-inline")).toBeLessThan(of(handler, "pio"));
        expect(of(handler, "pio")).toBeLessThan(of(handler, "mmio"));
        expect(of(handler, "hypercall-patched")).toBe(of(handler, "hypercall-inline"));
      }
      // Leaving the kernel costs more than any choice of transport; waking a thread less than that.
      const choice = of("hypervisor", "mmio") - of("hypervisor", "hypercall-inline");
      expect(of("user-space", "hypercall-inline") - of("hypervisor", "hypercall-inline")).toBeGreaterThan(
        choice,
      );
      expect(of("ioeventfd", "pio")).toBeGreaterThan(of("hypervisor", "pio"));
      expect(of("ioeventfd", "pio")).toBeLessThan(of("user-space", "pio"));
      const fast = of("hypervisor", "mmio-fast");
      if (machine.vendor === "amd") expect(fast).toBe(of("hypervisor", "mmio"));
      else expect(Math.abs(fast / of("hypervisor", "pio") - 1)).toBeLessThan(0.05);
      const changed = results.filter(({ text }) => text.changed).map(({ transport }) => transport);
      expect(new Set(changed)).toEqual(new Set(["hypercall-patched"]));
    },
  );

  it("is told as text that fits what it says of a shared ring", () => {
    const document = compareTransports({
      machine: skylakeSp,
      hosts: ["xen"],
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
    const { code, out } = await run("--json", "--host", "xen", "--transport", "pio", "--iterations", "4");
    expect(code).toBe(0);
    const document: TransportsDocument = JSON.parse(out);
    expect(document.results.map(({ transport }) => transport)).toContain("pio");
    const wrong = await run("--transport", "smoke");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("hypercall-inline")]);
  });
});
