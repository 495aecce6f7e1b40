import { epyc9124, type ProcessorProfile, resolveProfile, skylakeSp } from "@hyperwalk/cpu";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it, vi } from "vitest";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { timeScale } from "../src/time-record.ts";
import { VcpuTimers } from "../src/vcpu-timers.ts";
import type { XenSystem } from "../src/xen.ts";
import { END, flatGuest, HLT, IRET, le, print, STI, VECTOR } from "./flat-guest.ts";

vi.setConfig({ testTimeout: 60_000 });

const SHARED = 0x20000; // guest-physical place of shared_info
const STRUCT = 0x21000;
const SEEN = 0x22000; // number of ticks, then the time stamp of each
const AREA = 0x23000;
const MS = 1_000_000;
const VM_ASSIST = 21;
const VCPU_OP = 24;
const SCHED_OP = 29;
const SET_TIMER_OP = 15;
/** Cycles from an instant to the handler's first instructions: timer, event and injection. */
const DELIVERY = 20_000;

/** mov dword [at], value */
const put = (at: number, value: number) => [0xc7, 0x05, ...le(at), ...le(value)];
/** Spins until so many ticks were seen. */
const awaitTicks = (ticks: number) => [0x81, 0x3d, ...le(SEEN), ...le(ticks), 0x72, 0xf4];
/** Counts a tick, keeps its time stamp and takes the event off: mov eax,[SEEN]; inc; rdtsc... */
const TICK = [
  0x60,
  ...[0x8b, 0x0d, ...le(SEEN)],
  ...[0x0f, 0x31],
  ...[0x89, 0x04, 0xcd, ...le(SEEN + 8)],
  ...[0x89, 0x14, 0xcd, ...le(SEEN + 12)],
  ...[0xff, 0x05, ...le(SEEN)],
  ...put(SHARED, 0),
  ...put(SHARED + 4, 0),
  ...put(SHARED + 2048, 0),
  0x61,
  IRET,
];

function guest(profile: ProcessorProfile, body: readonly number[]): { system: XenSystem; port: number } {
  const system = flatGuest(profile, [...body, ...END], { [VECTOR]: TICK });
  const { domain } = system;
  domain.mapSharedInfo(SHARED / 4096);
  domain.latchLayout(true);
  domain.eventChannels.setCallback(VECTOR, 2 << 24);
  return { system, port: domain.eventChannels.bindVirq(0, 0) };
}

/** A guest that never sees what it waits for spins no longer than this. */
const run = (system: XenSystem) => system.run({ maxInstructions: 40e6 });
const word = ({ domain }: XenSystem, at: number) => domain.guestMemory.readU32(at);
/** Cycles of the ticks that the guest saw. */
const ticks = (system: XenSystem) =>
  Array.from(
    { length: word(system, SEEN) },
    (_, i) => word(system, SEEN + 8 + 8 * i) + 2 ** 32 * word(system, SEEN + 12 + 8 * i),
  );

describe("VcpuTimers", () => {
  it("expire at the first tick of their nanosecond", () => {
    for (const ghz of [1, 2.1, 3, 3.3, 3.7]) {
      const timers = new VcpuTimers(ghz);
      for (const ns of [1, 7, 999, 123_456_789, 2 ** 40 + 1]) {
        timers.setSingleshot(ns);
        expect(timers.timeAt(timers.due)).toBe(ns);
        expect(timers.timeAt(timers.due - 1)).toBe(ns - 1);
      }
      timers.setSingleshot(2 ** 62);
      expect(timers.due).toBeGreaterThan(2 ** 53);
    }
  });
});

