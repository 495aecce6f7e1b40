import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { epyc9124, type ProcessorProfile, State, skylakeSp } from "@hyperwalk/cpu";
import { hypercallBenchImage, runstateLoop } from "@hyperwalk/guest-sdk";
import { createXenSystem, type XenSystem } from "@hyperwalk/xen";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { ABIS, type AbiName } from "./boot.js";

vi.setConfig({ testTimeout: 120_000 }); // simulated work, however slow the host

interface Case {
  readonly name: string;
  readonly profile: ProcessorProfile;
  readonly abi: AbiName;
  readonly image: Uint8Array;
  readonly cmdline: string;
}

const file = (path: string) => readFileSync(new URL(path, import.meta.url));
const PROFILES = [epyc9124, skylakeSp] as const;
const LOOPS = { integer: 2000, memory: 3, calls: 10 } as const;

const CASES: readonly Case[] = PROFILES.flatMap((profile) => [
  ...ABIS.map((abi) => ({
    name: `hypercall-bench ${abi}`,
    profile,
    abi,
    image: hypercallBenchImage(),
    cmdline: "iterations=40 buffer=straddle",
  })),
  {
    name: "runstate-loop",
    profile,
    abi: "linear" as const,
    image: runstateLoop.build({ abi: "linear", vendor: profile.vendor, leaf: "2m", iterations: 40 }),
    cmdline: "",
  },
  ...Object.entries(LOOPS).map(([loop, iterations]) => ({
    name: `${loop} loop`,
    profile,
    abi: "linear" as const,
    image: file("../../bench/guests/loops.elf"),
    cmdline: `loop=${loop} iterations=${iterations}`,
  })),
  {
    name: "hypercall-bench with a fault",
    profile,
    abi: "linear" as const,
    image: hypercallBenchImage(),
    cmdline: "iterations=10 probe=wrong-vendor buffer=bad",
  },
  // Ring 3, faults, a task switch and paging set up by the guest; 32-bit task switches are the hypervisor's on Intel.
  ...(profile.vendor === "amd" ? ["unpaged", "pse", "pae"] : []).map((paging) => ({
    name: `self-check ${paging}`,
    profile,
    abi: "linear" as const,
    image: file(`self-check-${paging}.elf`),
    cmdline: "",
  })),
]);

/** A fresh system in which time as guests see it is what they counted of it, not how long anything took. */
function timeless({ profile, abi, image, cmdline }: Case): XenSystem {
  const system = createXenSystem({
    profile,
    domain: { image, memoryBytes: 64 * 2 ** 20, cmdline, abi },
    measureWindow: false,
  });
  let reads = 0;
  system.processor.readTimestamp = () => 1000 * ++reads;
  system.vcpu.systemTimeNs = () => {};
  return system;
}

/** What the architecture knows of a system: registers, guest memory, output. */
function stateOf(system: XenSystem): object {
  const { processor, domain } = system;
  const { words } = processor.state;
  const registers = [...words.slice(0, 32), ...words.slice(State.Cr0, State.InterruptShadow + 1)];
  const vectors = [
    ...words.slice(State.Fpr, State.Fpr + 32),
    ...words.slice(State.Vector, State.Vector + 128),
  ];
  const { frames } = processor.memory.snapshot();
  const touched = new Set(frames);
  const memory: [gfn: number, hash: number][] = [];
  for (let gfn = 0; gfn < 16384; gfn++) {
    const mfn = domain.p2m.translate(gfn);
    if (!touched.has(mfn)) continue;
    const hash = processor.memory
      .readBytes(mfn * 4096, 4096)
      .reduce((h, byte) => Math.imul(h ^ byte, 16777619), 1);
    memory.push([gfn, hash]);
  }
  const { guestInstructions, hypercalls, vmExits, bytesCopied } = system.counters();
  return {
    registers,
    vectors,
    rflags: processor.engine.rflags(),
    memory,
    console: system.console,
    counters: { guestInstructions, hypercalls, vmExits, bytesCopied },
  };
}

/** Hash of every typed array in a snapshot, in order: comparing an L3's tags one by one takes seconds. */
function digest(value: unknown): string {
  const hash = createHash("sha256");
  const visit = (part: unknown): void => {
    if (ArrayBuffer.isView(part)) hash.update(part as Uint8Array);
    else if (typeof part === "object" && part !== null) for (const inner of Object.values(part)) visit(inner);
    else hash.update(String(part));
  };
  visit(value);
  return hash.digest("hex");
}

const cells = (system: XenSystem): number => system.ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0);

