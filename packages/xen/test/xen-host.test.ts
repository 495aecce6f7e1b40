import { epyc9124, Intercept, type ProcessorProfile, resolveProfile, State, skylakeSp } from "@hyperwalk/cpu";
import { LongModeTables, Pte } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { DOMID_SELF } from "../src/event-channel.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import type { DomainConfig, XenConfig } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";
import { type GuestScript, ScriptedProcessor } from "./scripted-processor.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSI = 6;
const RDI = 7;
const FASTABI = 0x40000000;
const BUFFER = 0x300000; // mapped at itself
const VERSION = 17;
const VCPU_OP = 24;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const HVM_OP = 34;

interface Machine {
  readonly system: XenSystem;
  readonly cpu: ScriptedProcessor;
}

/** The switches of the machine whose instructions were counted. */
const COUNTED: XenConfig = {
  ibpbEntry: false,
  rsbOverwrite: true,
  specCtrlWrite: false,
  verw: false,
  bhbClear: false,
};

function machine(
  profile: ProcessorProfile,
  script: GuestScript,
  domain: Partial<DomainConfig> = {},
  xen: XenConfig = COUNTED,
): Machine {
  const cpu = new ScriptedProcessor(profile, script);
  const system = createXenSystem({
    profile,
    xen: profile.vendor === "intel" ? { ...xen, l1dFlush: false } : xen,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] }),
      memoryBytes: 64 * 2 ** 20,
      abi: "linear",
      ...domain,
    },
    processor: cpu.asProcessor(),
  });
  let next = 0x400;
  const tables = new LongModeTables({
    memory: cpu.memory,
    allocate: () => next++,
    locate: (gfn) => system.domain.p2m.translate(gfn),
  });
  tables.mapRange(0x200, 0x200, 512, "4k", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
  cpu.cr3 = tables.rootFrame * 4096;
  return { system, cpu };
}

/** A guest in long mode that makes the same call again and again. */
function repeat(call: (cpu: ScriptedProcessor) => number, calls: number): GuestScript {
  return (cpu, step) => {
    if (step === 0) cpu.enterLongMode(cpu.cr3);
    return step < calls ? call(cpu) : undefined;
  };
}

/** Hypervisor instructions, look-ups and so on of one call in the steady state. */
function perCall(
  profile: ProcessorProfile,
  call: (cpu: ScriptedProcessor) => number,
  domain: Partial<DomainConfig> = {},
) {
  const { system, cpu } = machine(profile, repeat(call, 200), domain);
  system.run({ maxInstructions: 100 });
  const before = system.counters();
  system.run({ maxInstructions: 100 });
  const after = system.counters();
  const result = cpu.words[2 * RAX];
  const difference = (key: keyof typeof after) => (after[key] - before[key]) / 100;
  expect(after.hypercalls - before.hypercalls).toBe(100);
  return {
    result,
    instructions: difference("hypervisorInstructions"),
    lookups: difference("p2mLookups"),
    tableReads: difference("p2mTableReads"),
    pteReads: difference("guestPteReads"),
    bytes: difference("bytesCopied"),
  };
}

const getRunstateInfo = (cpu: ScriptedProcessor): number => {
  cpu.set(RDI, 4);
  cpu.set(RSI, 0);
  cpu.set(RDX, BUFFER);
  return cpu.hypercall(VCPU_OP);
};

const within = (value: number, low: number, high: number, share = 0.05): void => {
  expect(value).toBeGreaterThanOrEqual(low * (1 - share));
  expect(value).toBeLessThanOrEqual(high * (1 + share));
};

