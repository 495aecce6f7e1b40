import { epyc9124, findProfile, type ProcessorProfile } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { type LedgerRow, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import {
  createKvmSystem,
  createXenSystem,
  type GuestSystem,
  type TimelineListener,
  type TimelineStretch,
} from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import type { Guest } from "../src/guest.ts";
import { hypercallBench, runstateLoop } from "../src/guest-catalogue.ts";
import type { AbiName } from "../src/result.ts";
import { type CallTimeline, hypercallTimeline } from "../src/timeline/hypercall-timeline.ts";
import { runWithTimeline } from "../src/timeline/timeline-request.ts";

const skylake = findProfile("skylake-sp") as ProcessorProfile;

type Make = (timeline?: TimelineListener) => GuestSystem;

function domain(guest: Guest, profile: ProcessorProfile, abi: AbiName, confidential?: "sev-es") {
  const settings = {
    abi,
    vendor: profile.vendor,
    iterations: 8,
    guestPage: "4k",
    operation: "get_runstate_info",
    cmdline: "",
    confidential,
  } as const;
  return {
    image: guest.image(settings),
    cmdline: guest.cmdline(settings),
    memoryBytes: 64 * 2 ** 20,
    abi,
    ...(confidential === undefined ? {} : { confidential }),
  };
}

const amd = domain(hypercallBench, epyc9124, "linear");
const intel = domain(hypercallBench, skylake, "fastabi");
const encrypted = domain(runstateLoop, epyc9124, "linear", "sev-es");
const onKvm = domain(hypercallBench, skylake, "linear");

const CASES: readonly [string, Make][] = [
  ["Xen on SVM, linear", (timeline) => createXenSystem({ profile: epyc9124, domain: amd, timeline })],
  [
    "the same with IBPB and accounts",
    (timeline) =>
      createXenSystem({
        profile: epyc9124,
        xen: { ibpbEntry: true },
        domain: amd,
        accounting: true,
        timeline,
      }),
  ],
  ["Xen on VMX, FastABI", (timeline) => createXenSystem({ profile: skylake, domain: intel, timeline })],
  ["encrypted registers", (timeline) => createXenSystem({ profile: epyc9124, domain: encrypted, timeline })],
  [
    "shadow paging",
    (timeline) => createXenSystem({ profile: epyc9124, domain: { ...amd, paging: "shadow" }, timeline }),
  ],
  ["KVM and its monitor", (timeline) => createKvmSystem({ profile: skylake, domain: onKvm, timeline })],
];

function recorded(make: Make): { system: GuestSystem; stretches: TimelineStretch[] } {
  const stretches: TimelineStretch[] = [];
  const system = make((stretch) => stretches.push(stretch));
  system.run();
  system.endTimeline();
  return { system, stretches };
}

/** Ticks by phase and cause. */
function sums(amounts: readonly Pick<LedgerRow, "phase" | "cause" | "ticks">[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { phase, cause, ticks } of amounts)
    found[`${phase} ${cause}`] = (found[`${phase} ${cause}`] ?? 0) + ticks;
  return found;
}

/** Own time of all spans. */
function ownTime({ spans }: TimelineStretch) {
  return spans.flatMap(({ phase, causes }) => causes.map((own) => ({ phase, ...own })));
}

/** Where children do not lie in their parents one after the other, or do not leave them the time that is their own. */
function nestingProblems({ spans, start, end }: TimelineStretch): string[] {
  const problems: string[] = [];
  const check = (holds: boolean, what: string) => {
    if (!holds) problems.push(what);
  };
  check(
    spans[0].start === start && spans[0].end === end && spans[0].depth === 0,
    "the first is not the stretch",
  );
  const open: { name: string; end: number; last: number; left: number }[] = [];
  const close = () => check(open.at(-1)?.left === 0, `${open.pop()?.name}: its own time`);
  for (const { name, start, end, depth, causes } of spans) {
    while (open.length > depth) close();
    check(open.length === depth, `${name}: depth`);
    const parent = open.at(-1);
    if (parent !== undefined) {
      check(start >= parent.last && end <= parent.end && end > start, `${name}: place`);
      parent.last = end;
      parent.left -= end - start;
    }
    check(
      causes.every(({ ticks }) => ticks > 0),
      `${name}: less than nothing`,
    );
    const own = causes.reduce((sum, { ticks }) => sum + ticks, 0);
    open.push({ name, end, last: start, left: end - start - own });
  }
  while (open.length > 0) close();
  return problems;
}

describe("the timeline of a system", () => {
  it.each(CASES)("changes nothing and has every tick of the clock: %s", (_, make) => {
    const without = make();
    without.run();
    const { system, stretches } = recorded(make);
    expect(system.ledger.clock[0]).toBe(without.ledger.clock[0]);
    expect(system.ledger.rows()).toEqual(without.ledger.rows());
    expect(system.counters()).toEqual(without.counters());
    expect(system.window).toEqual(without.window);
    expect(system.estimates()).toEqual(without.estimates());
    expect(system.exitAccounts()).toEqual(without.exitAccounts());
    let at = 0;
    const gaps = stretches.filter(({ start, end }) => {
      const follows = start === at && end > start;
      at = end;
      return !follows;
    });
    expect(gaps).toEqual([]);
    expect(at).toBe(system.ledger.clock[0]);
    expect(stretches.flatMap(nestingProblems)).toEqual([]);
    // Spans have the ledger's phases and causes, too.
    expect(sums(stretches.flatMap(ownTime))).toEqual(sums(system.ledger.rows()));
  });

  it("names exits and hypercalls, and knows when the guest read the time", () => {
    const { system, stretches } = recorded(CASES[0][1]);
    const exits = stretches.filter(({ kind }) => kind === "exit");
    const calls = exits.filter(({ hypercall }) => hypercall !== undefined);
    expect(exits[0]).toMatchObject({ exit: undefined, start: 0 });
    expect(exits.slice(1).every(({ exit }) => exit !== undefined)).toBe(true);
    expect(exits).toHaveLength(system.counters().vmExits + 1);
    expect(calls).toHaveLength(system.counters().hypercalls);
    expect([...new Set(calls.map(({ exit }) => exit))]).toEqual(["vmmcall"]);
    const times = stretches.flatMap(({ timestamps }) => timestamps);
    expect(times).toHaveLength(2);
    expect(times[1] - times[0]).toBe((system.window?.cycles ?? 0) * TICKS_PER_CYCLE);
    const call = calls.find(({ hypercall }) => hypercall?.operation === "vcpu.get_runstate_info");
    const names = call?.spans.map(({ name }) => name) ?? [];
    expect(names[0]).toBe("vcpu.get_runstate_info");
    for (const name of ["vm-exit", "vmexit assembly", "hvm_hypercall", "guest walk", "p2m_get_page_from_gfn"])
      expect(names).toContain(name);
    expect(names.at(-1)).toBe("vm-entry");
  });

  it("goes on after an end, and leaves out what is fast-forwarded", () => {
    const stretches: TimelineStretch[] = [];
    const system = CASES[0][1]((stretch) => stretches.push(stretch));
    system.run({ maxInstructions: 500 });
    system.endTimeline();
    const told = stretches.at(-1)?.end;
    expect(told).toBe(system.ledger.clock[0]);
    const { cycles } = system.fastForward({ instructions: 2000 });
    system.run();
    system.endTimeline();
    const forwarded = stretches.filter(({ kind }) => kind === "fast-forward");
    expect(forwarded.map(({ start, end }) => [start, end - start])).toEqual([
      [told, cycles * TICKS_PER_CYCLE],
    ]);
    expect(stretches.at(-1)?.end).toBe(system.ledger.clock[0]);
    const causes = (amounts: readonly Pick<LedgerRow, "cause" | "ticks">[]) =>
      sums(amounts.map(({ cause, ticks }) => ({ phase: "", cause, ticks })));
    expect(causes(stretches.flatMap(ownTime))).toEqual(causes(system.ledger.rows()));
  });
});

describe("hypercallTimeline", () => {
  const request = { guest: hypercallBench, machine: epyc9124 };
  const sum = ({ spans }: CallTimeline) =>
    spans.reduce((total, { causes }) => total + causes.reduce((own, { cycles }) => own + cycles, 0), 0);

  it("has the first call and a warm one, from the instruction to its return", () => {
    const { cold, warm, window, host, abi } = hypercallTimeline(request);
    expect([window, host, abi]).toEqual(["rdtsc", "xen", "linear"]);
    for (const call of [cold, warm]) {
      expect(sum(call)).toBe(call.cycles);
      expect(call.spans[0]).toMatchObject({ start: 0, end: call.cycles, depth: 0 });
      expect(call.spans[1].name).toBe("vm-exit");
      expect(call.spans.at(-1)).toMatchObject({ name: "vm-entry", end: call.cycles });
    }
    expect(warm.number).toBe(32);
    expect([cold.operation, cold.number < 8]).toEqual([warm.operation, true]);
    expect(warm).toMatchObject({ operation: "vcpu.get_runstate_info", result: 0 });
    const causes = new Set(cold.spans.flatMap((span) => span.causes.map(({ cause }) => cause)));
    expect(causes).toContain("dram");
  });

  it("is the same call that compare takes its mean of", () => {
    // Once warm every round of the loop is the same: what one costs is what all do.
    const settings = { ...request, abi: "fastabi", mitigations: { ibpbEntry: false } } as const;
    const { warm } = hypercallTimeline(settings);
    const { document } = runWithTimeline(settings, () => undefined);
    const mean = document.runs[0].cyclesPerCall ?? 0;
    expect(Math.abs(warm.cycles + warm.guestCyclesBefore - mean) / mean).toBeLessThan(0.02);
  });

  it("takes the last call of a window with fewer, and calls of the run where nobody measures", () => {
    expect(hypercallTimeline({ ...request, iterations: 4, call: 1000 }).warm.number).toBe(4);
    const program = defineGuest("silent", (g) => g.repeat(6, () => g.hypercall.version.version()));
    const image = program.build({ abi: "linear", vendor: "amd" });
    const silent: Guest = { ...hypercallBench, name: "silent", image: () => image };
    const { window, warm } = hypercallTimeline({ ...request, guest: silent, call: 3 });
    expect([window, warm.number, warm.operation]).toEqual(["whole-run", 3, "version.version"]);
  });

  it("refuses a guest without hypercalls, and numbers that are none", () => {
    expect(() => hypercallTimeline({ ...request, call: 0 })).toThrow(/call: 0 .* from 1/);
  });
});
