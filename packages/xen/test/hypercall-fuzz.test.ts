import { epyc9124, Intercept, State, skylakeSp } from "@hyperwalk/cpu";
import { LongModeTables, Pte, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { PlainData } from "../src/snapshot/plain-data.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import { HYPERCALL_ABIS, type HypercallAbiName } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";
import { HypercallDriver } from "./hypercall-driver.ts";
import { Random, randomCall } from "./random-calls.ts";
import { type GuestScript, ScriptedProcessor } from "./scripted-processor.ts";

vi.setConfig({ testTimeout: 60_000 });

const word = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.constantFrom(0, 1, 2, 3, 4, 13, 24, 29, 32, 34, 0x7ff0, 0x300000, 0x3ffff0, 0x40000000, -1, 1 << 31),
  fc.integer({ min: 0, max: 64 }),
);
const number = fc.oneof(
  fc.constantFrom(7, 12, 13, 15, 17, 18, 20, 21, 24, 29, 32, 33, 34, 35, 36),
  fc.constantFrom(12, 17, 20, 24, 29, 32, 34).map((n) => n | 0x40000000),
  word,
);
const call = fc.record({
  number,
  high: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: word }),
  registers: fc.array(word, { minLength: 30, maxLength: 30 }),
});

function system(
  profile: typeof epyc9124,
  abi: HypercallAbiName,
  script: GuestScript,
): { cpu: ScriptedProcessor; system: XenSystem } {
  const cpu = new ScriptedProcessor(profile, script);
  const made = createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] }),
      memoryBytes: 32 * 2 ** 20,
      abi,
      hardwareDomain: abi === "physaddr",
    },
    processor: cpu.asProcessor(),
  });
  let next = 0x400;
  const tables = new LongModeTables({
    memory: cpu.memory,
    allocate: () => next++,
    locate: (gfn) => made.domain.p2m.translate(gfn),
  });
  tables.mapRange(0x200, 0x200, 512, "4k", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
  cpu.cr3 = tables.rootFrame * 4096;
  return { cpu, system: made };
}

describe.each([
  ["amd", epyc9124],
  ["intel", skylakeSp],
] as const)("arbitrary registers on %s", (_vendor, profile) => {
  it.each(HYPERCALL_ABIS)("never break the host, %s", (abi) => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 60 }), (calls) => {
        const made = system(profile, abi, (cpu, step) => {
          if (step === 0) cpu.enterLongMode(cpu.cr3);
          if (step >= calls.length) return undefined;
          calls[step].registers.forEach((value, i) => {
            if (i !== 6 && i !== 7) cpu.words[2 + i] = value; // not rsp
          });
          const event = cpu.hypercall(calls[step].number);
          cpu.words[1] = calls[step].high;
          return event;
        });
        const outcome = made.system.run({ maxInstructions: calls.length });
        expect(["budget", "shutdown", "halted"]).toContain(outcome.reason);
        const { ledger } = made.system;
        expect(ledger.phaseDepth).toBe(0);
        expect(ledger.rows().reduce((sum, row) => sum + row.ticks, 0)).toBe(ledger.clock[0]);
        const { frameTable } = made.system;
        for (const gfn of [0x300, 0x400, 0x401]) {
          const mfn = made.system.domain.p2m.translate(gfn);
          expect(frameTable.references(mfn)).toBe(1);
        }
      }),
      { numRuns: 5 },
    );
  });

  it("never break the host, CPUID, MSRs and ports", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), word, word, word), { maxLength: 60 }),
        (steps) => {
          const events = [
            Intercept.Cpuid,
            Intercept.Rdmsr,
            Intercept.Wrmsr,
            Intercept.IoRead,
            Intercept.IoWrite,
          ];
          const made = system(profile, "linear", (cpu, step) => {
            if (step >= steps.length) return undefined;
            const [event, eax, ecx, edx] = steps[step];
            cpu.set(0, eax);
            cpu.set(1, ecx);
            cpu.set(2, edx);
            cpu.info = (edx & 0xffff) | ([1, 2, 4][step % 3] << 16);
            return events[event];
          });
          expect(made.system.run({ maxInstructions: steps.length + 1 }).reason).toBe("budget");
          expect(made.system.ledger.phaseDepth).toBe(0);
        },
      ),
      { numRuns: 5 },
    );
  });
});

const CALLS = 20_000;
const BATCH = 640;
const MAX_INSTRUCTIONS = 1_000_000;
/** Domains sleep, end or lose their code: not every batch comes to its end. A batch that does takes a hundredth of this. */
const MAX_CYCLES = 2e8;
/**
 * Three calls in four are not hostile and seven in eight are made for the interface; of those, half name a port, handle or entry
 * that is not there, or ask for what no guest may. Of some ninety operations a guest may do sixty with success.
 */
