import { epyc9124, type ProcessorProfile, skylakeSp } from "@hyperwalk/cpu";
import { Arena, Cause, CycleLedger } from "@hyperwalk/mmu";
import { describe, expect, it, vi } from "vitest";
import { LockMode, SimulatedLock } from "../src/host/simulated-lock.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import { SnapshotError } from "../src/snapshot/snapshot-error.ts";
import type { XenSystem } from "../src/xen.ts";
import { caller, END, flatGuest, HLT, le, put } from "./flat-guest.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

/** Two processors at a lock, on clocks of their own. */
function pair() {
  const ledgers = [0, 1].map(() => new CycleLedger(new Arena(1 << 20)));
  const running = { processor: 0, ledger: ledgers[0] };
  const lock = new SimulatedLock(running);
  /** Arrives at a time and holds for so long. @returns the wait */
  const hold = (processor: number, at: number, ticks: number, mode: number = LockMode.Exclusive) => {
    const ledger = ledgers[processor];
    running.processor = processor;
    running.ledger = ledger;
    ledger.charge(Cause.Issue, at - ledger.clock[0]);
    lock.acquire(mode);
    const wait = ledger.clock[0] - at;
    ledger.charge(Cause.Issue, ticks);
    lock.release();
    return wait;
  };
  return { lock, ledgers, hold };
}

describe("a simulated lock", () => {
  it("makes who arrives inside another's interval wait until its end", () => {
    const { hold, ledgers } = pair();
    expect(hold(0, 1000, 500)).toBe(0);
    expect(hold(0, 2000, 300)).toBe(0);
    expect(hold(1, 900, 50)).toBe(0); // before
    expect(hold(1, 1000, 10)).toBe(500); // at the very beginning
    expect(hold(1, 1999, 10)).toBe(0); // between
    expect(hold(1, 2299, 10)).toBe(1);
    expect(hold(1, 2309, 10)).toBe(0);
    const waits = ledgers[1].rows().filter(({ cause }) => cause === "lock-wait");
    expect(waits.map(({ ticks }) => ticks)).toEqual([501]);
  });

  it("makes a wait for one end in a wait for the next", () => {
    const { lock, hold } = pair();
    const intervals = [
      { processor: 0, from: 100, until: 200, mode: 1 },
      { processor: 0, from: 200, until: 350, mode: 1 },
    ];
    lock.restore({ intervals, owed: [] }, 2);
    expect(hold(1, 150, 10)).toBe(200);
  });

  it("lets readers be together, and keeps readers and writers apart", () => {
    const { hold } = pair();
    hold(0, 100, 100, LockMode.Shared);
    expect(hold(1, 150, 10, LockMode.Shared)).toBe(0);
    expect(hold(1, 170, 10, LockMode.Exclusive)).toBe(30);
    hold(0, 400, 100, LockMode.Exclusive);
    expect(hold(1, 450, 10, LockMode.Shared)).toBe(50);
  });

  it("serves in the order of arrival: a wait counts as being there", () => {
    const { hold } = pair();
    hold(0, 100, 100, LockMode.Shared);
    hold(1, 150, 20, LockMode.Exclusive); // waits until 200, holds until 220
    expect(hold(0, 210, 5, LockMode.Shared)).toBe(10);
  });

  it("is taken once by who has it already", () => {
    const { lock, hold } = pair();
    hold(0, 100, 100);
    hold(1, 300, 0);
    lock.acquire(LockMode.Exclusive);
    lock.acquire(LockMode.Shared);
    lock.release();
    lock.release();
    expect(lock.intervalsAfter(0)).toEqual([{ processor: 0, from: 100, until: 200, mode: 1 }]);
  });

  it("remembers the latest of many", () => {
    const { lock, hold } = pair();
    for (let i = 0; i < 3000; i++) hold(0, 100 * (i + 1), 50);
    expect(lock.intervalsAfter(0)).toHaveLength(1024);
    expect(lock.intervalsAfter(100 * 3000)).toHaveLength(1);
    expect(hold(1, 100 * 2990 + 20, 1)).toBe(30);
  });

  it.each([
    [{ processor: 2, from: 0, until: 1, mode: 0 }],
    [{ processor: 0, from: 5, until: 5, mode: 0 }],
    [{ processor: 0, from: 5, until: 9, mode: 2 }],
    [{ processor: 0, from: Number.NaN, until: 9, mode: 1 }],
  ])("is not restored to %j", (interval) => {
    expect(() => pair().lock.restore({ intervals: [interval], owed: [] }, 2)).toThrow(RangeError);
    expect(() => pair().lock.restore({ intervals: [], owed: [0, -1] }, 2)).toThrow(RangeError);
  });

  it("lets who was simulated first pay later for a lock that was held before", () => {
    const { lock, hold, ledgers } = pair();
    hold(0, 1000, 100);
    hold(0, 1150, 100);
    expect(hold(1, 900, 300)).toBe(0); // until 1200: processor 0 was to wait at 1000
    expect(lock.snapshot(0).owed).toEqual([200]);
    expect(hold(0, 2000, 10)).toBe(200);
    expect(hold(0, 3000, 10)).toBe(0);
    const readers = pair();
    readers.hold(0, 1000, 100, LockMode.Shared);
    readers.hold(1, 900, 300, LockMode.Shared);
    expect(readers.lock.snapshot(0).owed).toEqual([]);
    expect(ledgers[0].rows().reduce((total, { ticks }) => total + ticks, 0)).toBe(ledgers[0].clock[0]);
  });
});