describe("the scale of time stamps", () => {
  it("is that of set_time_scale", () => {
    expect(timeScale(1)).toEqual({ multiplier: 2 ** 31, shift: 1 });
    expect(timeScale(2)).toEqual({ multiplier: 2 ** 31, shift: 0 });
    expect(timeScale(4)).toEqual({ multiplier: 2 ** 31, shift: -1 });
    expect(timeScale(3)).toEqual({ multiplier: Math.floor(2 ** 32 / 1.5), shift: -1 });
  });
});

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("timers under %s", (_, profile) => {
  const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
  const call = (n: number, ...args: readonly number[]) => [
    ...[0xb8, ...le(n)],
    ...args.flatMap((value, i) => [[0xbb, 0xb9, 0xba][i], ...le(value)]),
    ...instruction,
  ];
  const { ghz } = resolveProfile(profile);
  const setTimer = (ns: number) => call(SET_TIMER_OP, ns % 2 ** 32, Math.floor(ns / 2 ** 32));
  const blockFor = (what: "block" | "poll" | "hlt") =>
    what === "hlt" ? [STI, HLT] : call(SCHED_OP, what === "block" ? 1 : 3, STRUCT);
  const expectAt = (cycles: number, ns: number, deliveries = 1) => {
    expect(cycles).toBeGreaterThanOrEqual(ns * ghz);
    expect(cycles).toBeLessThan(ns * ghz + deliveries * DELIVERY);
  };

  it("interrupt a guest that runs, at their instant", () => {
    const { system } = guest(profile, [...setTimer(3 * MS), STI, ...awaitTicks(1), ...print("1")]);
    const exits: number[] = [];
    system.on("vm-exit", ({ name, cycle }) => {
      if (/INTR|external/i.test(name)) exits.push(cycle);
    });
    expect(run(system).reason).toBe("halted");
    expect(system.console).toBe("1\n");
    expectAt(ticks(system)[0], 3 * MS);
    expect(exits.length).toBe(1);
    expect(exits[0]).toBeGreaterThanOrEqual(Math.floor(3 * MS * ghz));
    expect(exits[0]).toBeLessThan(3 * MS * ghz + 200);
  });

  it("wake HLT and SCHEDOP_block at their instant", () => {
    for (const what of ["hlt", "block"] as const) {
      const { system } = guest(profile, [...setTimer(40 * MS), STI, ...blockFor(what), ...print("!")]);
      expect(run(system).reason).toBe("halted");
      expect(system.console).toBe("!\n");
      expect(ticks(system).length).toBe(1);
      expectAt(ticks(system)[0], 40 * MS);
    }
  });

  it("end SCHEDOP_poll at its time-out, or by a port that is masked", () => {
    const { system, port } = guest(profile, [
      ...put(STRUCT + 4, 1), // nr_ports
      ...put(STRUCT, STRUCT + 64), // ports
      ...put(STRUCT + 8, 5 * MS), // timeout
      ...put(SHARED + 2176, -1), // all masked
      ...blockFor("poll"),
      ...[0x0f, 0x31, 0xa3, ...le(AREA)],
      ...setTimer(7 * MS),
      ...put(STRUCT + 8, 90 * MS),
      ...blockFor("poll"),
      ...[0x0f, 0x31, 0xa3, ...le(AREA + 4)],
    ]);
    system.domain.guestMemory.writeU32(STRUCT + 64, port);
    expect(run(system).reason).toBe("halted");
    expectAt(word(system, AREA), 5 * MS);
    expectAt(word(system, AREA + 4), 7 * MS);
    expect(ticks(system)).toEqual([]);
  });

  it("set in the past fire at once; stopped ones never", () => {
    const { system } = guest(profile, [
      STI,
      ...setTimer(1),
      ...awaitTicks(1),
      ...print("1"),
      ...put(STRUCT, 1),
      ...put(STRUCT + 4, 0),
      ...call(VCPU_OP, 8, 0, STRUCT), // set_singleshot_timer
      ...awaitTicks(2),
      ...print("2"),
      ...setTimer(50 * MS),
      ...setTimer(0),
      ...[HLT],
      ...print("?"),
    ]);
    expect(run(system)).toMatchObject({ reason: "halted" });
    expect(system.console).toBe("12");
    for (const cycle of ticks(system)) expect(cycle).toBeLessThan(1e6);
  });

  it("tick periodically while the vCPU runs, and not while it sleeps", () => {
    const { system } = guest(profile, [
      ...put(STRUCT, MS),
      ...put(STRUCT + 4, 0),
      ...call(VCPU_OP, 6, 0, STRUCT),
      STI,
      ...awaitTicks(3),
      ...setTimer(8 * MS),
      ...[HLT], // ticks stand still
      ...awaitTicks(6),
      ...print("6"),
      ...call(VCPU_OP, 7, 0),
    ]);
    expect(run(system).reason).toBe("halted");
    expect(system.console).toBe("6\n");
    const seen = ticks(system);
    [MS, 2 * MS, 3 * MS, 8 * MS].forEach((ns, i) => {
      expectAt(seen[i], ns, i + 1); // ever later: Xen counts on from when it sent the last one
    });
    // Both the one-shot tick and the overdue periodic one are one event; the next is a period after it.
    expect(seen[4] - seen[3]).toBeGreaterThan(0.99 * MS * ghz);
    expect(seen.length).toBe(6);
  });

  it("come back in a snapshot", () => {
    const make = () =>
      guest(profile, [...setTimer(30 * MS), STI, ...blockFor("block"), ...print("!")]).system;
    const whole = make();
    run(whole);
    const [first, second] = [make(), make()];
    expect(first.run({ maxCycles: 10 * MS }).reason).toBe("budget");
    second.restore(decodeSnapshot(encodeSnapshot(first.snapshot())));
    expect(run(second).reason).toBe("halted");
    expect([second.console, second.cycles, ticks(second)]).toEqual([
      whole.console,
      whole.cycles,
      ticks(whole),
    ]);
  });

  it("and the time in vcpu_info agree, from each second to the next", () => {
    const { system } = guest(profile, [...setTimer(2500 * MS), STI, HLT]);
    const record = (at: number) => {
      const bytes = new DataView(system.domain.guestMemory.readBytes(at, 32).buffer);
      const stamp = Number(bytes.getBigUint64(8, true));
      const base = Number(bytes.getBigUint64(16, true));
      const cycles = BigInt(Math.floor(system.ledger.clock[0] / TICKS_PER_CYCLE) - stamp);
      const shift = bytes.getInt8(28);
      const shifted = shift < 0 ? cycles >> BigInt(-shift) : cycles << BigInt(shift);
      const ns = base + Number((shifted * BigInt(bytes.getUint32(24, true))) >> 32n);
      return { version: bytes.getUint32(0, true), base, ns };
    };
    const now = () => system.vcpu.nowNs;
    expect(record(SHARED + 32)).toMatchObject({ version: 2, base: 0 });
    expect(run(system).reason).toBe("halted");
    const { version, base, ns } = record(SHARED + 32);
    expect([version, base]).toEqual([4, 2000 * MS]);
    expect(Math.abs(ns - now())).toBeLessThan(3);
  });

  it("leave the run state in areas, by address and by place, flagged or not", () => {
    for (const [index, flag] of [
      [5, false],
      [5, true],
      [14, false],
    ] as const) {
      const { system } = guest(profile, [
        ...put(STRUCT, AREA),
        ...put(STRUCT + 4, 0),
        ...(flag ? call(VM_ASSIST, 0, 5) : []),
        ...call(VCPU_OP, index, 0, STRUCT),
        ...setTimer(10 * MS),
        STI,
        HLT,
      ]);
      expect(system.run({ maxCycles: 5 * MS * ghz }).reason).toBe("budget");
      const read = (at: number) =>
        Number(new DataView(system.domain.guestMemory.readBytes(at, 8).buffer).getBigUint64(0, true));
      expect(word(system, AREA)).toBe(2); // blocked
      const slept = read(AREA + 4);
      expect(read(AREA + 12)).toBe(slept); // until then it ran
      expect(run(system).reason).toBe("halted");
      // The last change is that to blocked for good: the area is as of before it, when the vCPU ran again.
      expect(word(system, AREA)).toBe(0);
      const woken = read(AREA + 4);
      expect(woken).toBeGreaterThanOrEqual(10 * MS);
      expect(read(AREA + 12 + 16)).toBe(woken - slept);
      expect(read(AREA + 36)).toBe(0); // offline
    }
  });
});
