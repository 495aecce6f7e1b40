import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { defineGuest, type GuestProgram } from "@hyperwalk/guest-sdk";
import { createXenSystem, type DomainConfig } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const SECOND = 1_000_000_000;

describe.each([epyc9124, skylakeSp])("watchdogs on $id", (profile) => {
  const start = (source: (g: GuestProgram) => void, options: Partial<DomainConfig> = {}) => {
    const image = defineGuest("watched", source).build({ abi: "fastabi", vendor: profile.vendor });
    return createXenSystem({
      profile,
      domain: { image, memoryBytes: 32 * 2 ** 20, abi: "fastabi", ...options },
    });
  };
  const watch = (g: GuestProgram, seconds: number) =>
    g.hypercall.sched.watchdog({ id: 0, timeout: seconds }).result();
  const sleepUntil = (g: GuestProgram, seconds: number) => {
    const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
    g.hypercall.sched.poll({ timeout: seconds * SECOND, port });
    port.release();
  };

  it.each([1, 2])("end a domain of %i vCPUs that sleeps and pokes none", (vcpus) => {
    const system = start(
      (g) => {
        watch(g, 3);
        watch(g, 1);
        g.hypercall.sched.block();
        g.print("still here\n");
      },
      { vcpus },
    );
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "watchdog" });
    expect(system.console).toBe("");
    expect(system.vcpu.nowNs / SECOND).toBeCloseTo(1, 3);
  });

  it("end one that never leaves its loop", () => {
    const system = start((g) => {
      watch(g, 0);
      g.asm.jmp(g.asm.here("forever"));
    });
    expect(system.run({ maxInstructions: 100_000 })).toMatchObject({
      reason: "shutdown",
      shutdown: "watchdog",
    });
  });

  it("end none that pokes them in time or stops them", () => {
    const system = start((g) => {
      const id = watch(g, 1);
      sleepUntil(g, 0.7);
      g.hypercall.sched.watchdog({ id, timeout: 1 });
      sleepUntil(g, 1.6);
      g.hypercall.sched.watchdog({ id, timeout: 0 });
      sleepUntil(g, 3);
      g.print("still here\n");
    });
    expect(system.run()).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(system.console).toBe("still here\n");
  });

  it("go on in a restored system", () => {
    const source = (g: GuestProgram) => {
      watch(g, 1);
      g.hypercall.sched.block();
    };
    const first = start(source);
    expect(first.run({ maxCycles: 10 ** 9 }).reason).toBe("budget");
    const second = start(source);
    second.restore(first.snapshot());
    expect(second.run()).toEqual(first.run());
    expect(second.cycles).toBe(first.cycles);
  });
});