describe("instructions of a hypercall, against those counted on real Xen", () => {
  const GUEST = 9; // the guest's own, which the first count contains
  const LOOP = 5; // and the second
  const version = (cpu: ScriptedProcessor) => {
    cpu.set(RDI, 0);
    return cpu.hypercall(VERSION);
  };
  const isUp = (cpu: ScriptedProcessor) => {
    cpu.set(RDI, 3);
    cpu.set(RSI, 0);
    return cpu.hypercall(VCPU_OP);
  };
  const hardwareDomain = { hardwareDomain: true, p2mPage: "4k" } as const;
  const fewHandlers = { mmioHandlers: 3, p2mPage: "4k" } as const;

  it("SVM, without copies", () => {
    within(perCall(epyc9124, (cpu) => cpu.hypercall(60)).instructions, 641 - GUEST, 656 - GUEST, 0.005);
    within(perCall(epyc9124, version).instructions, 692 - LOOP, 694 - GUEST, 0.005);
    within(perCall(epyc9124, isUp).instructions, 709 - LOOP, 710 - GUEST, 0.005);
  });

  it("VMX, without copies", () => {
    within(perCall(skylakeSp, (cpu) => cpu.hypercall(60)).instructions, 853 - LOOP, 853 - LOOP, 0.005);
    within(perCall(skylakeSp, version).instructions, 890 - LOOP, 890 - LOOP, 0.005);
    within(perCall(skylakeSp, isUp).instructions, 907 - LOOP, 907 - LOOP, 0.005);
  });

  it("get_runstate_info on SVM: hardware domain, few handlers, one handler", () => {
    within(perCall(epyc9124, getRunstateInfo, hardwareDomain).instructions, 5582 - GUEST, 5582 - GUEST, 0.01);
    within(perCall(epyc9124, getRunstateInfo, fewHandlers).instructions, 5487 - LOOP, 5487 - LOOP, 0.01);
    const one = perCall(epyc9124, getRunstateInfo, { p2mPage: "4k" });
    within(one.instructions + GUEST, 5487, 5582, 0.03);
    const physical = { ...hardwareDomain, abi: "physaddr" } as const;
    within(perCall(epyc9124, getRunstateInfo, physical).instructions, 1922 - GUEST, 1922 - GUEST, 0.01);
    within(
      perCall(epyc9124, getRunstateInfo, { ...fewHandlers, abi: "physaddr" }).instructions,
      1804 - LOOP,
      1804 - LOOP,
      0.025,
    );
    within(
      perCall(epyc9124, getRunstateInfo, { p2mPage: "4k", abi: "physaddr" }).instructions + GUEST,
      1804,
      1922,
      0.03,
    );
  });

  it("get_runstate_info on VMX", () => {
    within(perCall(skylakeSp, getRunstateInfo, fewHandlers).instructions, 6617 - LOOP, 6617 - LOOP, 0.02);
    within(
      perCall(skylakeSp, getRunstateInfo, { ...fewHandlers, abi: "physaddr" }).instructions,
      2189 - LOOP,
      2189 - LOOP,
      0.02,
    );
  });

  it("get_time and evtchn_send on SVM, linear, physical and register-only", () => {
    const getTime = (cpu: ScriptedProcessor) => {
      cpu.set(RDI, 10);
      cpu.set(RSI, BUFFER);
      return cpu.hypercall(HVM_OP);
    };
    within(perCall(epyc9124, getTime, hardwareDomain).instructions, 5511 - GUEST, 5511 - GUEST, 0.01);
    within(
      perCall(epyc9124, getTime, { ...hardwareDomain, abi: "physaddr" }).instructions,
      1850 - GUEST,
      1850 - GUEST,
      0.01,
    );
    const fast = (number: number, subop: number) => (cpu: ScriptedProcessor) => {
      cpu.set(RDI, subop);
      cpu.set(RSI, 0);
      return cpu.hypercall(number | FASTABI);
    };
    within(
      perCall(epyc9124, fast(HVM_OP, 10), { abi: "fastabi" }).instructions,
      689 - GUEST,
      689 - GUEST,
      0.01,
    );
    within(
      perCall(epyc9124, fast(VCPU_OP, 4), { abi: "fastabi" }).instructions,
      758 - GUEST,
      758 - GUEST,
      0.01,
    );
    const send = (domain: Partial<DomainConfig>, target: number) => {
      let port = 0;
      const { system } = machine(
        epyc9124,
        repeat((cpu) => {
          cpu.set(RDI, 4);
          cpu.set(RSI, domain.abi === "fastabi" ? port : BUFFER);
          return cpu.hypercall(EVENT_CHANNEL_OP | (domain.abi === "fastabi" ? FASTABI : 0));
        }, 200),
        domain,
      );
      const { eventChannels } = system.domain;
      port = eventChannels.bindInterdomain(DOMID_SELF, eventChannels.allocUnbound(DOMID_SELF, DOMID_SELF));
      system.domain.guestMemory.writeU32(BUFFER, port);
      system.run({ maxInstructions: 100 });
      const before = system.cost.instructions;
      system.run({ maxInstructions: 100 });
      within((system.cost.instructions - before) / 100, target - GUEST, target - GUEST, 0.02);
    };
    send(hardwareDomain, 5615);
    send({ ...hardwareDomain, abi: "physaddr" }, 1952);
    send({ abi: "fastabi" }, 741);
  });
});