const LEAST_SUCCEEDED = 1 / 3;
const LEAST_OPERATIONS = 45;
/** Another seed: `HYPERCALL_SEED=7 npx vitest run --project unit packages/xen/test/hypercall-fuzz.test.ts`. */
const SEED = Number(process.env.HYPERCALL_SEED ?? 1);

describe("twenty thousand random calls leave Xen as it should be", { timeout: 240_000 }, () => {
  const vendors = [
    ["amd", epyc9124],
    ["intel", skylakeSp],
  ] as const;
  const runs = vendors.flatMap(([vendor, profile]) =>
    HYPERCALL_ABIS.map((abi) => [abi, vendor, profile] as const),
  );
  const each = Math.ceil(CALLS / runs.length);

  it.each(runs)("%s on %s", (abi, vendor, profile) => {
    let made = 0;
    let succeeded = 0;
    const names = new Set<string>();
    for (let batch = 0; made < each; batch++) {
      const seed = SEED * 1_000_000 + batch;
      const random = new Random(seed);
      const calls = Array.from({ length: BATCH }, (_, i) => randomCall(random, i, { abi }));
      const start = () => {
        const driver = new HypercallDriver(
          profile,
          { abi },
          calls.map(({ registers }) => registers),
        );
        const { guestMemory } = driver.system.domain;
        for (const { memory } of calls) for (const [at, bytes] of memory) guestMemory.writeBytes(at, bytes);
        return driver;
      };
      try {
        const driver = start();
        const { system } = driver;
        system.on("hypercall", ({ operation, result }) => {
          if (operation === undefined || result === undefined || result < 0) return;
          succeeded++;
          names.add(operation);
        });
        const outcome = system.run({ maxInstructions: MAX_INSTRUCTIONS, maxCycles: MAX_CYCLES });
        expect(["budget", "shutdown", "halted", "triple-fault", "crash"]).toContain(outcome.reason);
        checkInvariants(driver);
        made += Math.max(system.counters().hypercalls, 1);
        if (batch === 1 && (vendor === "amd" || abi === "linear"))
          checkRoundTrip(start, system, outcome.reason);
      } catch (error) {
        throw new Error(`HYPERCALL_SEED=${SEED}, batch ${batch} (seed ${seed})`, { cause: error });
      }
    }
    expect(succeeded / made).toBeGreaterThan(LEAST_SUCCEEDED);
    expect(names.size).toBeGreaterThan(LEAST_OPERATIONS);
  });

  it.each(vendors)("those that are all in registers change no memory, %s", (_vendor, profile) => {
    for (let batch = 0; batch < 2; batch++) {
      const random = new Random(SEED * 1_000_000 + batch);
      const calls = Array.from({ length: BATCH }, (_, i) => randomCall(random, i, { registerOnly: true }));
      const driver = new HypercallDriver(
        profile,
        { abi: "fastabi" },
        calls.map(({ registers }) => registers),
      );
      const { guestMemory, config } = driver.system.domain;
      const read = () => {
        const all = guestMemory.readBytes(0, config.memoryBytes);
        for (const [at, bytes] of driver.ownWrites()) all.fill(0, at, at + bytes);
        return all;
      };
      const before = read();
      driver.system.run({ maxInstructions: MAX_INSTRUCTIONS, maxCycles: MAX_CYCLES });
      expect(driver.done).toBeGreaterThan(0);
      expect(Buffer.compare(before, read()), `HYPERCALL_SEED=${SEED}, batch ${batch}`).toBe(0);
      checkInvariants(driver);
    }
  });
});

/** Between two runs: nothing is held, and everything is accounted for. */
function checkInvariants({ system, firstFrame }: HypercallDriver): void {
  const { ledger, domain, frameTable, vcpus } = system;
  expect(ledger.phaseDepth).toBe(0);
  expect(ledger.rows().reduce((sum, row) => sum + row.ticks, 0)).toBe(ledger.clock[0]);
  for (const { vcpu } of vcpus) expect(vcpu.call.inMulticall).toBe(false);
  // Each reference on a frame of the guest's is somebody's who keeps the page mapped.
  const { fifo, events } = domain.eventChannels.snapshot();
  const held = [
    ...vcpus.flatMap(({ vcpu }) => [vcpu.areas.runstate.frame, vcpu.areas.time.frame]),
    ...events.infoFrame,
    ...fifo.controlFrame,
    ...fifo.pages.subarray(0, fifo.pageCount),
  ].filter((frame) => domain.p2m.isRam(frame));
  const expected = new Map<number, number>();
  for (const frame of held) expected.set(frame, (expected.get(frame) ?? 0) + 1);
  const wrong: string[] = [];
  for (let gfn = 0; gfn < domain.config.memoryBytes / 4096; gfn++) {
    const mfn = firstFrame + gfn;
    const references = frameTable.references(mfn) - (frameTable.isAllocated(mfn) ? 1 : 0);
    if (references !== (expected.get(mfn) ?? 0)) wrong.push(`frame ${gfn}: ${references}`);
  }
  expect(wrong).toEqual([]);
}

