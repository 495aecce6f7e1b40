import { epyc9124, Intercept, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { SnapshotError } from "../src/snapshot/snapshot-error.ts";
import type { TimelineListener, TimelineStretch } from "../src/timeline/timeline-stretch.ts";
import { createXenSystem } from "../src/xen.ts";
import { XenConfigError } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";
import { caller } from "./flat-guest.ts";
import { ScriptedProcessor } from "./scripted-processor.ts";
import {
  APIC,
  await_,
  balanced,
  CLI,
  CODE,
  CONTEXT,
  CONTROL,
  COUNTS,
  context32,
  count,
  DOWN,
  digest,
  EDGE_INIT,
  ENABLE,
  EOI,
  EVENT_CHANNEL_OP,
  EVENT_WORDS,
  FIRST_PORT,
  guest,
  HLT,
  HVM_OP,
  INITIALISE,
  IRET,
  IS_UP,
  keep,
  le,
  MEMORY_OP,
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

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("vCPUs under %s", (_, profile) => {
  const call = caller(profile);
  const poweroff = [...put(STRUCT, 0), ...call(SCHED_OP, 2, STRUCT)];
  const start = (id: number) => [
    ...call(VCPU_OP, INITIALISE, id, CONTEXT + 128 * id),
    ...keep(2 * id),
    ...call(VCPU_OP, UP, id),
    ...keep(2 * id + 1),
  ];

  it("start by VCPUOP_initialise and up, and run side by side", () => {
    const system = guest(profile, 3, {
      bodies: [
        [...start(1), ...start(2), ...await_(COUNTS, 2), ...print("0"), ...poweroff],
        [...print("1"), ...count(COUNTS), 0xeb, 0xfe],
        [...print("2"), ...count(COUNTS), 0xeb, 0xfe],
      ],
    });
    const outcome = system.run({ maxInstructions: 1e6 });
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff", vcpu: 0 });
    expect(results(system, 6).slice(2)).toEqual([0, 0, 0, 0]);
    expect([...system.console].sort().join("")).toBe("012");
    expect(system.console.at(-1)).toBe("0");
    expect(balanced(system)).toBe(true);
    const clocks = system.vcpus.map(({ pcpu }) => pcpu.ledger.cycles);
    expect(Math.max(...clocks) - Math.min(...clocks)).toBeLessThan(10_000);
    expect(system.cycles).toBeCloseTo(Math.max(...clocks), -1);
  });

  it("start by INIT and SIPI in real mode, at the page that the vector names, once", () => {
    const system = guest(profile, 2, {
      bodies: [
        [
          ...ENABLE,
          ...sendIpi(2, EDGE_INIT),
          ...sendIpi(2, SIPI | (TRAMPOLINE >> 12)),
          ...sendIpi(2, SIPI | 0x55), // it runs by then, and takes no notice
          ...await_(COUNTS, 1),
          ...call(VCPU_OP, IS_UP, 1),
          ...keep(0),
          ...call(VCPU_OP, INITIALISE, 1, CONTEXT + 128),
          ...keep(1),
          ...poweroff,
        ],
      ],
      // xor ax, ax; mov ds, ax; mov [RESULTS + 8], cs; mov eax, cr0; mov [RESULTS + 12], eax; lock inc dword [COUNTS]
      trampoline: [
        ...[0x31, 0xc0, 0x8e, 0xd8, 0x8c, 0x0e, ...le(RESULTS + 8, 2), 0x0f, 0x20, 0xc0],
        ...[0x66, 0xa3, ...le(RESULTS + 12, 2), 0xf0, 0x66, 0xff, 0x06, ...le(COUNTS, 2), 0xeb, 0xfe],
      ],
    });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ shutdown: "poweroff" });
    expect(results(system, 4)).toEqual([1, -Errno.EEXIST, TRAMPOLINE >> 4, 0x10]);
    expect(balanced(system)).toBe(true);
  });

  it("know who they are", () => {
    const identify = (id: number) => [
      ...[0xb8, ...le(1), 0x0f, 0xa2, 0x89, 0x1d, ...le(RESULTS + 16 * id)], // CPUID 1, ebx
      ...[0xb8, ...le(0xb), 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x15, ...le(RESULTS + 16 * id + 4)], // 0Bh, edx
      ...[0xb8, ...le(0x40000004), 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x1d, ...le(RESULTS + 16 * id + 8)],
      ...[0xa1, ...le(APIC + 0x20), 0xa3, ...le(RESULTS + 16 * id + 12)],
    ];
    const system = guest(profile, 2, {
      bodies: [
        [...start(1), ...await_(COUNTS, 1), ...identify(0), ...poweroff],
        [...identify(1), ...count(COUNTS), CLI, HLT],
      ],
    });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ shutdown: "poweroff" });
    const [ebx0, edx0, id0, apic0, ebx1, edx1, id1, apic1] = results(system, 8);
    expect([ebx0 >>> 24, edx0, id0, apic0]).toEqual([0, 0, 0, 0]);
    expect([ebx1 >>> 24, edx1, id1, apic1]).toEqual([2, 2, 1, 2 << 24]);
  });

  const ROUNDS = 25;
  /** Both sleep; each handler counts, and answers until it is enough. */
  const exchange = (answer: (id: number) => number[], before: number[], own: number[]) =>
    guest(profile, 2, {
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
  /** EOI, and the upcall's flags cleared where shared_info is mapped. */
  let acknowledge: (id: number) => number[] = () => EOI;

  const byApic = () => {
    acknowledge = () => EOI;
    const answer = (id: number) => sendIpi(2 * (1 - id), VECTOR + 1 - id);
    return exchange(answer, ENABLE, ENABLE);
  };

  const byEvents = (fifo = false) => {
    // there is one event at a time
    const clear = (id: number) => [
      ...put(fifo ? EVENT_WORDS + 4 * (FIRST_PORT + id) : SHARED + 2048, 0), // pending bits
      ...put(fifo ? CONTROL + 128 * id : SHARED + 64 * id + 8, 0), // READY, or the selector
      ...put(SHARED + 64 * id, 0),
    ];
    const useFifo = [
      ...[0, 1].flatMap((id) => [
        ...put(STRUCT, CONTROL >> 12),
        ...put(STRUCT + 4, 0),
        ...put(STRUCT + 8, 128 * id),
        ...put(STRUCT + 12, id),
        ...call(EVENT_CHANNEL_OP, 11, STRUCT), // init_control
      ]),
      ...put(STRUCT, EVENT_WORDS >> 12),
      ...put(STRUCT + 4, 0),
      ...call(EVENT_CHANNEL_OP, 12, STRUCT), // expand_array
    ];
    acknowledge = clear;
    const bind = (id: number) => [
      ...put(STRUCT, id),
      ...call(EVENT_CHANNEL_OP, 7, STRUCT), // bind_ipi
      ...[0xa1, ...le(STRUCT + 4), 0xa3, ...le(STRUCT + 0x100 + 16 * id)], // the port, for EVTCHNOP_send
      ...put(STRUCT, id),
      ...put(STRUCT + 4, VECTOR + id),
      ...call(HVM_OP, 23, STRUCT), // set_evtchn_upcall_vector
    ];
    const before = [
      ...put(STRUCT, 0x7ff0),
      ...put(STRUCT + 4, 0),
      ...put(STRUCT + 8, 0),
      ...put(STRUCT + 12, SHARED >> 12),
      ...call(MEMORY_OP, 7, STRUCT), // shared_info
      ...bind(0),
      ...bind(1),
      ...(fifo ? useFifo : []),
    ];
    const answer = (id: number) => call(EVENT_CHANNEL_OP, 4, STRUCT + 0x100 + 16 * (1 - id)); // send
    return exchange(answer, before, []);
  };

  it.each([
    ["the APIC", byApic],
    ["event channels", byEvents],
    ["FIFO event channels", () => byEvents(true)],
  ] as const)("exchange interrupts through %s, each awake only while it has one", (_way, make) => {
    const system = make();
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ reason: "shutdown", vcpu: 0 });
    expect([word(system, COUNTS), word(system, COUNTS + 4)]).toEqual([ROUNDS, ROUNDS]);
    expect(balanced(system)).toBe(true);
    for (const { pcpu } of system.vcpus) {
      const idle = pcpu.ledger.rows().filter(({ cause }) => cause === "idle");
      const slept = idle.reduce((sum, { ticks }) => sum + ticks, 0) / pcpu.ledger.clock[0];
      expect(slept).toBeGreaterThan(0);
    }
    // Time runs through both alike: the one that is woken goes on from the other's time.
    const [a, b] = system.vcpus.map(({ pcpu }) => pcpu.ledger.cycles);
    expect(Math.abs(a - b)).toBeLessThan(30_000);
    const again = make();
    again.run({ maxInstructions: 1e6 });
    expect(digest(again)).toBe(digest(system));
  });

  it.each([
    ["the APIC", byApic],
    ["event channels", byEvents],
    ["FIFO event channels", () => byEvents(true)],
  ] as const)("go on from snapshots in the middle of an exchange through %s", (_way, make) => {
    const whole = make();
    whole.run({ maxInstructions: 1e6 });
    const { guestInstructions } = whole.counters();
    let system = make();
    for (const share of [0.3, 0.55, 0.56, 0.9]) {
      system.run({
        maxInstructions: Math.floor(guestInstructions * share) - system.counters().guestInstructions,
      });
      const next = make();
      next.restore(decodeSnapshot(encodeSnapshot(system.snapshot())));
      system = next;
    }
    system.run({ maxInstructions: 1e6 });
    expect(digest(system)).toBe(digest(whole));
  });

  it("are restored where one has run code of Xen's that another has not, and not only that", () => {
    const make = () =>
      guest(profile, 2, {
        bodies: [
          [
            ...start(1),
            ...await_(COUNTS, 1),
            ...[0xb9, ...le(30_000), 0xe2, 0xfe], // until it sleeps: mov ecx; loop
            ...call(VCPU_OP, DOWN, 1), // nobody has run this yet
            ...[CLI, HLT],
          ],
          [...count(COUNTS), STI, HLT],
        ],
      });
    const whole = make();
    expect(whole.run()).toMatchObject({ reason: "halted" });
    const first = make();
    first.run({ maxInstructions: whole.counters().guestInstructions - 1 });
    const second = make();
    second.restore(decodeSnapshot(encodeSnapshot(first.snapshot())));
    second.run();
    expect(digest(second)).toBe(digest(whole));
  });

  it("come to the same state whatever budgets they are run with", () => {
    const whole = byApic();
    whole.run();
    const pieces = byApic();
    for (let cycles = 1000; ; cycles = (cycles * 7) % 12_345) {
      const { reason } = pieces.run({ maxCycles: cycles + 100 });
      if (reason !== "budget") break;
    }
    expect(digest(pieces)).toBe(digest(whole));
  });

  it("leave their guest for an interrupt message, and pay for it", () => {
    const system = guest(profile, 2, {
      bodies: [
        [
          ...ENABLE,
          ...start(1),
          ...await_(COUNTS, 1),
          ...sendIpi(2, VECTOR + 1),
          ...await_(COUNTS, 2),
          ...poweroff,
        ],
        [...ENABLE, STI, ...count(COUNTS), 0xeb, 0xfe],
      ],
      handlers: { [VECTOR + 1]: [...EOI, ...count(COUNTS), IRET] },
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    const external = system
      .exitAccounts()
      .find(({ name }) => name === "intr" || name === "external-interrupt");
    expect(external?.count).toBe(1);
    const stages = system.estimates().map(({ key }) => key);
    expect(stages).toContain("stage.vcpu_kick, smp_send_event_check_mask");
    expect(stages).toContain("stage.event_check_interrupt, do_softirq");
  });

  it("are brought out of HLT by an NMI, and out of being down if they were started", () => {
    const system = guest(profile, 2, {
      bodies: [
        [
          ...ENABLE,
          ...start(1),
          ...await_(COUNTS, 1),
          ...sendIpi(2, 0x4400),
          ...await_(COUNTS, 2),
          ...call(VCPU_OP, SEND_NMI, 1),
          ...await_(COUNTS, 3),
          ...call(VCPU_OP, SEND_NMI, 1, 8),
          ...keep(0),
          ...poweroff,
        ],
        [...count(COUNTS), CLI, HLT, ...[STI, HLT, 0xeb, 0xfc]], // the first HLT takes it down
      ],
      handlers: { 2: [...count(COUNTS), IRET] },
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(word(system, COUNTS)).toBe(3);
    expect(word(system, RESULTS)).toBe(-Errno.EINVAL);
  });

  it("answer misuse of VCPUOP_initialise, up, down and is_up as Xen does", () => {
    const bad = (n: number) => CONTEXT + 0x400 + 128 * n;
    const wrong: readonly (readonly number[])[] = [
      context32(CODE, { 0: le(2) }), // no such mode
      context32(CODE, { 4: le(1) }),
      context32(CODE, { 60: le(1) }),
      context32(CODE, { 126: le(1, 2) }),
      context32(CODE, { 112: le(0xc93, 2) }), // CS is data
      context32(CODE, { 112: le(0xc1b, 2) }), // not present
      context32(CODE, { 116: le(0xc9b, 2) }), // SS is code
      context32(CODE, { 116: le(0xcf3, 2) }), // SS of another privilege
      context32(CODE, { 114: le(0xcf3, 2) }), // DS of less
      context32(CODE, { 112: le(0x49b, 2), 92: le(0x1000) }), // EIP beyond CS
      context32(CODE, { 120: le(0x83, 2) }), // a 16-bit TSS
      context32(CODE, { 64: le(0x400) }), // LMA without LME
      context32(CODE, { 64: le(0x2000) }), // EFER bit unknown
      context32(CODE, { 56: le(0x2000) }), // CR4.VMXE
      context32(CODE, { 0: le(1), 72: le(0, 8), 88: le(0x11) }), // 64-bit without paging
      context32(CODE, { 0: le(1), 72: [0, 0, 0, 0, 0, 0x80, 0, 0] }), // RIP not canonical
    ];
    const ask = (slot: number, ...rest: readonly [number, number, number?]) => [
      ...call(VCPU_OP, rest[0], rest[1], rest[2] ?? 0),
      ...keep(slot),
    ];
    const system = guest(profile, 2, {
      bodies: [
        [
          ...ask(0, INITIALISE, 2, CONTEXT),
          ...ask(1, UP, 0xffffffff),
          ...ask(2, DOWN, 32),
          ...ask(3, UP, 1), // not initialised
          ...ask(4, INITIALISE, 0, CONTEXT + 128), // it runs
          ...ask(5, INITIALISE, 1, 0xf0000000), // no memory there
          ...wrong.flatMap((_bytes, n) => ask(16 + n, INITIALISE, 1, bad(n))),
          ...ask(6, INITIALISE, 1, CONTEXT + 128),
          ...ask(7, INITIALISE, 1, CONTEXT + 128),
          ...ask(8, IS_UP, 1),
          ...ask(9, UP, 1),
          ...ask(10, UP, 1),
          ...ask(11, IS_UP, 1),
          ...await_(COUNTS, 1),
          ...ask(12, DOWN, 1),
          ...ask(13, IS_UP, 1),
          ...ask(14, DOWN, 1),
          ...ask(15, DOWN, 0), // the last one
          ...print("never"),
        ],
        [...count(COUNTS), 0xeb, 0xfe],
      ],
    });
    wrong.forEach((bytes, n) => {
      system.domain.guestMemory.writeBytes(bad(n), Uint8Array.from(bytes));
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({
      reason: "shutdown",
      shutdown: "poweroff",
      vcpu: 0,
    });
    expect(results(system, 15)).toEqual([
      -Errno.ENOENT,
      -Errno.ENOENT,
      -Errno.ENOENT,
      -Errno.EINVAL,
      -Errno.EEXIST,
      -Errno.EFAULT,
      0,
      -Errno.EEXIST,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
    ]);
    expect(results(system, 16 + wrong.length).slice(16)).toEqual(wrong.map(() => -Errno.EINVAL));
    expect(system.console).toBe("");
    expect(system.vcpus[1].vcpu.runstate.state).toBe(3);
  });

  it("end the domain when INIT has reset the last one, and halt it when nobody is left to wake another", () => {
    const reset = guest(profile, 2, { bodies: [[...ENABLE, ...sendIpi(0, EDGE_INIT), ...print("on")]] });
    expect(reset.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    expect(reset.console).toBe("");
    const sleep = guest(profile, 2, {
      bodies: [
        [...start(1), STI, HLT],
        [CLI, HLT],
      ],
    });
    expect(sleep.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "halted" });
  });

  it("crash one for all, and say which", () => {
    const system = guest(profile, 2, {
      bodies: [
        [...start(1), 0xeb, 0xfe],
        [0x31, 0xc0, 0x0f, 0x22, 0xd8, 0xb8, ...le(0x80000011), 0x0f, 0x22, 0xc0], // paging with no tables
      ],
    });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "triple-fault", vcpu: 1 });
    expect(system.run({ maxInstructions: 1e5 })).toMatchObject({ reason: "triple-fault", vcpu: 1 });
  });

  it("see each other's changes of the p2m at once", () => {
    const PAGE = 0x200000;
    const system = guest(profile, 2, {
      bodies: [
        [
          ...put(PAGE, 0x1111),
          ...start(1),
          ...await_(COUNTS, 1),
          // shared_info takes the page's place
          ...put(STRUCT, 0x7ff0),
          ...put(STRUCT + 4, 0),
          ...put(STRUCT + 8, 0),
          ...put(STRUCT + 12, PAGE >>> 12),
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
    expect(system.estimates().some(({ key }) => key.includes("one more processor"))).toBe(true);
  });

  it("wake who polls a port that another one sends on", () => {
    const system = guest(profile, 2, {
      bodies: [
        [
          ...put(STRUCT, 1),
          ...call(EVENT_CHANNEL_OP, 7, STRUCT), // bind_ipi to vCPU 1
          ...[0xa1, ...le(STRUCT + 4), 0xa3, ...le(STRUCT + 0x100)],
          ...start(1),
          ...await_(COUNTS, 1),
          // As long as it takes to fall asleep: mov ecx, 20000; loop.
          ...[0xb9, ...le(20_000), 0xe2, 0xfe],
          ...call(EVENT_CHANNEL_OP, 4, STRUCT + 0x100),
          ...await_(COUNTS, 2),
          ...poweroff,
        ],
        [
          ...put(STRUCT + 0x200, STRUCT + 0x100), // sched_poll: ports, nr_ports, timeout
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
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(word(system, RESULTS)).toBe(0);
    expect(system.vcpus[1].vcpu.runstate.snapshot().time[2]).toBeGreaterThan(1000); // blocked, ns
  });

  it("have a timeline each, on their own clocks, from the start or from a snapshot", () => {
    const make = (timeline?: TimelineListener) =>
      guest(profile, 2, {
        ...(timeline === undefined ? {} : { timeline }),
        bodies: [
          [
            ...ENABLE,
            ...start(1),
            ...await_(COUNTS, 1),
            ...sendIpi(2, VECTOR + 1),
            ...await_(COUNTS, 2),
            ...poweroff,
          ],
          [...ENABLE, ...count(COUNTS), STI, HLT, 0xeb, 0xfe],
        ],
        handlers: { [VECTOR + 1]: [...EOI, ...count(COUNTS), IRET] },
      });
    const whole = make();
    whole.run();
    const told = () => {
      const stretches: TimelineStretch[] = [];
      return { stretches, system: make((stretch) => stretches.push(stretch)) };
    };
    const fromStart = told();
    fromStart.system.run();
    fromStart.system.endTimeline();
    const before = make();
    before.run({ maxInstructions: Math.floor(whole.counters().guestInstructions / 2) });
    const later = told();
    later.system.restore(decodeSnapshot(encodeSnapshot(before.snapshot())));
    const starts = later.system.vcpus.map(({ pcpu }) => pcpu.ledger.snapshot());
    later.system.run();
    later.system.endTimeline();
    for (const { system, stretches } of [fromStart, later]) {
      expect(digest(system)).toBe(digest(whole));
      for (const { vcpu, pcpu } of system.vcpus) {
        const since = system === later.system ? starts[vcpu.id] : undefined;
        const own = stretches.filter((stretch) => stretch.vcpu === vcpu.id);
        const ends = [since?.clock ?? 0, ...own.map(({ end }) => end)];
        expect(own.map(({ start }) => start)).toEqual(ends.slice(0, -1));
        expect(ends.at(-1)).toBe(pcpu.ledger.clock[0]);
        const causes = new Map<string, number>();
        for (const { spans } of own)
          for (const { cause, ticks } of spans.flatMap((span) => span.causes))
            causes.set(cause, (causes.get(cause) ?? 0) + ticks);
        for (const { cause, ticks } of pcpu.ledger.rows(since))
          causes.set(cause, (causes.get(cause) ?? 0) - ticks);
        expect([...causes].filter(([, left]) => left !== 0)).toEqual([]);
      }
    }
    const slept = fromStart.stretches.find(({ vcpu, start }) => vcpu === 1 && start === 0);
    expect(slept?.spans.slice(0, 2).map(({ name }) => name)).toEqual(["start", "idle"]);
  });

  it("are fast-forwarded together", () => {
    const marker = [0x66, 0x87, 0xdb];
    const make = () =>
      guest(profile, 2, {
        bodies: [
          [...start(1), ...await_(COUNTS, 1), 0x90, ...await_(COUNTS, 1000), ...poweroff],
          [...count(COUNTS), ...sleepless(200), ...marker, ...sleepless(1000), 0xeb, 0xfe],
        ],
      });
    // inc and compare: lock inc dword [COUNTS]; cmp; jb back
    function sleepless(value: number): number[] {
      return [...count(COUNTS), 0x81, 0x3d, ...le(COUNTS), ...le(value), 0x72, 0xed];
    }
    const system = make();
    const forwarded = system.fastForward({ untilMarker: true });
    expect(forwarded).toMatchObject({ ended: "marker" });
    expect(word(system, COUNTS)).toBe(200);
    expect(system.vcpus.every(({ pcpu }) => pcpu.processor.timed)).toBe(true);
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(balanced(system)).toBe(true);
    const timed = make();
    timed.run({ maxInstructions: 1e6 });
    expect(word(timed, COUNTS)).toBe(word(system, COUNTS));
  });
});

describe("VCPUOP_initialise through FastABI", () => {
  const RDI = 7;
  const RSI = 6;
  const R8 = 8;
  const FASTABI = 0x40000000;
  const TABLES = 0x20000;

  it("takes a 64-bit context from the frame that it names", () => {
    const answers: number[] = [];
    // [sub-operation, frame]
    const calls = [
      [INITIALISE, 0xf0000], // no memory there
      [INITIALISE, CONTEXT >> 12],
      [INITIALISE, CONTEXT >> 12],
      [UP, 0],
      [IS_UP, 0],
    ] as const;
    const cpu = new ScriptedProcessor(epyc9124, (it, step) => {
      if (step === 0) it.enterLongMode(0);
      else answers.push(it.words[0]);
      if (step === calls.length) return Intercept.Hlt; // with interrupts off
      it.set(RDI, calls[step][0]);
      it.set(RSI, 1);
      it.set(R8, calls[step][1]);
      return it.hypercall(VCPU_OP | FASTABI);
    });
    const system = createXenSystem({
      profile: epyc9124,
      domain: {
        image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4096 }] }),
        memoryBytes: 16 * 2 ** 20,
        abi: "fastabi",
        vcpus: 2,
      },
      processor: cpu.asProcessor(),
    });
    const { guestMemory } = system.domain;
    const context = new Uint8Array(128);
    const view = new DataView(context.buffer);
    const put = (at: number, value: bigint) => view.setBigUint64(at, value, true);
    view.setUint32(0, 1, true);
    put(8, 0x1122334455667788n); // RAX
    put(8 + 8 * 4, 0x80000n); // RSP
    put(72, BigInt(CODE));
    put(80, 2n);
    put(88, 0x80000011n);
    put(96, BigInt(TABLES));
    put(104, 0x20n);
    put(112, 0x100n);
    guestMemory.writeBytes(CONTEXT, context);
    for (const [at, entry] of [
      [TABLES, TABLES + 0x1007],
      [TABLES + 0x1000, TABLES + 0x2007],
      [TABLES + 0x2000, 0x87],
    ])
      guestMemory.writeU32(at, entry);
    // mov [RESULTS], rax; mov al, 'L'; out e9h, al; jmp $
    const code = [0x48, 0xa3, ...le(RESULTS), 0, 0, 0, 0, ...print("L"), 0xeb, 0xfe];
    guestMemory.writeBytes(CODE, Uint8Array.from(code));
    expect(system.run({ maxCycles: 1e6 })).toMatchObject({ reason: "budget" });
    expect(answers).toEqual([-Errno.EINVAL, 0, -Errno.EEXIST, 0, 1]);
    expect(system.console).toBe("L");
    expect(guestMemory.readBytes(RESULTS, 8)).toEqual(context.slice(8, 16));
  });
});

describe("a domain's number of vCPUs", () => {
  it("is 1 to 32", () => {
    for (const vcpus of [0, 33, 1.5, -1])
      expect(() => guest(epyc9124, vcpus, { bodies: [[HLT]] })).toThrow(XenConfigError);
  });

  it("decides what snapshots fit", () => {
    const two = guest(epyc9124, 2, { bodies: [[HLT]] });
    const three = guest(epyc9124, 3, { bodies: [[HLT]] });
    expect(() => three.restore(two.snapshot())).toThrow(SnapshotError);
    const snapshot = two.snapshot();
    const fresh = () => guest(epyc9124, 2, { bodies: [[HLT]] });
    const spoilt: readonly unknown[] = [
      { ...snapshot, vcpus: snapshot.vcpus.slice(1) },
      { ...snapshot, scheduler: undefined },
      { ...snapshot, scheduler: { ...snapshot.scheduler, running: 7 } },
      {
        ...snapshot,
        scheduler: {
          ...snapshot.scheduler,
          messages: [{ at: 0, target: 9, mode: 0, vector: 48, level: false }],
        },
      },
    ];
    for (const each of spoilt) expect(() => fresh().restore(each)).toThrow(SnapshotError);
  });

  it("may be 32, all of which start", () => {
    const call = caller(epyc9124);
    const system = guest(epyc9124, 32, {
      bodies: [
        [
          ...ENABLE,
          ...put(APIC + 0x300, 0xc0000 | EDGE_INIT),
          ...put(APIC + 0x300, 0xc0000 | SIPI | (TRAMPOLINE >> 12)),
          ...await_(COUNTS, 31),
          ...put(STRUCT, 0),
          ...call(SCHED_OP, 2, STRUCT),
        ],
      ],
      trampoline: [0x31, 0xc0, 0x8e, 0xd8, 0xf0, 0x66, 0xff, 0x06, ...le(COUNTS, 2), CLI, HLT],
    });
    expect(system.run({ maxInstructions: 1e6 })).toMatchObject({ shutdown: "poweroff" });
    expect(balanced(system)).toBe(true);
  });
});