describe("counts of one hypercall that copies 48 bytes out", () => {
  it.each([
    ["4k", 24, 4],
    ["2m", 18, 3],
  ] as const)("p2m leaf %s", (p2mPage, linearReads, physicalReads) => {
    expect(perCall(epyc9124, getRunstateInfo, { p2mPage })).toMatchObject({
      result: 0,
      lookups: 6,
      pteReads: 4,
      tableReads: linearReads,
      bytes: 48,
    });
    expect(perCall(epyc9124, getRunstateInfo, { p2mPage, abi: "physaddr" })).toMatchObject({
      result: 0,
      lookups: 1,
      pteReads: 0,
      tableReads: physicalReads,
      bytes: 48,
    });
    const fast = (cpu: ScriptedProcessor) => {
      cpu.set(RDI, 4);
      cpu.set(RSI, 0);
      return cpu.hypercall(VCPU_OP | FASTABI);
    };
    expect(perCall(epyc9124, fast, { p2mPage, abi: "fastabi" })).toMatchObject({
      result: 0,
      lookups: 0,
      pteReads: 0,
      tableReads: 0,
      bytes: 0,
    });
  });
});

describe.each([
  ["amd", epyc9124],
  ["intel", skylakeSp],
] as const)("what hypercalls answer on %s", (_vendor, profile) => {
  /** Results (rax, low word) of a list of calls in long mode. */
  function results(
    calls: readonly ((cpu: ScriptedProcessor) => number)[],
    domain: Partial<DomainConfig> = {},
  ) {
    const seen: number[] = [];
    const { system, cpu } = machine(
      profile,
      (guest, step) => {
        if (step === 0) guest.enterLongMode(guest.cr3);
        else seen.push(guest.words[2 * RAX]);
        return calls[step]?.(guest);
      },
      domain,
    );
    const outcome = system.run({ maxInstructions: calls.length });
    seen.push(cpu.words[2 * RAX]);
    return { seen: seen.slice(0, calls.length), outcome, system, cpu };
  }

  it("a bad pointer gives -EFAULT, and the guest goes on", () => {
    const bad = (cpu: ScriptedProcessor) => {
      const event = getRunstateInfo(cpu);
      cpu.set(RDX, 0x66660000, 0x1234);
      return event;
    };
    expect(results([bad, getRunstateInfo]).seen).toEqual([-Errno.EFAULT, 0]);
  });

  it("unknown numbers, Viridian's and FastABI's bits, and bits above 32 give -ENOSYS", () => {
    const { seen, cpu } = results([
      (guest) => guest.hypercall(63),
      (guest) => guest.hypercall(VERSION | (1 << 31)),
      (guest) => guest.hypercall(VERSION | FASTABI),
      (guest) => {
        const event = guest.hypercall(VERSION);
        guest.set(RAX, VERSION, 1);
        return event;
      },
    ]);
    expect(seen).toEqual([-38, -38, -38, -38]);
    expect(cpu.words[2 * RAX + 1]).toBe(-1);
  });

  it("CPL 3 gives -EPERM", () => {
    const fromUser = (cpu: ScriptedProcessor) => {
      cpu.words[State.Cpl] = 3;
      cpu.words[State.Segments + 16 + 1] = 0xc0f3; // SS: DPL 3
      return cpu.hypercall(VERSION);
    };
    expect(results([fromUser]).seen).toEqual([-Errno.EPERM]);
  });

  it("physaddr leaves linear addresses unread, fastabi answers beside the linear interface", () => {
    const physaddr = results([getRunstateInfo, (cpu) => cpu.hypercall(VERSION | FASTABI)], {
      abi: "physaddr",
    });
    expect(physaddr.seen).toEqual([0, -38]);
    const version = (bits: number) => (cpu: ScriptedProcessor) => {
      cpu.set(RDI, 0);
      return cpu.hypercall(VERSION | bits);
    };
    expect(results([version(0), version(FASTABI)], { abi: "fastabi" }).seen).toEqual([0x40017, 0x40017]);
  });

  it("sched_op shutdown ends the run; a further run answers the same", () => {
    const off = (cpu: ScriptedProcessor) => {
      cpu.set(RDI, 2);
      cpu.set(RSI, BUFFER);
      return cpu.hypercall(SCHED_OP);
    };
    const { outcome, system } = results([off]);
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(system.run()).toEqual(outcome);
  });

  it("CPUID finds Xen, the hypercall page is written, other MSRs are #GP", () => {
    const { system, cpu } = machine(profile, (guest, step) => {
      if (step === 0) guest.set(RAX, 0x40000000);
      else if (step === 1) {
        expect(guest.words[2 * RBX]).toBe(0x566e6558);
        guest.set(RCX, 0x40000000);
        guest.set(RAX, 0x5000);
        guest.set(RDX, 0);
        return Intercept.Wrmsr;
      } else if (step === 2) {
        guest.set(RAX, 0x5001);
        return Intercept.Wrmsr;
      } else if (step === 3) {
        guest.set(RCX, 0x4b564d00);
        return Intercept.Rdmsr;
      } else return undefined;
      return Intercept.Cpuid;
    });
    system.run({ maxInstructions: 4 });
    expect(cpu.delivered).toEqual([13]);
    system.run({ maxInstructions: 1, maxCycles: 1 });
    const call = [...system.hardware.hypercallInstruction];
    expect([...system.domain.guestMemory.readBytes(0x5000 + 24 * 32, 9)]).toEqual([
      0xb8,
      24,
      0,
      0,
      0,
      ...call,
      0xc3,
    ]);
  });

  it("port 0xe9 prints; other ports answer all ones", () => {
    const text = "hi\n";
    const { system, cpu } = machine(profile, (guest, step) => {
      if (step < text.length) {
        guest.set(RAX, text.charCodeAt(step));
        guest.info = 0xe9 | (1 << 16);
        return Intercept.IoWrite;
      }
      if (step > text.length) return undefined;
      guest.set(RAX, 0x11223344, 0x55);
      guest.info = 0x60 | (1 << 16);
      return Intercept.IoRead;
    });
    system.run({ maxInstructions: 4 });
    expect(system.console).toBe(text);
    expect([cpu.words[0] >>> 0, cpu.words[1]]).toEqual([0x112233ff, 0x55]);
  });

  it("HLT without a source of events ends the run", () => {
    const { system } = machine(profile, () => Intercept.Hlt);
    expect(system.run()).toMatchObject({ reason: "halted" });
  });

  it("ends with a budget, and goes on from there", () => {
    const { system } = machine(profile, repeat(getRunstateInfo, 1e9));
    expect(system.run({ maxInstructions: 10 })).toMatchObject({ reason: "budget", budget: "instructions" });
    expect(system.counters().hypercalls).toBe(10);
    expect(system.run({ maxCycles: 1e5 })).toMatchObject({ reason: "budget", budget: "cycles" });
    expect(system.counters().hypercalls).toBeGreaterThan(12);
  });

  it("charges every tick once and comes back to the root phase", () => {
    const { system } = machine(profile, repeat(getRunstateInfo, 50), {}, {});
    system.run({ maxInstructions: 50 });
    const rows = system.ledger.rows();
    expect(rows.reduce((sum, row) => sum + row.ticks, 0)).toBe(system.ledger.clock[0]);
    expect(system.ledger.phaseDepth).toBe(0);
    const phases = new Set(rows.map((row) => row.phase));
    for (const phase of [
      "vm-exit",
      "entry assembly",
      "mitigations: RSB overwrite",
      "guest walk",
      "p2m lookup",
      "copy",
      "vm-entry",
    ])
      expect(phases).toContain(phase);
  });

  it("measures the interval between two timestamps that holds most hypercalls", () => {
    const { system } = machine(profile, (cpu, step) => {
      if (step === 0) cpu.enterLongMode(cpu.cr3);
      if (step === 2 || step === 30 || step === 33) cpu.readTimestamp();
      return step < 40 ? getRunstateInfo(cpu) : undefined;
    });
    system.run({ maxInstructions: 40 });
    const { window } = system;
    expect(window).toMatchObject({ hypercalls: 28, counters: { p2mLookups: 28 * 6, hypercalls: 28 } });
    const ticks = window?.rows.reduce((sum, row) => sum + row.ticks, 0);
    expect(ticks).toBe((window?.cycles ?? 0) * 256);
    expect(window?.tscDifference).toBe(window?.cycles);
  });

  it("tells listeners, and only while they listen", () => {
    const { system } = machine(profile, repeat(getRunstateInfo, 10));
    const calls: unknown[] = [];
    const listener = (event: { number: number; operation: string | undefined; result: number }) => {
      calls.push([event.number, event.operation, event.result]);
    };
    let exits = 0;
    system.on("hypercall", listener).on("vm-exit", () => exits++);
    system.run({ maxInstructions: 2 });
    system.off("hypercall", listener);
    system.run({ maxInstructions: 2 });
    expect(calls).toEqual([
      [24, "vcpu.get_runstate_info", 0],
      [24, "vcpu.get_runstate_info", 0],
    ]);
    expect(exits).toBe(4);
  });
});