const CONTEXT = 0x91000;
const STRUCT = 0x92000;
const LIST = 0x93000;
const BUFFER = 0x94000; // one for each vCPU, 4 KiB apart
const COUNTERS = 0x98000; // loops left, one for each vCPU, then the number of those done
const DONE = COUNTERS + 16;
const SECOND = 0x110000;
const PAGE = 0x600; // guest frame that comes and goes
const CONTROL_GFN = 0x700;
const VCPU_OP = 24;
const MEMORY_OP = 12;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const ROUNDS = 200;

/** Two vCPUs that each make some calls over and over, then power off; the second is not started for one. */
function guest(profile: ProcessorProfile, loops: readonly (readonly number[])[]): XenSystem {
  const call = caller(profile);
  const loop = (id: number) => {
    const body = loops[id];
    // dec dword [counter]; jnz to the beginning; lock inc dword [done]
    const back = -(body.length + 6 + 6);
    const repeat = [...body, 0xff, 0x0d, ...le(COUNTERS + 4 * id), 0x0f, 0x85, ...le(back)];
    return [...put(COUNTERS + 4 * id, ROUNDS), ...repeat, 0xf0, 0xff, 0x05, ...le(DONE)];
  };
  const second = loops.length > 1;
  const start = second ? [...call(VCPU_OP, 0, 1, CONTEXT), ...call(VCPU_OP, 1, 1)] : [];
  // pause; cmp dword [done], n; jb back
  const wait = [0xf3, 0x90, 0x81, 0x3d, ...le(DONE), ...le(loops.length), 0x72, 0xf2];
  const off = [...put(STRUCT, 0), ...call(SCHED_OP, 2, STRUCT)];
  const body = [...start, ...loop(0), ...wait, ...off, ...END];
  const domain = { vcpus: second ? 2 : 1, p2mPage: "4k" } as const;
  const system = flatGuest(profile, body, {}, { accounting: true, domain });
  const { guestMemory } = system.domain;
  if (second) guestMemory.writeBytes(SECOND, Uint8Array.from([...loop(1), HLT, 0xeb, 0xfd]));
  const context = new Uint8Array(128);
  const fields: readonly (readonly [number, number, number])[] = [
    [40, SECOND, 4],
    [44, 2, 4],
    [48, 0x11, 4],
    ...[92, 96, 100, 104].map((at) => [at, -1, 4] as const),
    [108, 0x67, 4],
    [112, 0xc9b, 2],
    ...[114, 116, 118].map((at) => [at, 0xc93, 2] as const),
    [120, 0x8b, 2],
  ];
  for (const [at, value, bytes] of fields) context.set(le(value, bytes), at);
  guestMemory.writeBytes(CONTEXT, context);
  for (const [at, value] of [
    [0, LIST],
    [4, 1],
    [8, 0],
    [12, 0],
    [16, 0x7ff0],
  ] as const) {
    guestMemory.writeU32(STRUCT + at, value);
    guestMemory.writeU32(STRUCT + 0x100 + at, value);
  }
  guestMemory.writeU32(LIST, PAGE);
  return system;
}

/** Cycles that each vCPU waited, by the phase in which it did. */
const waits = (system: XenSystem) =>
  system.vcpus.map(({ pcpu }) => {
    const byPhase: Record<string, number> = {};
    for (const { phase, cause, ticks } of pcpu.ledger.rows())
      if (cause === "lock-wait") byPhase[phase] = (byPhase[phase] ?? 0) + ticks / 256;
    return byPhase;
  });
const sum = (wait: Record<string, number>) => Object.values(wait).reduce((total, each) => total + each, 0);
const digest = (system: XenSystem) =>
  JSON.stringify([system.cycles, waits(system), system.vcpus.map(({ pcpu }) => pcpu.ledger.rows())]);

