import { epyc9124, PROFILES, skylakeSp } from "@hyperwalk/cpu";
import { notifyLoop } from "@hyperwalk/guest-sdk";
import { createKvmSystem, createXenSystem } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { plain } from "../src/report/paint.ts";
import { transportsReport } from "../src/report/transports-report.ts";
import { TRANSPORT_HOSTS, type TransportName } from "../src/transport-names.ts";
import { compareTransports, TRANSPORT_HANDLERS, type TransportsDocument } from "../src/transports.ts";
import { hyperwalk } from "./hyperwalk.ts";

const FEW = { iterations: 4, batches: [] } as const;
const QUICK = { hosts: ["xen"], iterations: 16, batches: [] } as const;

describe("the experiment on notifications", () => {
  const documents = new Map<string, TransportsDocument>(
    PROFILES.map((machine) => [machine.id, compareTransports({ machine, ...QUICK })]),
  );

  it.each([...documents])("has cells on %s that add up to its figures", (_, { results }) => {
    for (const { ledger, cyclesPerNotification, exit, transport } of results) {
      expect(exit, transport).toMatchObject({ ok: true });
      const sum = ledger.reduce((total, cell) => total + cell.cyclesPerCall, 0);
      expect(Math.abs(sum - cyclesPerNotification)).toBeLessThan(1e-6 * sum);
    }
  });

  const makers = { xen: createXenSystem, kvm: createKvmSystem } as const;

  it.each([
    ["SVM, which has it in the VMCB", epyc9124, 0],
    ["VMX, through the guest's tables", skylakeSp, 4],
  ] as const)("has KVM fetch the instruction that it emulates: %s", (_, machine, levels) => {
    const entriesRead = (transport: "mmio" | "pio", iterations: number) => {
      const image = notifyLoop({ transport }).build({ abi: "linear", vendor: machine.vendor, iterations });
      const doorbell = { handler: "hypervisor" } as const;
      const system = createKvmSystem({
        profile: machine,
        domain: { image, memoryBytes: 2 ** 24, abi: "linear", doorbell },
        measureWindow: false,
      });
      system.run({ maxInstructions: 100_000 });
      return system.counters().guestPteReads;
    };
    expect(entriesRead("mmio", 8) - entriesRead("mmio", 3)).toBe(5 * levels);
    expect(entriesRead("pio", 8) - entriesRead("pio", 3)).toBe(0);
  });

  it.each(
    [epyc9124, skylakeSp].flatMap((machine) =>
      TRANSPORT_HOSTS.flatMap((host) =>
        (["hypercall-inline", "pio", "mmio"] as const).map(
          (name) => [machine.id, host, name, machine] as const,
        ),
      ),
    ),
  )("says on %s under %s by %s what the guest itself has counted and printed", (_, host, name, machine) => {
    const { iterations } = FEW;
    const image = notifyLoop({ transport: name }).build({
      abi: "linear",
      vendor: machine.vendor,
      iterations,
    });
    const doorbell = { handler: "hypervisor" } as const;
    const system = makers[host]({
      profile: machine,
      domain: { image, memoryBytes: 2 ** 24, abi: "linear", doorbell },
      measureWindow: false,
    });
    expect(system.run({ maxInstructions: 100_000 }).reason).toBe("shutdown");
    const [{ cyclesPerNotification }] = compareTransports({
      machine,
      hosts: [host],
      transports: [name],
      ...FEW,
    }).results;
    const printed = / cycles=(\d+)\n/.exec(system.console)?.[1];
    // RDTSC's whole cycles at either end.
    expect(Math.abs(Number(printed) - cyclesPerNotification * iterations)).toBeLessThan(1);
  });

  it.each(TRANSPORT_HOSTS.flatMap((host) => PROFILES.map((machine) => [host, machine.id, machine] as const)))(
    "orders a hypercall, a port and an emulated store, wherever the handler: %s, %s",
    (host, id, machine) => {
      const transports = ["hypercall-inline", "pio", "mmio"] as const;
      const known = host === "xen" ? documents.get(id) : undefined;
      const { results } = known ?? compareTransports({ machine, hosts: [host], transports, ...FEW });
      for (const handler of TRANSPORT_HANDLERS[host]) {
        const [call, port, store] = transports.map(
          (transport) =>
            results.find((each) => each.handler === handler && each.transport === transport)
              ?.cyclesPerNotification ?? Number.NaN,
        );
        expect(call, handler).toBeLessThan(port);
        expect(port, handler).toBeLessThan(store);
      }
    },
  );

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
      for (const handler of ["hypervisor", "ioeventfd", "user-space"])
        expect(of(handler, "hypercall-patched")).toBe(of(handler, "hypercall-inline"));
      // Leaving the kernel costs more than any choice of transport; waking a thread less than that.
      const choice = of("hypervisor", "mmio") - of("hypervisor", "hypercall-inline");
      expect(of("user-space", "hypercall-inline") - of("hypervisor", "hypercall-inline")).toBeGreaterThan(
        choice,
      );
      expect(of("ioeventfd", "pio")).toBeGreaterThan(of("hypervisor", "pio"));
      expect(of("ioeventfd", "pio")).toBeLessThan(of("user-space", "pio"));
      const fast = of("hypervisor", "mmio-fast");
      if (machine.vendor === "amd") expect(fast).toBe(of("hypervisor", "mmio"));
      else {
        // Nearer to a port, which takes no look at the instruction either.
        const port = of("hypervisor", "pio");
        expect(Math.abs(fast - port)).toBeLessThan(of("hypervisor", "mmio") - Math.max(fast, port));
      }
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
    const run = (...args: string[]) => hyperwalk("transports", ...args);
    const { code, out } = await run("--json", "--host", "xen", "--transport", "pio", "--iterations", "4");
    expect(code).toBe(0);
    const document: TransportsDocument = JSON.parse(out);
    expect(document.results.map(({ transport }) => transport)).toContain("pio");
    const wrong = await run("--transport", "smoke");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("hypercall-inline")]);
  });
});
