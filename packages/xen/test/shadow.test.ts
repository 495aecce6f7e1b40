import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import type { DomainConfig } from "../src/xen-config.ts";
import { ENABLE, END, EOI, flatGuest, IRET, le, print, STI, store, VECTOR } from "./flat-guest.ts";
import { type GuestModeName, modeGuest, RESULT, STRUCT } from "./mode-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

const RUNSTATE = [24, 4, 0, STRUCT] as const;
const SHADOW = { domain: { paging: "shadow" } } as const;
/** Level-1 entry of an address below 2 MiB in mode guests' PAE and 4-level tables, and in their 2-level ones. */
const entryOf = (address: number, level1: number) => level1 + 8 * (address / 4096);
const LEVEL1 = { long: 0x23000, pae: 0x22000 } as const;
const FLAGS = 0x67;
const OTHER = 0x41000;
/** mov eax, [address]; mov [address], eax; mov dword [address], value */
const loadEax = (address: number) => [0xa1, ...le(address)];
const storeEax = (address: number) => [0xa3, ...le(address)];
const put = (address: number, value: number) => [0xc7, 0x05, ...le(address), ...le(value)];
const INVLPG_STRUCT = [0x0f, 0x01, 0x3d, ...le(STRUCT)];
const [MOV_CR3_TO_EAX, MOV_EAX_TO_CR3] = [
  [0x0f, 0x20, 0xd8],
  [0x0f, 0x22, 0xd8],
];

function watch(system: ReturnType<typeof modeGuest>) {
  const calls: { lookups: number; pteReads: number }[] = [];
  const exits: string[] = [];
  let before = system.counters();
  system.on("vm-exit", ({ name }) => {
    exits.push(name);
    before = system.counters();
  });
  system.on("hypercall", () => {
    const after = system.counters();
    calls.push({
      lookups: after.p2mLookups - before.p2mLookups,
      pteReads: after.guestPteReads - before.guestPteReads,
    });
  });
  return { calls, exits };
}

function runOn(profile: ProcessorProfile, mode: GuestModeName, after: readonly number[]) {
  const system = modeGuest(profile, mode, RUNSTATE, SHADOW, after);
  const { calls, exits } = watch(system);
  const { guestMemory } = system.domain;
  guestMemory.writeU32(OTHER, 0x2222);
  const outcome = system.run({ maxInstructions: 5000 });
  expect(outcome.reason, JSON.stringify(outcome)).toBe("budget");
  const read = (address: number) => guestMemory.readU32(address);
  return { system, calls, exits, read, result: read(RESULT) | 0 };
}

/** Registers still have the call's arguments: only the number goes back to eax. */
const again = ({ vendor }: ProcessorProfile) => [0xb8, ...le(24), 0x0f, 0x01, vendor === "amd" ? 0xd9 : 0xc1];

