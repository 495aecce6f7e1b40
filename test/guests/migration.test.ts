import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { IMAGE_LINEAR, type NotifyTransport, notifyForever, notifyLoop } from "@hyperwalk/guest-sdk";
import {
  type DomainConfig,
  DoorbellRegister,
  MigrationError,
  measureMemory,
  type XenSystem,
} from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { doorbellSystem, ITERATIONS } from "./doorbell.ts";

const WAYS: readonly (readonly [string, ProcessorProfile, ProcessorProfile])[] = [
  ["Intel to AMD", skylakeSp, epyc9124],
  ["AMD to Intel", epyc9124, skylakeSp],
];
const BUDGET = { maxInstructions: 4000 };

function rung(system: XenSystem): number {
  return system.domain.doorbell?.load(DoorbellRegister.Notify, 4) ?? -1;
}

describe.each(WAYS)("a running guest moves from %s", (_, from, to) => {
  /** Runs for a while at home, then elsewhere. */
  function moved(
    transport: NotifyTransport,
    pages: "stale" | "rewritten",
    domain: Partial<DomainConfig> = {},
  ) {
    const guest = notifyForever({ transport });
    const home = doorbellSystem(from, guest, { domain });
    home.run(BUDGET);
    const before = rung(home);
    const away = doorbellSystem(to, guest, { domain });
    away.receive(home.migrationRecord(), pages);
    expect([rung(away), before > 10]).toEqual([before, true]);
    const outcome = away.run(BUDGET);
    return { home, away, before, outcome };
  }

  /** It goes on: hundreds of notifications later only the budget ends it. */
  const survives = ({ away, before, outcome }: ReturnType<typeof moved>) =>
    outcome.reason === "budget" && rung(away) > before + 10;
  /** #UD in the guest, before another notification: its handler halts. */
  const faults = ({ away, before, outcome }: ReturnType<typeof moved>) =>
    outcome.reason === "halted" && rung(away) === before;

  it("with a port, and with a page of registers, which go on as if nothing had happened", () => {
    expect(survives(moved("pio", "stale"))).toBe(true);
    expect(survives(moved("mmio", "stale"))).toBe(true);
  });

  it("with a hypercall page, which is the other vendor's: #UD in its stub, unless somebody fills it anew", () => {
    const stale = moved("hypercall-page", "stale");
    expect(faults(stale)).toBe(true);
    expect(survives(moved("hypercall-page", "rewritten"))).toBe(true);
    // RAX: in the page, at the stub of the doorbell's hypercall behind its MOV.
    const { hypercallPage } = notifyForever({ transport: "hypercall-page" }).link({
      abi: "linear",
      vendor: from.vendor,
    });
    const rip = stale.away.vcpus[0].control.registers.lo(0) >>> 0;
    expect(rip).toBe(((Number(IMAGE_LINEAR & 0xffffffffn) - 0x200000 + hypercallPage) >>> 0) + 100 * 32 + 5);
  });

  it("with the instruction in its text, which is #UD: rewriting pages does not help", () => {
    expect(faults(moved("hypercall-inline", "rewritten"))).toBe(true);
    // MMIO over hypercall asked once, and was told that there is one.
    expect(faults(moved("mmio-over-hypercall", "rewritten"))).toBe(true);
  });

  it("with a patched site, which was patched for where it was: #UD, or patched once more", () => {
    const patch = { hypercallFixup: "patch" } as const;
    const guest = notifyForever({ transport: "hypercall-patched" });
    const home = doorbellSystem(from, guest, { domain: patch });
    home.run(BUDGET);
    const record = home.migrationRecord();
    const nobody = doorbellSystem(to, guest, {});
    nobody.receive(record);
    expect([nobody.run(BUDGET).reason, rung(nobody)]).toEqual(["halted", rung(home)]);
    const again = doorbellSystem(to, guest, { domain: patch });
    again.receive(record);
    let exceptions = 0;
    again.on("vm-exit", ({ name }) => {
      if (/exception/i.test(name)) exceptions++;
    });
    expect(again.run(BUDGET).reason).toBe("budget");
    expect([exceptions, rung(again) > rung(home) + 10]).toEqual([1, true]);
  });

  it("with any of them where the hypervisor traps #UD and makes the call, for the price of a walk each time", () => {
    const emulate = { hypercallFixup: "emulate" } as const;
    const { text } = notifyForever({ transport: "hypercall-inline" }).link({
      abi: "linear",
      vendor: from.vendor,
    });
    const run = moved("hypercall-inline", "stale", emulate);
    expect(survives(run)).toBe(true);
    // The text is that of the launch, on both sides.
    expect(measureMemory(run.away.domain.guestMemory, text)).toBe(
      measureMemory(run.home.domain.guestMemory, text),
    );
    const { away } = run;
    const cyclesOf = (system: XenSystem) => {
      const at = { cycles: system.cycles, rung: rung(system) };
      system.run(BUDGET);
      return (system.cycles - at.cycles) / (rung(system) - at.rung);
    };
    const native = doorbellSystem(to, notifyForever({ transport: "hypercall-inline" }), {});
    native.run(BUDGET);
    expect(cyclesOf(away)).toBeGreaterThan(1.5 * cyclesOf(native));
    expect(survives(moved("hypercall-page", "stale", emulate))).toBe(true);
  });

  it("and back, with memory, registers and ring as if it had never left", () => {
    const guest = notifyLoop({ transport: "pio", batch: 4 });
    const patch = { domain: { hypercallFixup: "emulate" } } as const;
    const home = doorbellSystem(from, guest, patch);
    home.run({ maxInstructions: 2600 });
    const away = doorbellSystem(to, guest, patch);
    away.receive(home.migrationRecord());
    away.run({ maxInstructions: 700 });
    expect(rung(away)).toBeGreaterThan(rung(home));
    const back = doorbellSystem(from, guest, patch);
    back.receive(away.migrationRecord());
    expect(back.run({ maxInstructions: 100_000 })).toMatchObject({
      reason: "shutdown",
      shutdown: "poweroff",
    });
    const messages = 4 * (1 + 64 + ITERATIONS);
    const { doorbell } = back.domain;
    expect(doorbell?.load(DoorbellRegister.Messages, 4)).toBe(messages);
    expect(doorbell?.load(DoorbellRegister.Sum, 4)).toBe(1500 * messages + (messages * (messages - 1)) / 2);
  });
});