/** A fresh system that takes over half-way ends as the first one did: registers, memory, caches, ledger and all. */
function checkRoundTrip(start: () => HypercallDriver, whole: XenSystem, reason: string): void {
  const half = Math.floor(whole.counters().guestInstructions / 2);
  const first = start().system;
  first.run({ maxInstructions: half, maxCycles: MAX_CYCLES });
  const second = start();
  second.system.restore(first.snapshot());
  const end = second.system.run({
    maxInstructions: MAX_INSTRUCTIONS - first.counters().guestInstructions,
    maxCycles: MAX_CYCLES - first.ledger.clock[0] / TICKS_PER_CYCLE,
  });
  expect(end.reason).toBe(reason);
  const state = (system: XenSystem) => system.snapshot() as unknown as PlainData;
  expect(differences(state(second.system), state(whole))).toEqual([]);
  const { guestMemory, p2m, config } = whole.domain;
  const changed: number[] = [];
  for (let gfn = 0; gfn < config.memoryBytes / 4096; gfn++) {
    if (p2m.translate(gfn) < 0) continue;
    const there = second.system.domain.guestMemory.readBytes(4096 * gfn, 4096);
    if (Buffer.compare(there, guestMemory.readBytes(4096 * gfn, 4096)) !== 0) changed.push(gfn);
  }
  expect(changed).toEqual([]);
  checkInvariants(second);
}

/** What may be written down in several ways: caches and TLBs show in the ledger's clock, memory is compared by itself. */
const NOT_UNIQUE = /^\/memory$|\/processor\/mmu$/;

/** Paths of the first few values in which two snapshots differ. */
function differences(one: PlainData, other: PlainData, path = ""): readonly string[] {
  if (Object.is(one, other) || NOT_UNIQUE.test(path)) return [];
  if (typeof one !== "object" || typeof other !== "object") return [`${path}: ${one}, not ${other}`];
  if (ArrayBuffer.isView(one) && ArrayBuffer.isView(other)) {
    const [a, b] = [one, other] as [Uint8Array, Uint8Array];
    const at = a.length === b.length ? a.findIndex((value, i) => !Object.is(value, b[i])) : -2;
    return at === -1 ? [] : [`${path}, from ${at} on`];
  }
  const [keys, others] = [Object.keys(one), Object.keys(other)];
  if (keys.join() !== others.join()) return [`${path}: other keys`];
  return keys
    .flatMap((key) => differences(one[key as never], other[key as never], `${path}/${key}`))
    .slice(0, 5);
}

describe("the p2m under the running guest", () => {
  it("hypervisor reads follow a changed entry, and the guest's cached translations are dropped", () => {
    const results: number[] = [];
    const made = system(epyc9124, "linear", (cpu, step) => {
      if (step === 0) cpu.enterLongMode(cpu.cr3);
      else results.push(cpu.words[0]);
      cpu.set(7, 4);
      cpu.set(6, 0x300000);
      return step < 4 ? cpu.hypercall(32) : undefined; // evtchn_send of the port at 0x300000
    });
    const { domain } = made.system;
    domain.guestMemory.writeU32(0x300000, 3000); // no such port
    made.system.run({ maxInstructions: 1 });
    const other = domain.p2m.translate(0x310);
    domain.guestMemory.writeU32(0x310000, domain.eventChannels.allocUnbound(0x7ff0, 0));
    domain.p2m.setEntry(0x300, other);
    made.system.run({ maxInstructions: 1 });
    domain.p2m.removeEntry(0x300);
    made.system.run({ maxInstructions: 1 });
    expect([...results, made.cpu.words[0]].slice(0, 3)).toEqual([-22, 0, -14]);
  });

  it("shared_info shatters the superpage that it lands in", () => {
    const { system: made } = system(epyc9124, "linear", () => undefined);
    expect(made.domain.p2m.leafLevel(0x1000)).toBe(2);
    made.domain.mapSharedInfo(0x1001);
    expect(made.domain.p2m.leafLevel(0x1000)).toBe(1);
    expect(made.domain.p2m.translate(0x1001)).toBe(made.domain.sharedInfo.frame);
    made.domain.mapSharedInfo(0x2001);
    expect(made.domain.p2m.translate(0x1001)).toBe(-1);
    expect(made.domain.sharedInfo.gfn).toBe(0x2001);
  });
});

it("starts every guest in 32-bit protected mode with start_info in ebx", () => {
  for (const profile of [epyc9124, skylakeSp]) {
    const made = system(profile, "linear", () => undefined);
    made.system.run({ maxInstructions: 1, maxCycles: 1e6 });
    const { words } = made.cpu;
    expect(words[State.RipLo]).toBe(0x100000);
    expect(words[State.Cr0] & 0x80000001).toBe(1);
    expect(words[State.Segments + 8 + 1] & 0x409b).toBe(0x409b);
    expect(made.system.domain.guestMemory.readU32(words[2 * 3] >>> 0)).toBe(0x336ec578);
  }
});
