import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { epyc9124 } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import type { TimelineStretch } from "@hyperwalk/xen";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Guest } from "../src/guest.ts";
import { hypercallBench } from "../src/guest-catalogue.ts";
import { foldedStacks } from "../src/timeline/folded.ts";
import { perfettoTrace, type TraceEvent } from "../src/timeline/perfetto.ts";
import { speedscopeFile } from "../src/timeline/speedscope.ts";
import { type TracedRun, traceGuest } from "../src/timeline/trace-guest.ts";
import { hyperwalk, type Said } from "./hyperwalk.ts";

const CYCLE = 256;
const GHZ = 3;
const request = { guest: hypercallBench, machine: epyc9124, iterations: 16 };

/** A stretch of one vCPU: a parent of two children, 1 to 2 1/256 cycles. */
function stretch(vcpu: number, start: number, name = "cpuid"): TimelineStretch {
  const span = (what: string, from: number, to: number, depth: number, own: number) => ({
    name: what,
    phase: "operation",
    start: start + from,
    end: start + to,
    depth,
    causes: own === 0 ? [] : [{ cause: "issue" as const, ticks: own }],
  });
  return {
    vcpu,
    kind: "exit",
    exit: name,
    hypercall: undefined,
    start,
    end: start + 1000,
    spans: [span(name, 0, 1000, 0, 231), span("a; b", 0, 256, 1, 256), span("c", 487, 1000, 1, 513)],
    timestamps: [start + 300],
  };
}

let run: TracedRun;
beforeAll(() => {
  run = traceGuest({ ...request, part: 4 });
});

describe("part of a run", () => {
  it("is so many hypercalls of the window, the first one, or all", () => {
    expect(run.hypercalls).toBe(4);
    const kinds = run.stretches.map(({ kind }) => kind);
    expect(kinds).toEqual(["exit", "guest", "exit", "guest", "exit", "guest", "exit"]);
    const first = traceGuest({ ...request, part: "first" });
    expect([first.hypercalls, first.stretches.length]).toEqual([1, 1]);
    const all = traceGuest({ ...request, part: "all" });
    expect(all.stretches[0].start).toBe(0);
    expect(all.hypercalls).toBeGreaterThan(32);
    expect(all.stretches).toContainEqual(first.stretches[0]);
    expect(all.stretches).toContainEqual(run.stretches[6]);
  });

  it("of the window is what its figures are of", () => {
    const { stretches, document } = traceGuest({ ...request, part: 100 });
    const calls = stretches.filter(({ hypercall }) => hypercall !== undefined);
    expect(calls).toHaveLength(document.runs[0].windowHypercalls);
  });

  it("is refused where there is none", () => {
    const image = defineGuest("silent", (g) => g.print("x")).build({ abi: "linear", vendor: "amd" });
    const silent: Guest = { ...hypercallBench, name: "silent", image: () => image };
    expect(() => traceGuest({ ...request, guest: silent, part: 0 })).toThrow(/part: 0 hypercalls; allowed/);
  });
});

