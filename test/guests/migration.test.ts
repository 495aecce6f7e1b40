import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import {
  IMAGE_LINEAR,
  IMAGE_PHYSICAL,
  type NotifyTransport,
  notifyForever,
  notifyLoop,
} from "@hyperwalk/guest-sdk";
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
const BUDGET = { maxInstructions: 1500 };
/** Instructions that one notification can take at most; the loop around it is a jump. */
const MOST_INSTRUCTIONS = 20;
/** Notifications of a whole budget at the least: dozens. */
const DOZENS = BUDGET.maxInstructions / MOST_INSTRUCTIONS;
/** The forms of a hypercall that there are, and a port. */
const FORMS = ["hypercall-inline", "hypercall-page", "hypercall-patched", "pio"] as const;
/** VMMCALL and VMCALL. */
const INSTRUCTION = { amd: [0x0f, 0x01, 0xd9], intel: [0x0f, 0x01, 0xc1] } as const;
const LINEAR_TO_PHYSICAL: number = Number(IMAGE_LINEAR & 0xffffffffn) - IMAGE_PHYSICAL;

function rung(system: XenSystem): number {
  return system.domain.doorbell?.load(DoorbellRegister.Notify, 4) ?? -1;
}

describe.each(WAYS)("a running guest moves from %s", (_, from, to) => {
  /** Where the guest's handler of #UD has left the RIP of the undefined instruction, guest-physical. */
  const undefinedAt = (system: XenSystem) =>
    (system.vcpus[0].control.registers.lo(0) - LINEAR_TO_PHYSICAL) >>> 0;
  const linked = (transport: NotifyTransport) =>
    notifyForever({ transport }).link({ abi: "linear", vendor: from.vendor });

  /** Runs for a while at home, then elsewhere. */
  function moved(
    transport: NotifyTransport,
    pages: "stale" | "rewritten",
    domain: Partial<DomainConfig> = {},
  ) {
    const guest = notifyForever({ transport });
    const home = doorbellSystem(from, guest, { domain });
    const { text } = linked(transport);
    const launch = measureMemory(home.domain.guestMemory, text);
    home.run(BUDGET);
    const before = rung(home);
    const away = doorbellSystem(to, guest, { domain });
    away.receive(home.migrationRecord(), pages);
    expect([rung(away), before > DOZENS]).toEqual([before, true]);
    const outcome = away.run(BUDGET);
    return { home, away, before, outcome, text, launch };
  }

  /** It goes on: dozens of notifications later only the budget ends it. */
  const survives = ({ away, before, outcome }: ReturnType<typeof moved>) =>
    outcome.reason === "budget" && rung(away) > before + DOZENS;
  /** #UD in the guest's own text, before another notification, by the instruction that home has and this processor has not. */
  const expectFault = ({ away, before, outcome, text }: ReturnType<typeof moved>) => {
    expect(outcome).toMatchObject({ reason: "halted", detail: /^HLT/ });
    expect(rung(away)).toBe(before);
    const at = undefinedAt(away);
    expect(at).toBeGreaterThanOrEqual(text.address);
    expect(at).toBeLessThan(text.address + text.bytes);
    expect([...away.domain.guestMemory.readBytes(at, 3)]).toEqual(INSTRUCTION[from.vendor]);
  };

  it("with a port, and with a page of registers, which go on as if nothing had happened", () => {
    expect(survives(moved("pio", "stale"))).toBe(true);
    expect(survives(moved("mmio", "stale"))).toBe(true);
  });

  it("with a hypercall page, which is the other vendor's: #UD in its stub, unless somebody fills it anew", () => {
    const stale = moved("hypercall-page", "stale");
    expect(stale.outcome).toMatchObject({ reason: "halted", detail: /^HLT/ });
    expect(rung(stale.away)).toBe(stale.before);
    expect(survives(moved("hypercall-page", "rewritten"))).toBe(true);
    // In the page, at the stub of the doorbell's hypercall behind its MOV.
    const { hypercallPage } = linked("hypercall-page");
    expect(undefinedAt(stale.away)).toBe(hypercallPage + 100 * 32 + 5);
  });

  it("with the instruction in its text, which is #UD: rewriting pages does not help", () => {
    expectFault(moved("hypercall-inline", "rewritten"));
    // MMIO over hypercall asked once, and was told that there is one.
    expectFault(moved("mmio-over-hypercall", "rewritten"));
  });

  it("with a patched site, which was patched for where it was: #UD, or patched once more", () => {
    const patch = { hypercallFixup: "patch" } as const;
    const guest = notifyForever({ transport: "hypercall-patched" });
    const home = doorbellSystem(from, guest, { domain: patch });
    home.run(BUDGET);
    const record = home.migrationRecord();
    const nobody = doorbellSystem(to, guest, {});
    nobody.receive(record);
    const { text } = linked("hypercall-patched");
    expectFault({ home, away: nobody, before: rung(home), outcome: nobody.run(BUDGET), text, launch: "" });
    const again = doorbellSystem(to, guest, { domain: patch });
    again.receive(record);
    let exceptions = 0;
    again.on("vm-exit", ({ name }) => {
      if (/exception/i.test(name)) exceptions++;
    });
    expect(again.run(BUDGET).reason).toBe("budget");
    expect([exceptions, rung(again) > rung(home) + DOZENS]).toEqual([1, true]);
  });

  const emulate = { hypercallFixup: "emulate" } as const;

  it.each(FORMS)(
    "with any of them where the hypervisor traps #UD and makes the call, its text that of the launch: %s",
    (transport) => {
      const run = moved(transport, "stale", emulate);
      expect(survives(run)).toBe(true);
      const { away, home, text, launch } = run;
      for (const { domain } of [home, away]) expect(measureMemory(domain.guestMemory, text)).toBe(launch);
    },
  );

  it("for the price of a walk each time", () => {
    const { away } = moved("hypercall-inline", "stale", emulate);
    const cyclesOf = (system: XenSystem) => {
      const at = { cycles: system.cycles, rung: rung(system) };
      system.run(BUDGET);
      return (system.cycles - at.cycles) / (rung(system) - at.rung);
    };
    const native = doorbellSystem(to, notifyForever({ transport: "hypercall-inline" }), {});
    native.run(BUDGET);
    expect(cyclesOf(away)).toBeGreaterThan(1.5 * cyclesOf(native));
  });

  it.each(FORMS)("and back, with memory, registers and ring as if it had never left: %s", (transport) => {
    const guest = notifyLoop({ transport, batch: 4 });
    const patch = { domain: emulate } as const;
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
