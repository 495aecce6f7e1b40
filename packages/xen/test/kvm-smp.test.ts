import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { KvmXenVcpuAttrType } from "../src/host/kvm/uapi.ts";
import { createKvmSystem, type KvmSystem } from "../src/kvm.ts";
import { caller } from "./flat-guest.ts";
import {
  APIC,
  await_,
  balanced,
  CLI,
  CONTEXT,
  COUNTS,
  count,
  DOWN,
  digest,
  EDGE_INIT,
  ENABLE,
  EOI,
  EVENT_CHANNEL_OP,
  guest,
  HLT,
  HVM_OP,
  INITIALISE,
  IRET,
  IS_UP,
  keep,
  le,
  MEMORY_OP,
  type Program,
  print,
  put,
  RESULTS,
  results,
  SCHED_OP,
  SEND_NMI,
  SHARED,
  SIPI,
  STI,
  STRUCT,
  sendIpi,
  sleepUntil,
  TRAMPOLINE,
  UP,
  unless,
  VCPU_OP,
  VECTOR,
  word,
} from "./smp-guest.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const ROUNDS = 8;
/** Where a vCPU keeps the port of its own IPI. */
const portOf = (id: number) => STRUCT + 0x100 + 16 * id;

const kvmGuest = (profile: ProcessorProfile, vcpus: number, program: Program): KvmSystem =>
  guest<KvmSystem>(profile, vcpus, program, createKvmSystem);

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("vCPUs of KVM under %s", (_, profile) => {
  const call = caller(profile);
  const poweroff = [...put(STRUCT, 0), ...call(SCHED_OP, 2, STRUCT)];
  const start = (id: number) => [
    ...call(VCPU_OP, INITIALISE, id, CONTEXT + 128 * id),
    ...keep(2 * id),
    ...call(VCPU_OP, UP, id),
    ...keep(2 * id + 1),
  ];
  const shareInfo = [
    ...put(STRUCT, 0x7ff0),
    ...put(STRUCT + 4, 0),
    ...put(STRUCT + 8, 0),
    ...put(STRUCT + 12, SHARED >> 12),
    ...call(MEMORY_OP, 7, STRUCT),
  ];
  const bindIpi = (id: number) => [
    ...put(STRUCT, id),
    ...call(EVENT_CHANNEL_OP, 7, STRUCT),
    ...[0xa1, ...le(STRUCT + 4), 0xa3, ...le(portOf(id))],
  ];
  const ownVector = (id: number) => [
    ...put(STRUCT, id),
    ...put(STRUCT + 4, VECTOR + id),
    ...call(HVM_OP, 23, STRUCT),
  ];
  const send = (id: number) => call(EVENT_CHANNEL_OP, 4, portOf(id));

  it("start by VCPUOP_initialise and up, and run side by side", () => {
    const system = kvmGuest(profile, 3, {
      bodies: [
        [...start(1), ...start(2), ...await_(COUNTS, 2), ...print("0"), ...poweroff],
        [...print("1"), ...count(COUNTS), 0xeb, 0xfe],
        [...print("2"), ...count(COUNTS), 0xeb, 0xfe],
      ],
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff", vcpu: 0 });
    expect(results(system, 6).slice(2)).toEqual([0, 0, 0, 0]);
    expect([...system.console].sort().join("")).toBe("012");
    expect(balanced(system)).toBe(true);
    const clocks = system.vcpus.map(({ pcpu }) => pcpu.ledger.cycles);
    expect(system.cycles).toBeCloseTo(Math.max(...clocks), -1);
    expect(system.userExits).toBeGreaterThan(5);
  });

  it("start by INIT and then SIPI, once: a SIPI without an INIT before it is lost", () => {
    const startUp = sendIpi(1, SIPI | (TRAMPOLINE >> 12));
    const system = kvmGuest(profile, 2, {
      bodies: [
        [
          ...ENABLE,
          ...startUp, // it has seen no INIT yet
          ...[0xb9, ...le(5000), 0xe2, 0xfe],
          ...[0xa1, ...le(COUNTS), ...keep(0)],
          ...sendIpi(1, EDGE_INIT),
          ...startUp,
          ...sendIpi(1, SIPI | 0x55), // it runs by then, and takes no notice
          ...await_(COUNTS, 1),
          ...call(VCPU_OP, IS_UP, 1),
          ...keep(1),
          ...poweroff,
        ],
      ],
      trampoline: [
        ...[0x31, 0xc0, 0x8e, 0xd8, 0x8c, 0x0e, ...le(RESULTS + 8, 2), 0x0f, 0x20, 0xc0],
        ...[0x66, 0xa3, ...le(RESULTS + 12, 2), 0xf0, 0x66, 0xff, 0x06, ...le(COUNTS, 2), 0xeb, 0xfe],
      ],
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(results(system, 4)).toEqual([0, 1, TRAMPOLINE >> 4, 0x10]);
    const stages = system.estimates().map(({ key }) => key);
    expect(stages).toContain("stage.kvm_apic_send_ipi, kvm_irq_delivery_to_apic_fast");
  });

  it("know who they are: APIC ids are the vCPUs' own, as KVM_CREATE_VCPU was given them", () => {
    const identify = (id: number) => [
      ...[0xb8, ...le(1), 0x0f, 0xa2, 0x89, 0x1d, ...le(RESULTS + 16 * id)], // CPUID 1, ebx
      ...[0xb8, ...le(0xb), 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x15, ...le(RESULTS + 16 * id + 4)], // 0Bh, edx
      ...[0xb8, ...le(0x40000004), 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x1d, ...le(RESULTS + 16 * id + 8)],
      ...[0xa1, ...le(APIC + 0x20), 0xa3, ...le(RESULTS + 16 * id + 12)],
    ];
    const system = kvmGuest(profile, 2, {
      bodies: [
        [...start(1), ...await_(COUNTS, 1), ...identify(0), ...poweroff],
        [...identify(1), ...count(COUNTS), CLI, HLT],
      ],
    });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ shutdown: "poweroff" });
    const [ebx0, edx0, id0, apic0, ebx1, edx1, id1, apic1] = results(system, 8);
    expect([ebx0 >>> 24, edx0, id0, apic0]).toEqual([0, 0, 0, 0]);
    expect([ebx1 >>> 24, edx1, id1, apic1]).toEqual([1, 1, 1, 1 << 24]);
  });

  /** Both sleep; each handler counts, and answers until it is enough. */
  const exchange = (
    answer: (id: number) => number[],
    acknowledge: (id: number) => number[],
    before: number[],
    own: number[],
  ) =>
    kvmGuest(profile, 2, {
      bodies: [
        [
          ...before,
          ...start(1),
          ...await_(RESULTS + 64, 1),
          ...answer(0),
          ...sleepUntil(COUNTS, ROUNDS),
          ...poweroff,
        ],
        [...own, ...put(RESULTS + 64, 1), ...sleepUntil(COUNTS + 4, 1e6)],
      ],
      handlers: {
        [VECTOR]: [
          ...[0x60, ...acknowledge(0), ...count(COUNTS)],
          ...unless(COUNTS, ROUNDS, answer(0)),
          ...[0x61, IRET],
        ],
        [VECTOR + 1]: [0x60, ...acknowledge(1), ...count(COUNTS + 4), ...answer(1), 0x61, IRET],
      },
    });
  const byApic = () => {
    const answer = (id: number) => sendIpi(1 - id, VECTOR + 1 - id);
    return exchange(answer, () => EOI, ENABLE, ENABLE);
  };
  /** Through the kernel; vectors of their own are the local APIC's. */
  const byEvents = () => {
    const clear = (id: number) => [
      ...put(SHARED + 2048, 0),
      ...put(SHARED + 64 * id + 4, 0),
      ...put(SHARED + 64 * id + 8, 0),
      ...put(SHARED + 64 * id, 0),
      ...EOI,
    ];
    const before = [...ENABLE, ...shareInfo, ...[0, 1].flatMap((id) => [...bindIpi(id), ...ownVector(id)])];
    return exchange((id) => send(1 - id), clear, before, ENABLE);
  };

  it.each([
    ["the APIC", byApic],
    ["event channels", byEvents],
  ] as const)(
    "exchange interrupts through %s in the kernel, each awake only while it has one",
    (_way, make) => {
      const system = make();
      expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ reason: "shutdown", vcpu: 0 });
      expect([word(system, COUNTS), word(system, COUNTS + 4)]).toEqual([ROUNDS, ROUNDS]);
      expect(balanced(system)).toBe(true);
      for (const { pcpu } of system.vcpus)
        expect(pcpu.ledger.rows().some(({ cause }) => cause === "idle")).toBe(true);
      const [a, b] = system.vcpus.map(({ pcpu }) => pcpu.ledger.cycles);
      expect(Math.abs(a - b)).toBeLessThan(60_000);
      expect(system.userExits).toBeLessThan(20); // none for an exchange
      const again = make();
      again.run({ maxInstructions: 1e6 });
      expect(digest(again)).toBe(digest(system));
      const pieces = make();
      for (let cycles = 1000; ; cycles = (cycles * 7) % 12_345)
        if (pieces.run({ maxCycles: cycles + 100 }).reason !== "budget") break;
      expect(digest(pieces)).toBe(digest(system));
    },
  );

  it("have attributes of their own: vcpu_info, vector, timer", () => {
    const timer = (id: number) => [
      ...put(STRUCT, 0), // VIRQ_TIMER
      ...put(STRUCT + 4, id),
      ...call(EVENT_CHANNEL_OP, 1, STRUCT), // bind_virq
      ...[0xa1, ...le(STRUCT + 8), ...keep(8 + id)],
    ];
    const system = kvmGuest(profile, 2, {
      bodies: [[...shareInfo, ...ownVector(0), ...ownVector(1), ...timer(0), ...timer(1), ...poweroff]],
    });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ shutdown: "poweroff" });
    const { vcpus } = system.vm;
    const attr = (id: number, type: 7 | 8 | 9) => vcpus[id].xenGetAttr(type);
    const { TIMER, UPCALL_VECTOR, VCPU_INFO_HVA } = KvmXenVcpuAttrType;
    const hva = system.vm.sharedInfo.cache.uhva;
    for (const id of [0, 1]) {
      expect(attr(id, UPCALL_VECTOR)).toMatchObject({ vector: VECTOR + id });
      expect(attr(id, VCPU_INFO_HVA)).toMatchObject({ hva: hva + 64 * id });
      expect(attr(id, TIMER)).toMatchObject({ port: word(system, RESULTS + 4 * (8 + id)) });
    }
  });

  it("leave their guest for an interrupt, and a HLT with interrupts off for an NMI alone", () => {
    const system = kvmGuest(profile, 2, {
      bodies: [
        [
          ...ENABLE,
          ...start(1),
          ...await_(COUNTS, 1),
          ...sendIpi(1, VECTOR + 1),
          ...await_(COUNTS, 2),
          ...put(COUNTS + 8, 1),
          ...[0xb9, ...le(15_000), 0xe2, 0xfe], // until it sleeps
          ...sendIpi(1, VECTOR + 1), // which it does not take
          ...[0xb9, ...le(15_000), 0xe2, 0xfe],
          ...[0xa1, ...le(COUNTS), ...keep(0)],
          ...call(VCPU_OP, SEND_NMI, 1),
          ...await_(COUNTS, 12),
          ...poweroff,
        ],
        [...ENABLE, STI, ...count(COUNTS), ...await_(COUNTS + 8, 1), CLI, HLT, ...count(COUNTS), 0xeb, 0xfe],
      ],
      handlers: {
        [VECTOR + 1]: [...EOI, ...count(COUNTS), IRET],
        2: [...Array.from({ length: 9 }, () => count(COUNTS)).flat(), IRET],
      },
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(word(system, RESULTS)).toBe(2);
    expect(word(system, COUNTS)).toBe(12);
    expect(system.vcpus[1].vcpu.down).toBe(false);
  });

  it.each([true, false])("wake who polls a port that another one sends on, masked: %s", (masked) => {
    const system = kvmGuest(profile, 2, {
      bodies: [
        [
          ...shareInfo,
          ...bindIpi(1),
          ...(masked ? put(SHARED + 2048 + 128, -1) : []),
          ...start(1),
          ...await_(COUNTS, 1),
          ...[0xb9, ...le(12_000), 0xe2, 0xfe], // as long as it takes to fall asleep
          ...send(1),
          ...await_(COUNTS, 2),
          ...poweroff,
        ],
        [
          ...put(STRUCT + 0x200, portOf(1)), // sched_poll: ports, nr_ports, timeout
          ...put(STRUCT + 0x204, 1),
          ...count(COUNTS),
          ...call(SCHED_OP, 3, STRUCT + 0x200),
          ...keep(0),
          ...count(COUNTS),
          0xeb,
          0xfe,
        ],
      ],
    });
    // The layout of 32-bit guests is latched with the hypercall page or the callback.
    system.vm.latchLongMode(false);
    system.domain.eventChannels.events.latchLayout(true);
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(word(system, RESULTS)).toBe(0);
    const { eventsMasked, kicks } = system.vm.counters;
    expect([eventsMasked, kicks]).toEqual([masked ? 1 : 0, 1]);
    const idle = system.vcpus[1].pcpu.ledger.rows().filter(({ cause }) => cause === "idle");
    expect(idle.reduce((sum, { ticks }) => sum + ticks, 0)).toBeGreaterThan(0);
  });

  it("see each other's changes of the second stage at once", () => {
    const PAGE = 0x200000;
    const system = kvmGuest(profile, 2, {
      bodies: [
        [
          ...put(PAGE, 0x1111),
          ...start(1),
          ...await_(COUNTS, 1),
          ...put(STRUCT, 0x7ff0),
          ...put(STRUCT + 4, 0),
          ...put(STRUCT + 8, 0),
          ...put(STRUCT + 12, PAGE >>> 12), // shared_info takes the page's place
          ...call(MEMORY_OP, 7, STRUCT),
          ...put(COUNTS + 4, 1),
          ...await_(COUNTS, 2),
          ...poweroff,
        ],
        [
          ...[0xa1, ...le(PAGE + 0x800)], // its translation is cached from now on
          ...count(COUNTS),
          ...await_(COUNTS + 4, 1),
          ...[0xa1, ...le(PAGE), ...keep(0)],
          ...count(COUNTS),
          0xeb,
          0xfe,
        ],
      ],
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(word(system, RESULTS)).not.toBe(0x1111);
  });

  it("stop and go on by VCPUOP_down and up, and halt when nobody is left to wake another", () => {
    const system = kvmGuest(profile, 2, {
      bodies: [
        [
          ...call(VCPU_OP, UP, 1),
          ...keep(0), // not initialised
          ...start(1),
          ...await_(COUNTS, 1),
          ...call(VCPU_OP, DOWN, 1),
          ...keep(4),
          ...call(VCPU_OP, IS_UP, 1),
          ...keep(5),
          ...[0xa1, ...le(COUNTS), ...keep(6)],
          ...[0xb9, ...le(12_000), 0xe2, 0xfe],
          ...[0xa1, ...le(COUNTS), 0x2b, 0x05, ...le(RESULTS + 24), ...keep(6)], // what it counted meanwhile
          ...call(VCPU_OP, UP, 1),
          ...keep(7),
          ...put(COUNTS, 0),
          ...await_(COUNTS, 5),
          ...[STI, HLT],
        ],
        [...count(COUNTS), ...unless(COUNTS, 1e6, [0xeb, 0xe9]), CLI, HLT],
      ],
    });
    expect(system.run({ maxInstructions: 3e5 })).toMatchObject({ reason: "budget" });
    const [notYet, , , , down, isUp, counted, up] = results(system, 8);
    expect([notYet, down, isUp, up]).toEqual([-Errno.EINVAL, 0, 0, 0]);
    expect(counted).toBeLessThan(600); // up to the signal's arrival alone
    const sleep = kvmGuest(profile, 2, {
      bodies: [
        [...start(1), STI, HLT],
        [CLI, HLT],
      ],
    });
    expect(sleep.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "halted" });
  });

  it("end all together when one ends, and say which", () => {
    const system = kvmGuest(profile, 2, {
      bodies: [
        [...start(1), 0xeb, 0xfe],
        [0x31, 0xc0, 0x0f, 0x22, 0xd8, 0xb8, ...le(0x80000011), 0x0f, 0x22, 0xc0], // paging with no tables
      ],
    });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "triple-fault", vcpu: 1 });
  });
});
