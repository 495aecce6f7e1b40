import { epyc9124, PROFILES, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import {
  IMAGE_LINEAR,
  IMAGE_PHYSICAL,
  NOTIFY_TRANSPORTS,
  type NotifyTransport,
  notifyForever,
  notifyLoop,
} from "@hyperwalk/guest-sdk";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import {
  createXenSystem,
  DOORBELL_GFN,
  DoorbellRegister,
  DoorbellRing,
  XenConfigError,
} from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { doorbellSystem, ITERATIONS, notified } from "./doorbell.ts";

/** What the guest rings besides its measured loop. */
const FURTHER = 1 + 64;
/** Those that need nothing of the hypervisor. */
const PLAIN = NOTIFY_TRANSPORTS.filter((transport) => transport !== "hypercall-patched");
/** Cycles: a jump that is mispredicted costs about 20 on all of these processors. */
const TWO_MISPREDICTIONS = 40;
const FOREIGN = { amd: [0x0f, 0x01, 0xc1], intel: [0x0f, 0x01, 0xd9] } as const;
const IMAGE_LINEAR_LO = Number(BigInt.asIntN(32, IMAGE_LINEAR));
const MACHINES: readonly (readonly [string, ProcessorProfile])[] = PROFILES.map((p) => [p.id, p]);

describe.each(MACHINES)("notifications under Xen on %s", (_, profile) => {
  const cost = (transport: NotifyTransport, fastMmio = false) =>
    notified(profile, fastMmio ? { transport, doorbell: { fastMmio } } : { transport }).cycles;

  it.each(PLAIN)("arrive through %s, each once, and the ledger accounts for every cycle", (transport) => {
    const { system, outcome, cycles, rows } = notified(profile, { transport });
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(system.domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(ITERATIONS + FURTHER);
    expect(rows.reduce((sum, row) => sum + row.ticks, 0)).toBe(cycles * ITERATIONS * TICKS_PER_CYCLE);
    expect(system.console).toContain(` cycles=${cycles * ITERATIONS}\n`);
  });

  it("cost least by hypercall, more by port and by far the most by an emulated store", () => {
    const [inline, page, pio, mmio] = (["hypercall-inline", "hypercall-page", "pio", "mmio"] as const).map(
      (transport) => cost(transport),
    );
    expect(inline).toBeLessThan(page); // a call and a return
    expect(inline).toBeLessThan(pio);
    expect(2 * pio).toBeLessThan(mmio);
  });

  it("cost an MMIO guest no more than a hypercall and a search where the hypercall is offered, and its stores where not", () => {
    const offered = cost("mmio-over-hypercall");
    expect(offered).toBeGreaterThan(cost("hypercall-inline"));
    expect(offered).toBeLessThan(cost("mmio") / 2);
    const { cycles, system } = notified(profile, {
      transport: "mmio-over-hypercall",
      doorbell: { hypercalls: false },
    });
    expect(system.domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(ITERATIONS + FURTHER);
    // A comparison and two jumps more than the store alone, which also move the loop to other lines.
    expect(Math.abs(cycles - cost("mmio"))).toBeLessThan(TWO_MISPREDICTIONS);
  });

  it("cost about as little as through a port where a store's address alone is looked at, which needs Intel's exits", () => {
    const fast = cost("mmio", true);
    if (profile.vendor === "amd") expect(fast).toBe(cost("mmio"));
    else {
      // An EPT violation of its own, and no instruction to look at.
      expect(fast).toBeGreaterThan(cost("pio"));
      expect(fast - cost("pio")).toBeLessThan(cost("mmio") - fast);
    }
  });

  it("cost more through a device model in another domain than the choice of the transport makes", () => {
    const out = (transport: NotifyTransport) =>
      notified(profile, { transport, doorbell: { handler: "user-space" } }).cycles;
    expect(out("hypercall-inline") - cost("hypercall-inline")).toBeGreaterThan(cost("mmio"));
    // The way is the same for all of them.
    expect(out("hypercall-inline")).toBeLessThan(out("pio"));
    expect(out("pio")).toBeLessThan(out("mmio"));
  });
});

describe.each([epyc9124, skylakeSp].map((p) => [p.id, p] as const))("a shared ring on %s", (_, profile) => {
  const batches = [1, 2, 8, 32];

  it("brings every message, in order, whatever the batch", () => {
    for (const batch of batches) {
      const { system } = notified(profile, { transport: "pio", batch });
      const messages = batch * (ITERATIONS + FURTHER);
      const { doorbell } = system.domain;
      expect(doorbell?.load(DoorbellRegister.Messages, 4)).toBe(messages);
      // Lengths of 1500, and identities 0, 1, 2 …
      expect(doorbell?.load(DoorbellRegister.Sum, 4)).toBe(1500 * messages + (messages * (messages - 1)) / 2);
    }
  });

  it("makes a message cost what it costs by itself and its share of the doorbell", () => {
    const perMessage = batches.map((batch) => notified(profile, { transport: "pio", batch }).cycles / batch);
    expect(perMessage).toEqual([...perMessage].sort((a, b) => b - a));
    const cycles = perMessage.map((each, i) => each * batches[i]);
    expect(cycles).toEqual([...cycles].sort((a, b) => a - b));
    // Thirty-one further messages cost less than the doorbell that they share …
    const { cycles: bare } = notified(profile, { transport: "pio" });
    expect(cycles[3] - cycles[0]).toBeLessThan(bare);
    // … and more than the first one with the look into the ring.
    expect(cycles[0]).toBeGreaterThan(bare);
    expect(cycles[0] - bare).toBeLessThan(cycles[3] - cycles[0]);
  });
});

describe.each(MACHINES)("the other vendor's hypercall instruction on %s", (_, profile) => {
  const patched = (hypercallFixup: "patch" | "emulate") =>
    notified(profile, { transport: "hypercall-patched", domain: { hypercallFixup } });

  it("is #UD in the guest, as Xen has it", () => {
    const guest = notifyForever({ transport: "hypercall-patched" });
    const system = doorbellSystem(profile, guest, {});
    expect(system.run({ maxInstructions: 10_000 })).toMatchObject({ reason: "halted", detail: /^HLT/ });
    expect(system.domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(0);
    // RAX: where it was undefined.
    const { registers } = system.vcpus[0].control;
    const at = registers.lo(0) - (IMAGE_LINEAR_LO - IMAGE_PHYSICAL);
    expect([...system.domain.guestMemory.readBytes(at, 3)]).toEqual(FOREIGN[profile.vendor]);
  });

  it("is rewritten where it is the first time, and costs nothing more afterwards", () => {
    const { cycles, first, system } = patched("patch");
    expect(system.domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(ITERATIONS + FURTHER);
    const inline = notified(profile, { transport: "hypercall-inline" });
    expect(cycles).toBe(inline.cycles);
    // Another exit, and two walks of the guest's tables.
    expect(first).toBeGreaterThan(inline.first + cycles);
  });

  it("costs an exception and a walk each time where the call is made for it", () => {
    const { cycles, system } = patched("emulate");
    expect(system.domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(ITERATIONS + FURTHER);
    const inline = notified(profile, { transport: "hypercall-inline" }).cycles;
    expect(cycles).toBeGreaterThan(1.5 * inline);
    expect(cycles).toBeLessThan(notified(profile, { transport: "mmio" }).cycles);
  });
});

describe("a doorbell and a hostile guest", () => {
  /** A ring in guest memory that says it holds so much. */
  function ringed(produced: number) {
    const system = doorbellSystem(epyc9124, notifyLoop({ transport: "pio" }), {});
    const { domain } = system;
    domain.guestMemory.writeU32(0x5000 + DoorbellRing.Produced, produced);
    domain.doorbell?.store(DoorbellRegister.Ring, 4, 5);
    domain.doorbell?.notify();
    return system;
  }

  it("does not look at a ring that claims to hold more than fits, until it is given again", () => {
    const { domain } = ringed(DoorbellRing.Count + 1);
    const { doorbell, guestMemory } = domain;
    const messages = () => doorbell?.load(DoorbellRegister.Messages, 4);
    expect(messages()).toBe(0);
    guestMemory.writeU32(0x5000, 1);
    doorbell?.notify();
    expect(messages()).toBe(0);
    doorbell?.store(DoorbellRegister.Ring, 4, 5);
    doorbell?.notify();
    expect([messages(), guestMemory.readU32(0x5000 + DoorbellRing.Consumed)]).toEqual([1, 1]);
  });

  it("takes a full ring, and a ring whose counts wrap", () => {
    const { domain } = ringed(DoorbellRing.Count);
    expect(domain.doorbell?.load(DoorbellRegister.Messages, 4)).toBe(DoorbellRing.Count);
  });

  it("has no ring at a frame that is none, and rings all the same", () => {
    const { domain } = doorbellSystem(epyc9124, notifyLoop({ transport: "pio" }), {});
    for (const gfn of [0xffffffff, DOORBELL_GFN, 0x10000])
      domain.doorbell?.store(DoorbellRegister.Ring, 4, gfn);
    domain.doorbell?.notify();
    expect(domain.doorbell?.load(DoorbellRegister.Notify, 4)).toBe(1);
  });

  it("is in snapshots", () => {
    const make = () => doorbellSystem(skylakeSp, notifyLoop({ transport: "mmio", batch: 4 }), {});
    const whole = make();
    whole.run({ maxInstructions: 100_000 });
    const first = make();
    first.run({ maxInstructions: 5000 });
    expect(first.domain.doorbell?.load(DoorbellRegister.Messages, 4)).toBeGreaterThan(0);
    const second = make();
    second.restore(first.snapshot());
    second.run({ maxInstructions: 100_000 });
    expect(second.domain.doorbell?.snapshot()).toEqual(whole.domain.doorbell?.snapshot());
    expect([second.console, second.ledger.cycles]).toEqual([whole.console, whole.ledger.cycles]);
    const another = doorbellSystem(skylakeSp, notifyLoop({ transport: "mmio", batch: 4 }), {
      doorbell: { handler: "user-space" },
    });
    expect(() => another.restore(first.snapshot())).toThrow(/domain\.doorbell/);
  });

  it.each([
    [{ handler: "ioeventfd" }, "domain.doorbell.handler"],
    [{ handler: "dom0" }, "domain.doorbell.handler"],
    [{ handler: "hypervisor", fastMmio: 1 }, "domain.doorbell.fastMmio"],
    [{ handler: "hypervisor", hypercalls: "yes" }, "domain.doorbell.hypercalls"],
  ])("is refused as %j", (doorbell, key) => {
    const image = notifyLoop({ transport: "pio" }).build({ abi: "linear", vendor: "amd" });
    const make = () =>
      createXenSystem({
        profile: epyc9124,
        domain: { image, memoryBytes: 2 ** 24, abi: "linear", doorbell: doorbell as never },
      });
    expect(make).toThrow(XenConfigError);
    expect(make).toThrow(key);
  });
});