describe("trace events", () => {
  /** What the Trace Event Format asks of the events that are written. */
  const Complete = z.strictObject({
    name: z.string().min(1),
    cat: z.string().min(1),
    ph: z.literal("X"),
    pid: z.int(),
    tid: z.int(),
    ts: z.number().nonnegative(),
    dur: z.number().nonnegative(),
    args: z.record(z.string(), z.unknown()),
  });
  const Instant = Complete.omit({ dur: true }).extend({ ph: z.literal("i"), s: z.literal("t") });
  const Metadata = z.strictObject({
    name: z.enum(["process_name", "thread_name", "thread_sort_index"]),
    ph: z.literal("M"),
    pid: z.int(),
    tid: z.int(),
    args: z.record(z.string(), z.unknown()),
  });
  const File = z.strictObject({
    traceEvents: z.array(z.discriminatedUnion("ph", [Complete, Instant, Metadata])),
    displayTimeUnit: z.enum(["ms", "ns"]),
    otherData: z.record(z.string(), z.unknown()),
  });
  const nanoseconds = (microseconds: number | undefined) => Math.round((microseconds ?? 0) * 1000);
  const complete = (events: readonly TraceEvent[]) => events.filter(({ ph }) => ph === "X");

  it("follow the format, in the order of time, with names for all that has a number", () => {
    const file = perfettoTrace(run.stretches, "a title", GHZ);
    expect(() => File.parse(JSON.parse(JSON.stringify(file)))).not.toThrow();
    const events = file.traceEvents.filter(({ ph }) => ph !== "M");
    const times = events.map(({ ts }) => ts ?? 0);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(file.traceEvents.slice(0, 2).map(({ name, args }) => [name, args])).toEqual([
      ["process_name", { name: "a title" }],
      ["thread_name", { name: "vCPU 0" }],
    ]);
  });

  it("lie in each other as viewers count, and have the exact cycles", () => {
    const { traceEvents } = perfettoTrace(run.stretches, "", GHZ);
    const open: number[] = [];
    let own = 0;
    for (const { ts, dur, args } of complete(traceEvents)) {
      const start = nanoseconds(ts);
      const end = start + nanoseconds(dur);
      while (open.length > 0 && (open.at(-1) as number) <= start) open.pop();
      if (open.length > 0) expect(end).toBeLessThanOrEqual(open.at(-1) as number);
      open.push(end);
      const { cycles, ownCycles } = args as { cycles: number; ownCycles: Record<string, number> };
      expect(Math.abs(cycles / GHZ - nanoseconds(dur))).toBeLessThanOrEqual(1);
      own += Object.values(ownCycles).reduce((sum, each) => sum + each, 0);
    }
    expect(own).toBe(run.ticks / CYCLE);
  });

  it("have a thread for each vCPU, on one time", () => {
    const { traceEvents } = perfettoTrace([stretch(1, 5000), stretch(0, 0), stretch(1, 6000)], "", GHZ);
    const threads = traceEvents.filter(({ name }) => name === "thread_name");
    expect(threads.map(({ tid }) => tid)).toEqual([0, 1]);
    const starts = complete(traceEvents).map(({ tid, args }) => [tid, args?.startCycle]);
    expect(starts.filter((_, i) => i % 3 === 0)).toEqual([
      [0, 0],
      [1, 5000 / CYCLE],
      [1, 6000 / CYCLE],
    ]);
    expect(traceEvents.filter(({ ph }) => ph === "i").map(({ tid }) => tid)).toEqual([0, 1, 1]);
  });
});

describe("a speedscope file", () => {
  /** The parts of https://www.speedscope.app/file-format-schema.json that an evented file has. */
  const File = z.strictObject({
    $schema: z.literal("https://www.speedscope.app/file-format-schema.json"),
    shared: z.strictObject({
      frames: z.array(
        z.strictObject({
          name: z.string(),
          file: z.string().optional(),
          line: z.number().optional(),
          col: z.number().optional(),
        }),
      ),
    }),
    profiles: z.array(
      z.strictObject({
        type: z.literal("evented"),
        name: z.string(),
        unit: z.enum(["none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"]),
        startValue: z.number(),
        endValue: z.number(),
        events: z.array(
          z.strictObject({ type: z.enum(["O", "C"]), frame: z.int().nonnegative(), at: z.number() }),
        ),
      }),
    ),
    name: z.string().optional(),
    activeProfileIndex: z.number().optional(),
    exporter: z.string().optional(),
  });

  it("follows the format: every frame that is opened is closed, the last one first, as time goes on", () => {
    const file = File.parse(JSON.parse(JSON.stringify(speedscopeFile(run.stretches, "a title"))));
    const [{ events, startValue, endValue }] = file.profiles;
    const open: number[] = [];
    let at = startValue;
    for (const event of events) {
      expect(event.at).toBeGreaterThanOrEqual(at);
      at = event.at;
      expect(file.shared.frames[event.frame]).toBeDefined();
      if (event.type === "O") open.push(event.frame);
      else expect(open.pop()).toBe(event.frame);
    }
    expect([open, at]).toEqual([[], endValue]);
    expect(endValue - startValue).toBe(run.ticks / CYCLE);
    expect(file.shared.frames).toContainEqual({ name: "hvm_hypercall", file: "hypercall dispatch" });
  });

  it("has a profile for each vCPU", () => {
    const { profiles } = speedscopeFile([stretch(1, 5120), stretch(0, 0), stretch(1, 6120)], "t");
    expect(profiles.map(({ name, startValue, events }) => [name, startValue, events.length])).toEqual([
      ["t: vCPU 0, cycles", 0, 6],
      ["t: vCPU 1, cycles", 20, 12],
    ]);
  });
});