describe("mitigations", () => {
  const unknown = (cpu: ScriptedProcessor) => cpu.hypercall(60);

  /** Instructions, ticks and predictor epochs of one exit in the steady state. */
  function perExit(profile: ProcessorProfile, call: (cpu: ScriptedProcessor) => number, xen: XenConfig) {
    const { system, cpu } = machine(profile, repeat(call, 300), { p2mPage: "4k" }, { ...COUNTED, ...xen });
    system.run({ maxInstructions: 100 });
    const before = {
      instructions: system.cost.instructions,
      ticks: system.ledger.clock[0],
      epoch: cpu.predictor.epoch,
    };
    system.run({ maxInstructions: 100 });
    return {
      instructions: (system.cost.instructions - before.instructions) / 100,
      cycles: (system.ledger.clock[0] - before.ticks) / 256 / 100,
      epochs: (cpu.predictor.epoch - before.epoch) / 100,
    };
  }

  it("without RSB overwrite -ENOSYS takes 575 to 597 instructions, as counted with spec-ctrl=no", () => {
    const { instructions } = perExit(epyc9124, unknown, { rsbOverwrite: false });
    expect(instructions + 9).toBeGreaterThanOrEqual(575);
    expect(instructions + 9).toBeLessThanOrEqual(597);
  });

  it("IBPB costs itself and every cold branch of the path", () => {
    const off = perExit(epyc9124, unknown, {});
    const on = perExit(epyc9124, unknown, { ibpbEntry: true });
    const { timing } = resolveProfile(epyc9124);
    expect([off.epochs, on.epochs]).toEqual([0, 1]);
    expect(on.cycles - off.cycles).toBeGreaterThan(timing.ibpb + 30 * timing.branchMispredict);
    expect(on.cycles - off.cycles).toBeLessThan(timing.ibpb + 70 * timing.branchMispredict);
  });

  it("lock hardening is one LFENCE a look-up and one in the interrupt assist", () => {
    const { timing } = resolveProfile(epyc9124);
    const on = perExit(epyc9124, getRunstateInfo, {});
    const off = perExit(epyc9124, getRunstateInfo, { lockHarden: false });
    expect(off.instructions).toBe(on.instructions);
    expect(on.cycles - off.cycles).toBeCloseTo(7 * (timing.lfence - timing.issue), 0);
  });

  it.each([
    ["specCtrlWrite", epyc9124, 2],
    ["verw", epyc9124, 1],
    ["bhbClear", skylakeSp, 0],
    ["specCtrlWrite", skylakeSp, 1],
  ] as const)("%s costs what it costs", (key, profile, barriers) => {
    const { timing } = resolveProfile(profile);
    const off = perExit(profile, unknown, {});
    const on = perExit(profile, unknown, { [key]: true });
    const price = key === "verw" ? timing.verw : timing.wrmsrSpecCtrl;
    expect(on.instructions).toBeGreaterThan(off.instructions);
    expect(on.cycles - off.cycles).toBeGreaterThan(barriers * price);
  });
});
