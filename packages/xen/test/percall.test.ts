import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { PHYSICAL_FLAVOUR, percall } from "../src/abi/percall.ts";
import { Errno } from "../src/errno.ts";
import { END, flatGuest, IRET, le, print, STI, VECTOR } from "./flat-guest.ts";
import { LINEAR, makeCalls, PHYSICAL, quads } from "./scripted-calls.ts";

vi.setConfig({ testTimeout: 60_000 });

const MULTICALL = 13;
const VERSION = 17;
const VCPU_OP = 24;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const XEN_VERSION = (4 << 16) | 23;
const { EFAULT, ENOSYS } = Errno;
const IS_UP = [VCPU_OP, 3, 0] as const;
const entry = (...values: readonly number[]) =>
  quads(values[0], 0x5555, ...Array.from({ length: 6 }, (_, i) => values[i + 1] ?? 0));

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("a flavour for each call, under %s", (_, profile) => {
  it("is guest-physical with the bit and linear without, of one domain and one after the other", () => {
    const { results, counts, bytes } = makeCalls(profile, "percall", [
      [VCPU_OP, 4, 0, LINEAR],
      [VCPU_OP | PHYSICAL_FLAVOUR, 4, 0, PHYSICAL + 256],
      [VCPU_OP, 4, 0, PHYSICAL],
      [VCPU_OP | PHYSICAL_FLAVOUR, 4, 0, LINEAR],
      [VCPU_OP, 4, 0, LINEAR + 512],
      [60 | PHYSICAL_FLAVOUR],
      [VERSION | PHYSICAL_FLAVOUR, 0],
      [VERSION | 0x20000000, 0],
    ]);
    expect(results).toEqual([0, 0, -EFAULT, -EFAULT, 0, -ENOSYS, XEN_VERSION, -ENOSYS]);
    expect(counts.slice(0, 2)).toEqual([
      { p2mLookups: 6, guestPteReads: 4 },
      { p2mLookups: 1, guestPteReads: 0 },
    ]);
    const entryTimes = [0, 256, 512].map((at) => new DataView(bytes(at + 8, 8).buffer).getUint32(0, true));
    expect(new Set(entryTimes).size).toBe(1); // all three have it
  });

  it("goes for nested pointers too: SCHEDOP_poll's ports", () => {
    const poll = (ports: number) => quads(ports, 1, 1);
    const { results } = makeCalls(
      profile,
      "percall",
      [
        [SCHED_OP, 3, LINEAR],
        [SCHED_OP, 3, LINEAR + 32],
        [SCHED_OP | PHYSICAL_FLAVOUR, 3, PHYSICAL],
        [SCHED_OP | PHYSICAL_FLAVOUR, 3, PHYSICAL + 32],
      ],
      (write) => {
        write(0, poll(LINEAR + 64));
        write(32, poll(PHYSICAL + 64));
        write(64, quads(3)); // a port that is closed
      },
    );
    expect(results.map((result) => result === -EFAULT)).toEqual([false, true, true, false]);
  });

  it.each([
    ["linear", 0, LINEAR],
    ["physical", PHYSICAL_FLAVOUR, PHYSICAL],
  ] as const)("of a multicall is independent of its entries', with a %s list", (_kind, bit, list) => {
    const { results, bytes } = makeCalls(profile, "percall", [[MULTICALL | bit, list, 6]], (write) => {
      [
        [VCPU_OP, 4, 0, LINEAR + 0x1000],
        [VCPU_OP | PHYSICAL_FLAVOUR, 4, 0, PHYSICAL + 0x2000],
        [VCPU_OP, 4, 0, PHYSICAL + 0x1000],
        [VCPU_OP | PHYSICAL_FLAVOUR, 4, 0, LINEAR + 0x1000],
        [SCHED_OP | (bit ^ PHYSICAL_FLAVOUR), 3, (bit === 0 ? PHYSICAL : LINEAR) + 0x800],
        [VERSION | PHYSICAL_FLAVOUR, 0],
      ].forEach((values, i) => {
        write(64 * i, entry(...values));
      });
      // Its nested pointer is of the entry's flavour, not of the list's.
      write(0x800, quads((bit === 0 ? PHYSICAL : LINEAR) + 0x900, 1, 1));
      write(0x900, quads(3));
    });
    expect(results).toEqual([0]);
    const of = (i: number) => new DataView(bytes(64 * i + 8, 8).buffer).getInt32(0, true);
    expect([0, 1, 2, 3].map(of)).toEqual([0, 0, -EFAULT, -EFAULT]);
    expect(of(4)).not.toBe(-EFAULT);
    expect(of(5)).toBe(XEN_VERSION);
  });

  it("stays with a call that goes on later, unless the RFC's way is asked for", () => {
    const run = (rfcContinuations: boolean) =>
      makeCalls(
        profile,
        percall({ rfcContinuations }),
        [[MULTICALL | PHYSICAL_FLAVOUR, PHYSICAL, 3]],
        (write) => {
          write(0, entry(SCHED_OP, 0, 0)); // yield: the list makes room
          write(64, entry(...IS_UP));
          write(128, entry(...IS_UP));
        },
      );
    const kept = run(false);
    expect(kept.again.map((words) => words.slice(0, 3))).toEqual([
      [MULTICALL | PHYSICAL_FLAVOUR, PHYSICAL + 64, 2],
    ]);
    expect(kept.results).toEqual([0]);
    const lost = run(true);
    expect(lost.again.map((words) => words.slice(0, 3))).toEqual([[MULTICALL, PHYSICAL + 64, 2]]);
    expect(lost.results).toEqual([-EFAULT]);
    const results = [0, 1, 2].map((i) => new DataView(lost.bytes(64 * i + 8, 8).buffer).getInt32(0, true));
    expect(results).toEqual([0, 0x5555, 0x5555]); // what was done before stays done
  });

  it("takes longer than the domain's own flavour by the test of the bit alone", () => {
    const cycles = (abi: "physaddr" | "percall", bit: number) => {
      const call = [VCPU_OP | bit, 4, 0, PHYSICAL];
      const { system } = makeCalls(
        profile,
        abi,
        Array.from({ length: 32 }, () => call),
      );
      return system.counters().hypervisorInstructions / 32;
    };
    const more = cycles("percall", PHYSICAL_FLAVOUR) - cycles("physaddr", 0);
    expect(more).toBeGreaterThan(0);
    expect(more).toBeLessThan(25);
  });
});