describe("folded stacks", () => {
  it("weigh as many ticks as the clock went on, line for line", () => {
    const lines = foldedStacks(run.stretches).trimEnd().split("\n");
    let sum = 0;
    for (const line of lines) {
      const [, stack, weight] = /^(\S[^\n]*) (\d+)$/.exec(line) ?? [];
      expect(stack).toBeDefined();
      sum += Number(weight);
    }
    expect(sum).toBe(run.ticks);
    expect(new Set(lines.map((line) => line.replace(/ \d+$/, ""))).size).toBe(lines.length);
  });

  it("take semicolons out of names, and tell vCPUs apart where there are several", () => {
    expect(foldedStacks([stretch(0, 0), stretch(0, 1000)])).toBe("cpuid 462\ncpuid;a, b 512\ncpuid;c 1026\n");
    expect(foldedStacks([stretch(0, 0), stretch(1, 0)]).split("\n")[0]).toBe("vCPU 0;cpuid 231");
  });
});

describe("hyperwalk trace", { timeout: 60_000 }, () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-trace-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const trace = (...args: string[]): Promise<Said> => hyperwalk("trace", ...args);

  it("prints a trace and nothing else", async () => {
    const { code, out, err } = await trace("runstate-loop", "--calls", "2", "--iterations", "8");
    expect([code, err]).toEqual([0, ""]);
    const { traceEvents } = JSON.parse(out);
    const calls = traceEvents.filter(({ name }: TraceEvent) => name === "vcpu.get_runstate_info");
    expect(calls).toHaveLength(2);
  });

  it("writes it to a file, and says what is in it", async () => {
    const path = join(directory, "kvm.txt");
    const args = ["--host", "kvm", "--format", "folded", "--first", "-o", path];
    const { code, out } = await trace("runstate-loop", ...args);
    expect(code).toBe(0);
    expect(out).toContain("under KVM on AMD EPYC 9124");
    expect(out).toMatch(/kvm\.txt: folded, 1 hypercall, \d+ spans, [\d ]+\.\d\d cycles/);
    expect(readFileSync(path, "utf8")).toMatch(/^hvm\.get_param;.*kvm_cpu_exec.* \d+$/m);
  });

  it.each([
    ["two parts", ["runstate-loop", "--first", "--calls", "2"], ["--first", "--calls", "--all"]],
    ["an unknown format", ["runstate-loop", "--format", "pprof"], ["--format", '"pprof"', "speedscope"]],
    ["several interfaces", ["runstate-loop", "--abi", "linear,fastabi"], ["--abi", "linear,fastabi"]],
    ["KVM through FastABI", ["runstate-loop", "--abi", "fastabi", "--host", "kvm"], ["--abi", "fastabi"]],
    ["no call", ["runstate-loop", "--calls", "0"], ["--calls", '"0"', "from 1 to"]],
    ["no guest", ["nowhere.elf"], ["<guest>", "nowhere.elf", "runstate-loop"]],
    [
      "an operation of another guest",
      ["runstate-loop", "--op", "version"],
      ["--op", "version", "get_runstate_info"],
    ],
    [
      "a file that cannot be",
      ["runstate-loop", "--iterations", "4", "-o", "/nowhere/x.json"],
      ["--output", "/nowhere/x.json", "ENOENT"],
    ],
  ])("refuses %s", async (_, args, words) => {
    const { code, out, err } = await trace(...args);
    expect([code, out]).toEqual([2, ""]);
    for (const word of words) expect(err).toContain(word);
    expect(err).not.toMatch(/^ +at /m);
  });
});