describe.each([
  ["SVM", epyc9124, "exception-14", "npf"],
  ["VMX", skylakeSp, "exception-or-nmi", "ept-violation"],
] as const)("a shadow-paged guest under %s", (_name, profile, pageFault, secondStageFault) => {
  const AGAIN = again(profile);
  const run = (mode: GuestModeName, after: readonly number[] = []) => runOn(profile, mode, after);

  it.each([
    ["unpaged", 0],
    ["vm86", -1],
    ["user", -1],
    ["pse", 0],
    ["legacy", 0],
    ["pae", 0],
    ["pae2m", 0],
    ["compat", 0],
    ["long", 0],
    ["long2m", 0],
  ] as const)("runs in mode %s", (mode, result) => {
    const done = run(mode);
    expect(done.exits).toContain(pageFault);
    expect(done.exits).not.toContain(secondStageFault);
    expect([done.result, done.calls.length]).toEqual([result, 1]);
    expect(done.system.hardware.enter).toBeDefined();
    expect(done.system.processor.mmu.context.secondStage).toBeNull();
  });

  it.each([
    ["long", 4, 4],
    ["long2m", 3, 3],
    ["pae", 3, 3],
    ["legacy", 2, 2],
  ] as const)(
    "%s: a linear copy misses its virtual TLB once, with %d look-ups and %d entries",
    (mode, lookups, pteReads) => {
      const miss = { lookups, pteReads };
      const hit = { lookups: 1, pteReads: 0 };
      // The third call comes after INVLPG, of any page.
      const invlpg = [
        ...AGAIN,
        ...(mode.startsWith("long") ? [0x0f, 0x01, 0x3c, 0x25, ...le(OTHER)] : INVLPG_STRUCT),
        ...AGAIN,
      ];
      const { calls, exits } = run(mode, [...AGAIN, ...invlpg]);
      expect(calls).toEqual([miss, hit, hit, miss]);
      expect(exits).toContain("invlpg");
      // The guest's own fault leaves its translation there, too: for a write, which serves reads as well.
      const touched = run(
        mode,
        mode.startsWith("long") ? [] : [...put(OTHER, 1), 0xba, ...le(OTHER), ...AGAIN],
      );
      if (!mode.startsWith("long")) expect(touched.calls).toEqual([miss, hit]);
    },
  );

  it("forgets virtual translations at CR3 loads", () => {
    const { calls } = run("pae", [0x50, ...MOV_CR3_TO_EAX, ...MOV_EAX_TO_CR3, 0x58, ...AGAIN]);
    expect(calls).toEqual([
      { lookups: 3, pteReads: 3 },
      { lookups: 3, pteReads: 3 },
    ]);
  });

  it("sees its own changes of page tables, which are carried out for it", () => {
    // STRUCT's page is read, mapped elsewhere by a store, and read again.
    const change = put(entryOf(STRUCT, LEVEL1.pae), OTHER | FLAGS);
    const after = [
      ...loadEax(STRUCT),
      ...change,
      ...INVLPG_STRUCT,
      ...loadEax(STRUCT),
      ...storeEax(RESULT + 4),
    ];
    const { read, exits } = run("pae", after);
    expect(read(RESULT + 4)).toBe(0x2222);
    expect(read(entryOf(STRUCT, LEVEL1.pae))).toBe(OTHER | FLAGS);
    // The table is writable again for nobody: each store faults.
    const twice = run("pae", [...loadEax(STRUCT), ...change, ...change, ...change]);
    const faults = (list: string[]) => list.filter((name) => name === pageFault).length;
    expect(faults(twice.exits)).toBeGreaterThan(faults(run("pae", [...loadEax(STRUCT)]).exits) + 2);
    expect(exits).toContain("invlpg");
  });

  it("writes its tables with instructions that are not carried out for it: such a table is unshadowed", () => {
    // The second 2 MiB have a table of their own, which is reached through the first one's.
    const [directory, second, linear] = [0x21000, 0x24000, 0x200000];
    const pop = (entry: number) => [0x68, ...le(STRUCT | FLAGS), 0x8f, 0x05, ...le(entry)];
    const invlpg = [0x0f, 0x01, 0x3d, ...le(linear)];
    const make = (after: readonly number[]) => {
      const system = modeGuest(profile, "pae", [17, 0, 0, 0], SHADOW, after);
      const { guestMemory } = system.domain;
      guestMemory.writeU32(directory + 8, second | FLAGS);
      guestMemory.writeU32(second, OTHER | FLAGS);
      guestMemory.writeU32(OTHER, 0x2222);
      guestMemory.writeU32(STRUCT, 0x3333);
      return system;
    };
    const system = make([
      ...loadEax(linear),
      ...storeEax(RESULT + 4),
      ...pop(second),
      ...invlpg,
      ...loadEax(linear),
      ...storeEax(RESULT + 8),
    ]);
    expect(system.run({ maxInstructions: 2000 }).reason).toBe("budget");
    const { guestMemory } = system.domain;
    expect([guestMemory.readU32(RESULT + 4), guestMemory.readU32(RESULT + 8)]).toEqual([0x2222, 0x3333]);
    // Where the table maps itself there is no way out.
    const stuck = make(pop(entryOf(linear - 4096, LEVEL1.pae))).run({ maxInstructions: 2000 });
    expect(stuck).toMatchObject({ reason: "shutdown", shutdown: "crash" });
    expect(stuck.detail).toMatch(/shadow paging/);
  });

  it("has accessed and dirty flags where it touched, and no others", () => {
    const system = modeGuest(profile, "pae", [17, 0, 0, 0], SHADOW, [...loadEax(STRUCT), ...put(OTHER, 1)]);
    const { guestMemory } = system.domain;
    const third = 0x42000;
    for (const at of [STRUCT, OTHER, third]) guestMemory.writeU32(entryOf(at, LEVEL1.pae), at | 3);
    system.run({ maxInstructions: 2000 });
    const flags = [STRUCT, OTHER, third].map((at) => guestMemory.readU32(entryOf(at, LEVEL1.pae)) & 0x60);
    expect(flags).toEqual([0x20, 0x60, 0]);
  });

  it("writes to a page that it has only read so far", () => {
    const system = modeGuest(profile, "pae", [17, 0, 0, 0], SHADOW, [...loadEax(OTHER), ...put(OTHER, 7)]);
    const entry = entryOf(OTHER, LEVEL1.pae);
    system.domain.guestMemory.writeU32(entry, OTHER | 3);
    system.run({ maxInstructions: 2000 });
    expect(system.domain.guestMemory.readU32(OTHER)).toBe(7);
    expect(system.domain.guestMemory.readU32(entry) & 0x60).toBe(0x60);
  });

  it("gets its own page faults, with error code and CR2", () => {
    // handler: pop the error code to RESULT + 4, CR2 to RESULT + 8, print, halt
    const handler = [0x58, ...storeEax(RESULT + 4), 0x0f, 0x20, 0xd0, ...storeEax(RESULT + 8), ...END];
    const faulting = (entry: number, access: readonly number[]) => {
      const system = modeGuest(profile, "pae", [17, 0, 0, 0], SHADOW, access, { 14: handler });
      system.domain.guestMemory.writeU32(entryOf(OTHER, LEVEL1.pae), entry);
      expect(system.run({ maxInstructions: 5000 }).reason).toBe("halted");
      const { guestMemory } = system.domain;
      return [guestMemory.readU32(RESULT + 4), guestMemory.readU32(RESULT + 8)];
    };
    expect(faulting(0, loadEax(OTHER))).toEqual([0, OTHER]);
    expect(faulting(0, put(OTHER, 1))).toEqual([2, OTHER]);
    expect(faulting(OTHER | 1, put(OTHER + 8, 1))).toEqual([3, OTHER + 8]); // CR0.WP is set
    expect(
      faulting(OTHER | FLAGS, [...loadEax(OTHER), ...put(entryOf(OTHER, LEVEL1.pae), 0), ...loadEax(OTHER)]),
    ).toEqual([0, OTHER]);
  });

  it("tells fetches from reads in error codes only where the guest has no-execute pages", () => {
    const jump = [0xb8, ...le(OTHER), 0xff, 0xe0];
    const nxe = [0xb9, ...le(0xc0000080), 0xb8, ...le(0x800), 0xba, ...le(0), 0x0f, 0x30];
    const errorCode = (code: readonly number[]) => {
      const handler = [0x58, ...storeEax(RESULT + 4), ...END];
      const system = modeGuest(profile, "pae", [17, 0, 0, 0], SHADOW, code, { 14: handler });
      system.domain.guestMemory.writeU32(entryOf(OTHER, LEVEL1.pae), 0);
      expect(system.run({ maxInstructions: 5000 }).reason).toBe("halted");
      return system.domain.guestMemory.readU32(RESULT + 4);
    };
    expect(errorCode(jump)).toBe(0);
    expect(errorCode([...nxe, ...jump])).toBe(0x10);
  });

  it("reads back the control registers that it believes to have, and MSRs", () => {
    let at = RESULT;
    const save = () => {
      at += 4;
      return storeEax(at);
    };
    const [readCr0, readCr4] = [
      [0x0f, 0x20, 0xc0],
      [0x0f, 0x20, 0xe0],
    ];
    const rdmsr = (msr: number) => [0xb9, ...le(msr), 0x0f, 0x32];
    const wrmsr = (msr: number, lo: number, hi: number) => [
      ...[0xb9, ...le(msr), 0xb8, ...le(lo), 0xba, ...le(hi)],
      ...[0x0f, 0x30],
    ];
    const code = [
      ...[...readCr0, ...save(), 0x0f, 0x01, 0xe0, ...save()], // smsw
      ...[...readCr4, ...save(), ...MOV_CR3_TO_EAX, ...save(), ...rdmsr(0xc0000080), ...save()],
      ...[0xb8, ...le(0x1b), 0x0f, 0x01, 0xf0, ...readCr0, ...save()], // lmsw
      ...[0x0f, 0x06, ...readCr0, ...save()], // clts
      ...[0xb8, ...le(0x200), 0x0f, 0x22, 0xe0, ...readCr4, ...save()],
      ...[0xb8, ...le(0x5000), ...MOV_EAX_TO_CR3, ...MOV_CR3_TO_EAX, ...save()],
      ...[...wrmsr(0xc0000080, 0x801, 0), ...rdmsr(0xc0000080), ...save()],
      ...[...wrmsr(0x277, 0x01000406, 0x06), ...rdmsr(0x277), ...save()],
    ];
    const { read } = run("unpaged", code);
    const seen = Array.from({ length: 11 }, (_, i) => read(RESULT + 4 * (i + 1)));
    expect(seen).toEqual([0x11, 0x11, 0, 0, 0, 0x1b, 0x13, 0x200, 0x5000, 0x801, 0x01000406]);
  });

  it.each([
    ["paging without protection", [0xb8, ...le(0x80000010), 0x0f, 0x22, 0xc0]],
    ["a bit of CR4 that it lacks", [0xb8, ...le(1 << 31), 0x0f, 0x22, 0xe0]],
    ["PCID", [0xb8, ...le(1 << 17), 0x0f, 0x22, 0xe0]],
    ["a memory type that does not exist", [0xb9, ...le(0x277), 0xb8, ...le(2), 0x0f, 0x30]],
  ])("gets #GP for %s", (_what, code) => {
    const system = flatGuest(profile, [...code, ...END], { 13: [...print("G"), ...END] }, SHADOW);
    expect(system.run({ maxInstructions: 2000 }).reason).toBe("halted");
    expect(system.console).toBe("G\n");
  });

  it("ends with the reason where it switches tasks, which would load CR3 behind Xen's back", () => {
    const [gdt, tss] = [0x5000, 0x50000];
    const jump = [0xea, ...le(0), ...le(0x38, 2)];
    const system = modeGuest(profile, "pae", [17, 0, 0, 0], SHADOW, jump);
    const { guestMemory } = system.domain;
    guestMemory.writeU32(gdt + 0x38, 0x67 | ((tss & 0xffff) << 16));
    guestMemory.writeU32(gdt + 0x3c, 0x8900 | (tss >> 16));
    guestMemory.writeBytes(gdt + 0x40, Uint8Array.from([0x3f, 0]));
    const outcome = system.run({ maxInstructions: 2000 });
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "crash" });
    expect(outcome.detail).toMatch(/task switch/);
  });

  it("takes interrupts whose handlers and stacks were not in the shadow yet", () => {
    const timer = [...ENABLE, ...store(0x3e0, 0xb), ...store(0x320, VECTOR), ...store(0x380, 20)];
    const body = [...timer, STI, ...[0xb9, ...le(4000), 0xe2, 0xfe], ...print("."), ...END];
    const handler = [0x50, ...print("!"), ...EOI, 0x58, IRET];
    const system = flatGuest(profile, body, { [VECTOR]: handler }, SHADOW);
    expect(system.run({ maxInstructions: 50_000 }).reason).toBe("halted");
    expect(system.console).toBe("!.\n");
  });

  it("goes on from a snapshot as if nothing had been, to the last cell", () => {
    const change = put(entryOf(STRUCT, LEVEL1.pae), OTHER | FLAGS);
    const after = [...AGAIN, ...change, ...INVLPG_STRUCT, ...loadEax(STRUCT), ...AGAIN, ...put(STRUCT, 5)];
    const make = () => modeGuest(profile, "pae", RUNSTATE, SHADOW, after);
    const whole = make();
    whole.run({ maxInstructions: 20 });
    whole.run({ maxInstructions: 200 });
    for (const at of [5, 14, 20, 24]) {
      const first = make();
      first.run({ maxInstructions: at });
      const second = make();
      second.restore(first.snapshot());
      second.run({ maxInstructions: 20 - at });
      second.run({ maxInstructions: 220 - Math.max(20, at) });
      expect(second.domain.guestMemory.readU32(OTHER)).toBe(whole.domain.guestMemory.readU32(OTHER));
      first.run({ maxInstructions: 300 });
    }
    const one = make();
    one.run({ maxInstructions: 17 });
    const snapshot = one.snapshot();
    const two = make();
    two.restore(snapshot);
    one.run({ maxInstructions: 100 });
    two.run({ maxInstructions: 100 });
    expect(two.ledger.rows()).toEqual(one.ledger.rows());
    expect(two.counters()).toEqual(one.counters());
    const control = snapshot.vcpus[0].control;
    const bad = {
      ...snapshot,
      vcpus: [
        {
          ...snapshot.vcpus[0],
          control: { ...control, shadow: { ...control.shadow, tables: [[9, 0, 0, 0, 0, 1]] } },
        },
      ],
    };
    expect(() => make().restore(bad)).toThrow(/not a snapshot/);
  });
});

describe("real mode", () => {
  it("runs on SVM", () => {
    const { result, calls } = runOn(epyc9124, "real", []);
    expect([result, calls.length]).toEqual([0, 1]);
  });

  it("ends the domain on VMX, which has no unrestricted guests without EPT", () => {
    const outcome = modeGuest(skylakeSp, "real", RUNSTATE, SHADOW).run({ maxInstructions: 5000 });
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "crash" });
    expect(outcome.detail).toMatch(/real mode/);
  });
});

describe("paging", () => {
  it("is refused where it is not modelled", () => {
    const make = (domain: Partial<DomainConfig>) => () => flatGuest(epyc9124, END, {}, { domain });
    expect(make({ paging: "shadow", vcpus: 2 })).toThrow(/domain.paging.*vCPUs/);
    expect(make({ paging: "nested" as "hap" })).toThrow(/domain.paging.*hap, shadow/);
    expect(make({ paging: "shadow", createFlags: 3 })).toThrow(/createFlags/);
    expect(make({ paging: "shadow", createFlags: 1 })().domain.config.paging).toBe("shadow");
  });
});