describe.each([
  ["SVM", epyc9124],
  ["VMX", skylakeSp],
] as const)("two vCPUs under %s", (_, profile) => {
  const call = caller(profile);
  const copy = (id: number) => call(VCPU_OP, 4, id, BUFFER + 0x1000 * id);
  const balloon = [...call(MEMORY_OP, 1, STRUCT + 0x100), ...call(MEMORY_OP, 6, STRUCT + 0x100)];
  const alloc = (id: number) => [
    ...put(BUFFER + 0x1000 * id, 0x7ff07ff0),
    ...call(EVENT_CHANNEL_OP, 6, BUFFER + 0x1000 * id),
    ...[0xa1, ...le(BUFFER + 0x1000 * id + 4)], // mov eax, [port]
    ...[0xa3, ...le(BUFFER + 0x1000 * id)],
    ...call(EVENT_CHANNEL_OP, 3, BUFFER + 0x1000 * id),
  ];
  const run = (loops: readonly (readonly number[])[]) => {
    const system = guest(profile, loops);
    expect(system.run({ maxCycles: 1e8 })).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    for (const { pcpu } of system.vcpus)
      expect(pcpu.ledger.rows().reduce((total, { ticks }) => total + ticks, 0)).toBe(pcpu.ledger.clock[0]);
    return system;
  };

  it("readers of the p2m do not wait for each other, and one alone for nobody", () => {
    expect(waits(run([copy(0), copy(1)])).map(sum)).toEqual([0, 0]);
    expect(waits(run([[...balloon, ...copy(0)]])).map(sum)).toEqual([0]);
  });

  it("copies wait for the p2m while the other one populates and gives back, and it for them", () => {
    const system = run([balloon, [...copy(1), ...call(VCPU_OP, 3, 0), ...copy(1)]]);
    const [writer, reader] = waits(system);
    expect(sum(writer)).toBeGreaterThan(0);
    expect(reader["p2m lookup"]).toBeGreaterThan(0);
    // A reader waits for one change of an entry at most, a writer for one look-up and change.
    expect(sum(reader)).toBeLessThan(ROUNDS * 4 * 4 * 8000);
    expect(system.domain.p2m.translate(PAGE)).toBeGreaterThan(0);
  });

  it("two that populate wait for each other", () => {
    const system = run([balloon, balloon]);
    const both = waits(system).map(sum);
    expect(Math.max(...both)).toBeGreaterThan(0);
  });

  it("sends to one vCPU's queues wait for each other, in FIFO mode", () => {
    const send = (id: number) => call(EVENT_CHANNEL_OP, 4, BUFFER + 0x1000 * id);
    // Loops of different lengths meet in every way.
    const system = guest(profile, [
      [...send(0), ...send(0)],
      [...send(1), ...call(VCPU_OP, 3, 0)],
    ]);
    const { eventChannels, p2m, guestMemory } = system.domain;
    for (const vcpu of [0, 1]) expect(eventChannels.initControl(vcpu, CONTROL_GFN + vcpu, 0, p2m)).toBe(0);
    expect(eventChannels.expandArray(CONTROL_GFN + 2, p2m)).toBe(0);
    for (const id of [0, 1]) guestMemory.writeU32(BUFFER + 0x1000 * id, eventChannels.bindIpi(0));
    expect(system.run({ maxCycles: 1e8 })).toMatchObject({ shutdown: "poweroff" });
    const found = waits(system);
    expect(found.some((wait) => (wait.operation ?? 0) > 0)).toBe(true);
    expect(found.every((wait) => wait["p2m lookup"] === undefined)).toBe(true);
  });

  it("allocating and closing ports contends for the event lock", () => {
    const found = waits(run([alloc(0), [...alloc(1), ...alloc(1), ...copy(1)]]));
    expect(found.some((wait) => (wait.operation ?? 0) > 0)).toBe(true);
  });

  it("the same guest waits the same, also from a snapshot in the middle", () => {
    const loops = [balloon, [...copy(1), ...balloon]];
    const whole = run(loops);
    expect(digest(run(loops))).toBe(digest(whole));
    const first = guest(profile, loops);
    first.run({ maxInstructions: 700 });
    const again = guest(profile, loops);
    again.restore(decodeSnapshot(encodeSnapshot(first.snapshot())));
    again.run({ maxCycles: 1e8 });
    expect(digest(again)).toBe(digest(whole));
    const snapshot = first.snapshot();
    const scheduler = { ...snapshot.scheduler, locks: { locks: [] } };
    expect(() => guest(profile, loops).restore({ ...snapshot, scheduler })).toThrow(SnapshotError);
  });
});