/** mov eax, number; mov ebx, b; mov ecx, c; the vendor's instruction */
const call = (profile: ProcessorProfile, number: number, b: number, c: number) => [
  0xb8,
  ...le(number),
  0xbb,
  ...le(b),
  0xb9,
  ...le(c),
  ...(profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1]),
];
const put = (at: number, value: number) => [0xc7, 0x05, ...le(at), ...le(value)];
const LIST = 0x900000; // not in the 4 MiB that the guest maps
const TABLE = 0x2000;
const COUNTERS = 0x28000;
const SHARED = 0x20000;
const ENTRIES = 64;

/**
 * A 32-bit guest whose page tables map its first 4 MiB: multicalls of {@link ENTRIES} entries that only physical addresses
 * reach, while a timer of its own interrupts it. Counts 0 and other results.
 */
function preemptedGuest(profile: ProcessorProfile, calls: number, rfcContinuations: boolean) {
  const paging = [
    ...put(TABLE, 0x83), // 4 MiB, writable
    ...[0xb8, ...le(TABLE), 0x0f, 0x22, 0xd8], // mov cr3
    ...[0xb8, ...le(0x10), 0x0f, 0x22, 0xe0], // mov cr4: PSE
    ...[0x0f, 0x20, 0xc0, 0x0d, ...le(0x80000000), 0x0f, 0x22, 0xc0], // cr0 |= PG
  ];
  const loop = [
    ...call(profile, MULTICALL | PHYSICAL_FLAVOUR, LIST, ENTRIES),
    ...[0x85, 0xc0, 0x75, 0x08], // test eax, eax; jne
    ...[0xff, 0x05, ...le(COUNTERS + 4), 0xeb, 0x06], // inc; jmp over the other
    ...[0xff, 0x05, ...le(COUNTERS + 8)],
  ];
  const back = [0xff, 0x0d, ...le(COUNTERS + 12), 0x0f, 0x85]; // dec; jne loop
  const body = [
    ...paging,
    STI,
    ...loop,
    ...back,
    ...le(-(loop.length + back.length + 4)),
    ...print("."),
    ...END,
  ];
  const tick = [
    0xff,
    0x05,
    ...le(COUNTERS),
    ...put(SHARED, 0),
    ...put(SHARED + 4, 0),
    ...put(SHARED + 2048, 0),
    IRET,
  ];
  const system = flatGuest(
    profile,
    body,
    { [VECTOR]: tick },
    { domain: { abi: percall({ rfcContinuations }) } },
  );
  const { domain } = system;
  domain.mapSharedInfo(SHARED / 4096);
  domain.latchLayout(true);
  domain.eventChannels.setCallback(VECTOR, 2 << 24);
  domain.eventChannels.bindVirq(0, 0);
  system.vcpu.timers.setPeriod(1_000_000, 0);
  const { guestMemory } = domain;
  guestMemory.writeU32(COUNTERS + 12, calls);
  for (let i = 0; i < ENTRIES; i++) {
    const at = LIST + 32 * i;
    [VCPU_OP, 0, 3, 0].forEach((value, n) => {
      guestMemory.writeU32(at + 4 * n, value);
    });
  }
  const { reason } = system.run({ maxInstructions: 1e6 });
  expect([reason, system.console]).toEqual(["halted", ".\n"]);
  const [ticks, good, bad] = [0, 4, 8].map((at) => guestMemory.readU32(COUNTERS + at));
  return { system, ticks, good, bad };
}

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("lists that only physical addresses reach, while a timer preempts, under %s", (_, profile) => {
  const CALLS = 300;

  it("all succeed where continuations keep the bit", () => {
    const { ticks, good, bad } = preemptedGuest(profile, CALLS, false);
    expect([good, bad]).toEqual([CALLS, 0]);
    expect(ticks).toBeGreaterThan(3);
  });

  it("fail spuriously with -EFAULT where they lose it, once for each that a tick came into", () => {
    const { ticks, good, bad } = preemptedGuest(profile, CALLS, true);
    expect(good + bad).toBe(CALLS);
    expect(bad).toBeGreaterThan(3);
    expect(bad).toBeLessThanOrEqual(ticks);
  });
});

