import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { hypercallBenchImage, runstateLoop } from "@hyperwalk/guest-sdk";
import { createKvmSystem, createXenSystem, type KvmSystem, type XenSystem } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";

const MEMORY = 64 * 2 ** 20;
const PROFILES = [epyc9124, skylakeSp];

function bench(profile: ProcessorProfile, op: string): KvmSystem {
  return createKvmSystem({
    profile,
    domain: {
      image: hypercallBenchImage(),
      memoryBytes: MEMORY,
      abi: "linear",
      cmdline: `iterations=100 op=${op} leaf=4k`,
    },
  });
}

function loop(profile: ProcessorProfile): { kvm: KvmSystem; xen: XenSystem } {
  const image = runstateLoop.build({ abi: "linear", vendor: profile.vendor, iterations: 100 });
  const domain = { image, memoryBytes: MEMORY, abi: "linear" } as const;
  return { kvm: createKvmSystem({ profile, domain }), xen: createXenSystem({ profile, domain }) };
}

describe.each(PROFILES)("the suite's guests under KVM on $id", (profile) => {
  it("runs the loop of get_runstate_info through the monitor", () => {
    const { kvm, xen } = loop(profile);
    const names = new Map<string | undefined, number>();
    kvm.on("hypercall", ({ operation, abi }) =>
      names.set(`${operation} ${abi}`, (names.get(`${operation} ${abi}`) ?? 0) + 1),
    );
    expect(kvm.run()).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(xen.run()).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(kvm.console).toMatch(/^runstate-loop: abi=linear op=get_runstate_info iterations=100 cycles=\d+/);
    expect(names.get("vcpu.get_runstate_info monitor")).toBe(164);
    const window = kvm.window!;
    expect(window.hypercalls).toBe(100);
    // Every call goes to user space and back, with a system call of the monitor's between: nowhere near Xen's.
    expect(window.cycles).toBeGreaterThan(xen.window!.cycles);
    expect(window.cycles).toBe(window.tscDifference);
    // One copy to the guest, four of its tables read.
    expect(window.counters.copiesToGuest).toBe(100);
    expect(window.counters.guestPteReads).toBe(400);
    expect(window.counters.p2mLookups).toBe(0);
  });

  it.each(["version", "evtchn_send", "get_time"])("runs hypercall-bench with %s", (op) => {
    const system = bench(profile, op);
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(system.console).toContain(`op=${op} iterations=100`);
    expect(system.console).not.toContain("errors=");
  });
});

describe("the ledger under KVM", () => {
  it("sums to the clock, and two runs give the same bytes", () => {
    const runs = [0, 1].map(() => {
      const { kvm } = loop(epyc9124);
      kvm.run();
      const rows = kvm.ledger.rows();
      expect(rows.reduce((sum, { ticks }) => sum + ticks, 0)).toBe(kvm.ledger.clock[0]);
      return JSON.stringify([rows, kvm.counters(), kvm.console]);
    });
    expect(runs[0]).toBe(runs[1]);
  });

  it("is the same in one run and in many short ones", () => {
    const whole = loop(skylakeSp).kvm;
    whole.run();
    const pieces = loop(skylakeSp).kvm;
    while (pieces.run({ maxInstructions: 997 }).reason === "budget");
    expect(pieces.ledger.clock[0]).toBe(whole.ledger.clock[0]);
    expect(pieces.counters()).toEqual(whole.counters());
  });
});