describe("a migration record", () => {
  const guest = notifyForever({ transport: "pio" });

  it("has nothing of the machine: the same guest has the same pages, control registers, segments and MSRs on both", () => {
    const taken = [skylakeSp, epyc9124].map((profile) => {
      const image = guest.build({ abi: "linear", vendor: "intel" });
      const system = doorbellSystem(profile, guest, { domain: { image, hypercallFixup: "emulate" } });
      system.run({ maxInstructions: 2000 });
      return system.migrationRecord();
    });
    const [intel, amd] = taken;
    // Control registers, segments and MSRs; where in its loop each was stopped is another matter.
    expect([...amd.registers.words.slice(32)]).toEqual([...intel.registers.words.slice(32)]);
    expect(amd.pages.map(({ gfn }) => gfn)).toEqual(intel.pages.map(({ gfn }) => gfn));
    expect(amd.doorbell).toEqual(intel.doorbell);
  });

  it("does not disturb the guest that it was taken of", () => {
    const system = doorbellSystem(epyc9124, guest, {});
    system.run(BUDGET);
    const before = rung(system);
    system.migrationRecord();
    expect(system.run(BUDGET).reason).toBe("budget");
    expect(rung(system)).toBeGreaterThan(before + 10);
  });

  it("is refused by a system that has run, or is another, and cannot be taken of what is tied to its machine", () => {
    const record = doorbellSystem(epyc9124, guest, {}).migrationRecord();
    const ran = doorbellSystem(skylakeSp, guest, {});
    ran.run(BUDGET);
    expect(() => ran.receive(record)).toThrow(MigrationError);
    const larger = doorbellSystem(skylakeSp, guest, { domain: { memoryBytes: 2 ** 25 } });
    expect(() => larger.receive(record)).toThrow(/memoryBytes/);
    const several = doorbellSystem(skylakeSp, guest, { domain: { vcpus: 2, doorbell: undefined } });
    expect(() => several.migrationRecord()).toThrow(/vcpus/);
  });
});
