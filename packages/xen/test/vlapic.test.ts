import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import type { XenSystem } from "../src/xen.ts";
import {
  APIC,
  CLI,
  ENABLE,
  END,
  EOI,
  flatGuest as guest,
  HLT,
  IRET,
  le,
  NOP,
  print,
  STI,
  store,
  VECTOR,
} from "./flat-guest.ts";

const wrmsr = (msr: number, lo: number, hi = 0) => [
  0xb9,
  ...le(msr),
  0xb8,
  ...le(lo),
  0xba,
  ...le(hi),
  0x0f,
  0x30,
];
const ran = (system: XenSystem) => ({ outcome: system.run({ maxInstructions: 2e7 }), text: system.console });
const idle = (system: XenSystem) =>
  system.ledger
    .rows()
    .filter((row) => row.cause === "idle")
    .reduce((sum, row) => sum + row.ticks, 0) / 256;

describe.each([
  ["amd", epyc9124],
  ["intel", skylakeSp],
] as const)("virtual local APIC on %s", (_vendor, profile) => {
  const handler = { [VECTOR]: [...print("t"), ...EOI, IRET] };

  it("is there after reset, read through its page", () => {
    const { text } = ran(
      guest(profile, [
        0xa1,
        ...le(APIC + 0x30), // mov eax, [version]
        0x04,
        0x30 - 0x14, // add al: '0'
        0xe6,
        0xe9,
        0x0f,
        0xb6,
        0x05,
        ...le(APIC + 0x32), // movzx eax, byte [max LVT]
        0x04,
        0x30,
        0xe6,
        0xe9,
        0x83,
        0x3d,
        ...le(APIC + 0xf0),
        0x7f, // cmp dword [svr], 7fh
        0x0f,
        0x97,
        0xc0, // seta al
        0x04,
        0x30,
        0xe6,
        0xe9,
        ...END,
      ]),
    );
    expect(text).toBe("051\n");
  });

  it("wakes HLT with its timer, at the rate of 100 MHz", () => {
    const system = guest(
      profile,
      [
        ...ENABLE,
        ...store(0x320, VECTOR),
        ...store(0x3e0, 0xb),
        ...store(0x380, 20000),
        STI,
        HLT,
        ...print("."),
        ...END,
      ],
      handler,
    );
    const { outcome, text } = ran(system);
    expect(outcome.reason).toBe("halted");
    expect(text).toBe("t.\n");
    const { ghz } = system.processor.profile;
    expect(idle(system)).toBeGreaterThan(20000 * 10 * ghz * 0.7);
    expect(idle(system)).toBeLessThan(20000 * 10 * ghz);
    expect(system.vcpu.runstate.snapshot().time[2]).toBeGreaterThan(140000); // blocked, ns
  });

  it("does not sleep for a timer whose vector the task priority holds back", () => {
    const system = guest(
      profile,
      [...ENABLE, ...store(0x80, 0x30), ...store(0x320, 0x20000 | VECTOR), ...store(0x380, 1), STI, HLT],
      handler,
    );
    expect(ran(system).outcome).toMatchObject({ reason: "halted" });
  });

  it("sleeps across budgets", () => {
    const system = guest(
      profile,
      [...ENABLE, ...store(0x320, VECTOR), ...store(0x380, 50000), STI, HLT, ...END],
      handler,
    );
    let budgets = 0;
    while (system.run({ maxCycles: 50000 }).reason === "budget") budgets++;
    expect(budgets).toBeGreaterThan(20);
    expect(system.console).toBe("t\n");
  });

  it("interrupts a busy guest periodically", () => {
    const count = [0xff, 0x05, ...le(0x5000), ...EOI, IRET]; // inc dword [5000h]
    const system = guest(
      profile,
      [
        ...ENABLE,
        ...store(0x320, 0x20000 | VECTOR),
        ...store(0x3e0, 0xb),
        ...store(0x380, 20000),
        STI,
        0x83,
        0x3d,
        ...le(0x5000),
        5, // cmp dword [5000h], 5
        0x72,
        0xf7, // jb
        ...END,
      ],
      { [VECTOR]: count },
    );
    const exits: string[] = [];
    system.on("vm-exit", ({ name }) => exits.push(name));
    expect(ran(system).text).toBe("\n");
    const external = exits.filter((name) => /int/i.test(name)).length;
    expect(external).toBeGreaterThanOrEqual(5);
    const { ghz } = system.processor.profile;
    expect(system.cycles).toBeGreaterThan(5 * 20000 * 10 * ghz);
    expect(system.cycles).toBeLessThan(7 * 20000 * 10 * ghz);
  });

  it("delivers what waited for IF as soon as it can be taken", () => {
    const system = guest(
      profile,
      [...ENABLE, ...store(0x300, 0x40000 | VECTOR), ...print("-"), STI, NOP, ...print("+"), ...END],
      handler,
    );
    expect(ran(system).text).toBe("-t+\n");
  });

  it("holds classes up to the task priority back, and the highest vector goes first", () => {
    const system = guest(
      profile,
      [
        ...ENABLE,
        STI,
        ...store(0x80, 0x40),
        ...store(0x300, 0x40000 | VECTOR),
        ...store(0x300, 0x40000 | 0x45),
        ...print("-"),
        ...store(0x300, 0x40000 | 0x60),
        ...print("+"),
        ...store(0x80, 0),
        ...END,
      ],
      { ...handler, 69: [...print("u"), ...EOI, IRET], 96: [...print("v"), ...EOI, IRET] },
    );
    expect(ran(system).text).toBe("-v+ut\n");
  });

  it("is driven through x2APIC MSRs", () => {
    const system = guest(
      profile,
      [
        STI,
        ...wrmsr(0x1b, APIC | 0xd00),
        ...wrmsr(0x80f, 0x1ff),
        ...wrmsr(0x83f, VECTOR),
        ...print("+"),
        0xb9,
        ...le(0x802),
        0x0f,
        0x32, // rdmsr: x2APIC ID
        0x04,
        0x30,
        0xe6,
        0xe9,
        ...END,
      ],
      { [VECTOR]: [...print("x"), 0x60, ...wrmsr(0x80b, 0), 0x61, IRET] },
    );
    expect(ran(system).text).toBe("x+0\n");
  });

  it("sends itself an NMI", () => {
    const system = guest(profile, [...ENABLE, ...store(0x300, 0x40400), NOP, ...END], {
      2: [...print("n"), IRET],
    });
    expect(ran(system).text).toBe("n\n");
  });

  it("#GP for accesses that are refused and instructions that cannot be carried out", () => {
    for (const body of [
      [0x0f, 0xc1, 0x05, ...le(APIC + 0x80)], // xadd [tpr], eax
      wrmsr(0x80b, 0),
      wrmsr(0x1b, APIC | 0x400),
    ])
      expect(ran(guest(profile, body, { 13: [...print("g\n"), CLI, HLT] })).text).toBe("g\n");
  });

  it("finds nothing where I/O APIC and HPET would be", () => {
    const probe = (address: number) => [
      0xc7,
      0x05,
      ...le(address),
      ...le(0),
      0xff,
      0x05,
      ...le(address), // inc dword: all ones becomes zero in the register only
      0x83,
      0x3d,
      ...le(address),
      0xff, // cmp dword, -1
      0x0f,
      0x94,
      0xc0,
      0x04,
      0x30,
      0xe6,
      0xe9,
    ];
    expect(ran(guest(profile, [...probe(0xfec00000), ...probe(0xfed00000), ...END])).text).toBe("11\n");
  });

  it("#GP for a jump into a hole", () => {
    const system = guest(profile, [0xea, ...le(0xfed00000), 8, 0], { 13: [...print("g\n"), CLI, HLT] });
    expect(ran(system).text).toBe("g\n");
  });

  it("shows its features and ID in CPUID", () => {
    const system = guest(profile, [
      0xb8,
      ...le(1),
      0x0f,
      0xa2, // cpuid
      0x0f,
      0xba,
      0xe2,
      9,
      0x0f,
      0x92,
      0xc0, // bt edx, 9; setc al
      0x04,
      0x30,
      0xe6,
      0xe9,
      0x0f,
      0xba,
      0xe1,
      21,
      0x0f,
      0x92,
      0xc0, // bt ecx, 21
      0x04,
      0x30,
      0xe6,
      0xe9,
      ...END,
    ]);
    expect(ran(system).text).toBe("11\n");
  });

  it("gives two runs the same bytes", () => {
    const run = () => {
      const system = guest(
        profile,
        [...ENABLE, ...store(0x320, 0x20000 | VECTOR), ...store(0x380, 700), STI, HLT, 0xeb, 0xfd],
        handler,
      );
      system.run({ maxCycles: 3e6 });
      const rows = system.ledger.rows();
      return JSON.stringify([
        system.counters(),
        rows,
        system.vlapic.snapshot(),
        [...system.processor.state.words],
      ]);
    };
    expect(run()).toBe(run());
  });

  it("goes on from a snapshot of the APIC", () => {
    const system = guest(
      profile,
      [...ENABLE, ...store(0x320, VECTOR), ...store(0x380, 100000), STI, HLT, ...END],
      handler,
    );
    system.run({ maxCycles: 100000 });
    const { due } = system.vlapic;
    const copy = JSON.parse(JSON.stringify(system.vlapic.snapshot()));
    system.vlapic.apic.reset();
    expect(system.vlapic.due).toBe(Number.POSITIVE_INFINITY);
    system.vlapic.restore(copy);
    expect(system.vlapic.due).toBe(due);
    expect(ran(system).text).toBe("t\n");
  });
});