describe.each(CASES)("$profile.id, $name", (each) => {
  const timed = timeless(each);
  const outcome = timed.run({ maxInstructions: 5_000_000 });
  const expected = stateOf(timed);

  it("ends in the same architectural state with timing off, having touched no cache, TLB or counter", () => {
    expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    const system = timeless(each);
    const { mmu, predictor } = system.processor;
    const before = mmu.snapshot();
    const cached = digest(before.caches);
    const learnt = predictor.snapshot().patterns;
    const { ended, outcome: end, instructions, cycles } = system.fastForward({ instructions: 5_000_000 });
    expect([ended, end]).toEqual(["outcome", outcome]);
    expect(instructions).toBe(timed.processor.engine.instructions);
    expect(stateOf(system)).toEqual(expected);
    const after = mmu.snapshot();
    expect(digest(after.caches)).toBe(cached);
    expect(after.recency).toBe(before.recency);
    // Invalidations are counted, because they empty TLBs whether timing is on or off.
    const invalidations = mmu.counters.findIndex((count, i) => count !== before.counters[i]);
    expect([-1, 26]).toContain(invalidations);
    expect(predictor.snapshot().patterns).toEqual(learnt);
    expect(predictor.mispredicts).toBe(0);
    // All of it is charged below one phase, and only what costs the same wherever memory is.
    const rows = system.ledger.rows();
    expect(cells(system)).toBe(system.ledger.clock[0]);
    for (const { path, cause } of rows) {
      expect(path[1]).toBe("fast-forward");
      expect(["branch", "l1", "l2", "l3", "dram", "tlb", "walk"]).not.toContain(cause);
    }
    expect(system.fastForwarded.cycles).toBe(cycles);
    expect(cycles).toBeLessThan(timed.cycles);
  });

  it("comes to the same however often timing is switched", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 12 }),
        fc.boolean(),
        (parts, first) => {
          const system = timeless(each);
          let forward = first;
          let ended = false;
          for (const part of parts) {
            if (ended) break;
            ended = forward
              ? system.fastForward({ instructions: part }).ended === "outcome"
              : system.run({ maxInstructions: part }).reason !== "budget";
            forward = !forward;
          }
          if (!ended) expect(system.run({ maxInstructions: 5_000_000 })).toEqual(outcome);
          expect(stateOf(system)).toEqual(expected);
          expect(cells(system)).toBe(system.ledger.clock[0]);
          expect(system.ledger.phaseDepth).toBe(0);
        },
      ),
      { numRuns: 3 },
    );
  });
});

describe("what a fast-forward leaves for the timed part", () => {
  const start = (): XenSystem =>
    createXenSystem({
      profile: epyc9124,
      domain: {
        image: hypercallBenchImage(),
        memoryBytes: 64 * 2 ** 20,
        cmdline: "iterations=300",
        abi: "linear",
      },
      accounting: true,
    });

  it("is a window of the measured loop much like that of a run without it", () => {
    const whole = start();
    whole.run();
    const system = start();
    // Past the guest's start, not yet in its loop.
    expect(system.fastForward({ instructions: 2000 }).ended).toBe("instructions");
    system.run();
    const [a, b] = [whole.window!, system.window!];
    expect(b.hypercalls).toBe(a.hypercalls);
    expect(b.counters).toEqual(a.counters);
    // Caches are colder at its beginning.
    expect(b.cycles).toBeGreaterThanOrEqual(a.cycles);
    expect(b.cycles).toBeLessThan(1.2 * a.cycles);
  });

  it("is no window, and no accounts, when it goes on to the end", () => {
    const system = start();
    const { ended } = system.fastForward({ instructions: 10_000_000 });
    expect(ended).toBe("outcome");
    expect(system.window).toBeUndefined();
    expect(system.exitAccounts()).toEqual([]);
    expect(system.hypercallAccounts()).toEqual([]);
    expect(system.counters().hypercalls).toBeGreaterThan(300);
  });

  it("refuses a target that makes no sense", () => {
    const system = start();
    expect(() => system.fastForward({})).toThrow(/no target is given; allowed: untilMarker/);
    expect(() => system.fastForward({ instructions: 0 })).toThrow(
      /instructions 0; allowed: whole numbers from 1/,
    );
    expect(() => system.fastForward({ untilAddress: -1 })).toThrow(/untilAddress -1; allowed/);
    expect(() => system.fastForward({ untilAddress: 2n ** 64n })).toThrow(
      /allowed: whole numbers from 0 to 2\^64/,
    );
    expect(system.processor.timed).toBe(true);
  });
});