describe("what a percall domain shows", () => {
  /** wrmsr of the page's address; cpuid into memory */
  const cpuid = (leaf: number, at: number) => [0xb8, ...le(leaf), 0x0f, 0xa2, 0xa3, ...le(at)];
  const wrmsr = (lo: number) => [0xb9, ...le(0x40000000), 0xb8, ...le(lo), 0x31, 0xd2, 0x0f, 0x30];
  const PAGE = 0x30000;

  it.each([epyc9124, skylakeSp])(
    "is its CPUID bit and a second page whose stubs have the bit: $id",
    (profile) => {
      const body = [
        ...cpuid(0x40000002, COUNTERS),
        ...cpuid(0x40000004, COUNTERS + 4),
        ...wrmsr(PAGE),
        ...wrmsr(PAGE + 0x1000 + 1),
        // call stub 17 of each: xen_version
        ...[0xbb, ...le(0), 0xe8, ...le(0)],
        ...END,
      ];
      const target = body.length - END.length;
      const CODE = 0x100100;
      body.splice(target - 4, 4, ...le(PAGE + 0x1000 + 32 * VERSION - (CODE + target)));
      const system = flatGuest(profile, body, {}, { domain: { abi: "percall" } });
      const seen: number[] = [];
      system.on("hypercall", ({ number }) => seen.push(number));
      expect(system.run({ maxInstructions: 1e5 }).reason).toBe("halted");
      const { guestMemory } = system.domain;
      expect(guestMemory.readU32(COUNTERS)).toBe(2);
      expect(guestMemory.readU32(COUNTERS + 4) & 0x80).toBe(0x80);
      expect(seen).toEqual([VERSION | PHYSICAL_FLAVOUR]);
      const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
      const stub = (page: number) => [
        ...guestMemory.readBytes(PAGE + 4096 * page + 32 * EVENT_CHANNEL_OP, 10),
      ];
      expect(stub(0)).toEqual([0xb8, 32, 0, 0, 0, ...instruction, 0xc3, 0xcc]);
      expect(stub(1)).toEqual([0xb8, 32, 0, 0, 0x40, ...instruction, 0xc3, 0xcc]);
      expect([...guestMemory.readBytes(PAGE + 4096 + 32 * 23, 2)]).toEqual([0x0f, 0x0b]);
    },
  );

  it.each([
    ["percall", 2],
    ["linear", 1],
    ["physaddr", 1],
  ] as const)("is no further page: %s, index %i is #GP", (abi, index) => {
    const system = flatGuest(
      epyc9124,
      [...wrmsr(PAGE + index), ...END],
      { 13: [...print("g"), ...END] },
      { domain: { abi } },
    );
    expect(system.run({ maxInstructions: 1e5 }).reason).toBe("halted");
    expect(system.console).toBe("g\n");
    expect(system.domain.guestMemory.readU32(PAGE)).toBe(0);
  });
});
