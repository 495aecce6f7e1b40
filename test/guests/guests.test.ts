import { PROFILES } from "@hyperwalk/cpu";
import { hypercallBenchImage, runstateLoop, spinForever } from "@hyperwalk/guest-sdk";
import { describe, expect, it, vi } from "vitest";
import { ABIS, boot, fieldsOf, LEAVES } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const ITERATIONS = 200;
const amd = PROFILES.find(({ vendor }) => vendor === "amd")!;

/** p2m look-ups and guest page-table reads for one copy of a struct inside a page, from Xen's hvm.c and guest_walk.c. */
const COPY = {
  linear: { "4k": { lookups: 6, reads: 4 }, "2m": { lookups: 5, reads: 3 } },
  physaddr: { "4k": { lookups: 1, reads: 0 }, "2m": { lookups: 1, reads: 0 } },
  fastabi: { "4k": { lookups: 0, reads: 0 }, "2m": { lookups: 0, reads: 0 } },
} as const;

const cases = PROFILES.flatMap((profile) =>
  ABIS.flatMap((abi) => LEAVES.map((leaf) => ({ profile, abi, leaf, id: profile.id }))),
);

describe.each(cases)("$id, $abi, $leaf", ({ profile, abi, leaf }) => {
  const copy = COPY[abi][leaf];
  const cmdline = `iterations=${ITERATIONS} leaf=${leaf}`;

  it("boots the C guest, which finds its interface and measures it", () => {
    const { system, outcome } = boot(profile, abi, hypercallBenchImage(), cmdline);
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    const fields = fieldsOf(system.console, "hypercall-bench");
    expect(fields).toMatchObject({ abi, op: "get_runstate_info", iterations: String(ITERATIONS) });
    const window = system.window!;
    expect(window.hypercalls).toBe(ITERATIONS);
    expect(Number(fields.cycles)).toBe(window.tscDifference);
    expect(Number(fields["per-call"])).toBe(Math.floor((window.tscDifference * 100) / ITERATIONS) / 100);
    expect(window.counters.p2mLookups / ITERATIONS).toBe(copy.lookups);
    expect(window.counters.guestPteReads / ITERATIONS).toBe(copy.reads);
    expect(window.counters.bytesCopied / ITERATIONS).toBe(abi === "fastabi" ? 0 : 48);
  });

  it("boots the emitted guest, with the same path through Xen and nearly the same cost", () => {
    const c = boot(profile, abi, hypercallBenchImage(), cmdline).system.window!;
    const { system, outcome } = boot(
      profile,
      abi,
      runstateLoop.build({ abi, vendor: profile.vendor, leaf, iterations: ITERATIONS }),
    );
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    const fields = fieldsOf(system.console, "runstate-loop");
    expect(fields).toMatchObject({ abi, op: "get_runstate_info", iterations: String(ITERATIONS) });
    const window = system.window!;
    expect(Number(fields.cycles)).toBe(window.tscDifference);
    expect(window.hypercalls).toBe(ITERATIONS);
    expect(window.counters.p2mLookups).toBe(c.counters.p2mLookups);
    expect(window.counters.guestPteReads).toBe(c.counters.guestPteReads);
    expect(window.counters.hypervisorInstructions).toBe(c.counters.hypervisorInstructions);
    // The loops differ by a few instructions of their own; gcc's FastABI one also stores six results.
    expect(Math.abs(window.cycles - c.cycles) / c.cycles).toBeLessThan(0.01);
  });
});

describe.each(ABIS)("hypercall-bench options, %s", (abi) => {
  it.each(["evtchn_send", "get_time", "version"])("op=%s", (op) => {
    const { system, outcome } = boot(amd, abi, hypercallBenchImage(), `iterations=${ITERATIONS} op=${op}`);
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(fieldsOf(system.console, "hypercall-bench")).toMatchObject({ abi, op });
    expect(fieldsOf(system.console, "hypercall-bench").errors).toBeUndefined();
    expect(system.window!.counters.p2mLookups / ITERATIONS).toBe(
      op === "version" ? 0 : COPY[abi]["4k"].lookups,
    );
  });

  it("counts failures of a bad pointer and goes on", () => {
    const { system, outcome } = boot(amd, abi, hypercallBenchImage(), `iterations=${ITERATIONS} buffer=bad`);
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(fieldsOf(system.console, "hypercall-bench").errors).toBe(
      abi === "fastabi" ? "0" : String(ITERATIONS),
    );
  });

  it("pays twice for a struct on two pages", () => {
    const { system } = boot(amd, abi, hypercallBenchImage(), `iterations=${ITERATIONS} buffer=straddle`);
    expect(system.window!.counters.p2mLookups / ITERATIONS).toBe(2 * COPY[abi]["4k"].lookups);
    expect(system.window!.counters.guestPteReads / ITERATIONS).toBe(2 * COPY[abi]["4k"].reads);
  });
});

describe.each(PROFILES.map((profile) => ({ profile, id: profile.id })))("$id", ({ profile }) => {
  it("raises #UD for the other vendor's hypercall instruction, and the guest recovers", () => {
    const { system, outcome } = boot(
      profile,
      "linear",
      hypercallBenchImage(),
      "iterations=10 probe=wrong-vendor",
    );
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    const wrong = profile.vendor === "amd" ? "vmcall" : "vmmcall";
    expect(system.console).toContain(`probe=wrong-vendor instruction=${wrong} vector=6\n`);
    expect(fieldsOf(system.console, "hypercall-bench").iterations).toBe("10");
  });

  it("stops a guest that never ends at its budget", () => {
    const image = spinForever.build({ abi: "linear", vendor: profile.vendor });
    const { system, outcome } = boot(profile, "linear", image, "", 100_000);
    expect(outcome).toMatchObject({ reason: "budget", budget: "instructions" });
    expect(system.console).toBe("spin-forever: only a budget ends this\n");
  });
});
