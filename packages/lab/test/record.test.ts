import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProfile } from "@hyperwalk/cpu";
import { atLabel, defineGuest, descriptorOf } from "@hyperwalk/guest-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AbiName,
  compare,
  hypercallBench,
  parseRecording,
  type RecordDocument,
  type Recording,
  RecordingError,
  recordGuest,
  recost,
} from "../src/index.js";
import { hyperwalk } from "./hyperwalk.js";
import { severalCalls } from "./several-calls-guest.js";

const epyc = findProfile("epyc-9124")!;
const MIB = 2 ** 20;
let directory = "";

const records = new Map<AbiName, ReturnType<typeof record>>();

/** A record under an interface, made once. */
function recorded(abi: AbiName): ReturnType<typeof record> {
  const known = records.get(abi) ?? record(abi);
  records.set(abi, known);
  return known;
}

function record(abi: AbiName): { document: RecordDocument; text: string; recording: Recording } {
  const lines: string[] = [];
  const document = recordGuest({
    name: "several-calls",
    image: severalCalls.build({ abi, vendor: epyc.vendor }),
    machine: epyc,
    abi,
    memoryBytes: 64 * MIB,
    onLine: (line) => lines.push(line),
  });
  const text = lines.join("");
  return { document, text, recording: parseRecording(text) };
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-record-"));
  writeFileSync(join(directory, "several.elf"), severalCalls.build({ abi: "linear", vendor: "amd" }));
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

describe("a record of a guest's hypercalls", () => {
  it("accounts for every cycle: the ledger of the hypercalls sums to their cycles exactly", () => {
    const { end, operations } = recorded("linear").document;
    const sum = (of: readonly { readonly cycles: number }[]) =>
      of.reduce((all, each) => all + each.cycles, 0);
    expect(sum(end.ledger)).toBe(end.cycles);
    expect(sum(operations)).toBe(end.cycles);
    expect(end.ledger.some(({ phase }) => phase === "guest")).toBe(false);
  });

  it("takes as long for the calls of a benchmark's loop as `compare` measures, less the guest's own instructions", () => {
    const iterations = 256;
    const settings = {
      abi: "linear",
      vendor: epyc.vendor,
      iterations,
      guestPage: "4k",
      operation: "get_runstate_info",
      cmdline: "",
    } as const;
    const lines: string[] = [];
    recordGuest({
      name: "hypercall-bench",
      image: hypercallBench.image(settings),
      cmdline: hypercallBench.cmdline(settings),
      machine: epyc,
      memoryBytes: 64 * MIB,
      domain: { p2mPage: "4k", mmioHandlers: 3 },
      onLine: (line) => lines.push(line),
    });
    const { calls } = parseRecording(lines.join(""));
    const loop = calls.filter(({ operation }) => operation === "vcpu.get_runstate_info").slice(-iterations);
    const [run] = compare({ guest: hypercallBench, machine: epyc, abis: ["linear"], iterations }).runs;
    const inGuest = run.ledger
      .filter(({ phase }) => phase === "guest")
      .reduce((all, each) => all + each.cyclesPerCall, 0);
    const perCall = loop.reduce((all, { cycles }) => all + cycles, 0) / iterations;
    // The window holds part of the exit before the loop and all of the loop; both ends are one call's.
    expect(Math.abs(perCall + inGuest - run.cyclesPerCall!)).toBeLessThan(run.cyclesPerCall! / iterations);
  });

  it("holds what Xen read and wrote, with the guest's addresses", () => {
    const { calls } = recorded("linear").recording;
    const alloc = calls.find(({ operation }) => operation === "event_channel.alloc_unbound")!;
    const struct = alloc.arguments[1];
    const [read, wrote] = alloc.copies!;
    expect(read).toMatchObject({ way: "in", pointer: "linear", address: struct, bytes: "f07ff07f00000000" });
    expect(wrote.way).toBe("out");
    expect(wrote.bytes.slice(0, 8)).toBe("f07ff07f");
    expect(wrote.bytes.slice(8)).not.toBe("00000000");
    expect(read.tableReads).toBe(4);
    const text = calls.find(({ operation }) => operation === "version.extraversion")!;
    expect(text.copies).toMatchObject([{ way: "out", address: text.arguments[1] }]);
    const refused = calls
      .filter(({ operation }) => operation === "event_channel.close")
      .map(({ result }) => result);
    expect(refused.slice(0, 2)).toEqual([0, -22]);
  });

  it("keeps the entries of a multicall apart, each with its own copies", () => {
    const { calls } = recorded("linear").recording;
    const multicall = calls.find(({ operation }) => operation === "multicall.call")!;
    expect(multicall.entries).toHaveLength(3);
    expect(
      multicall.entries!.map(({ number, arguments: args, copies }) => [number, args[0], copies?.length ?? 0]),
    ).toEqual([
      [17, "0x0", 0],
      [17, "0x0", 0],
      [17, "0x1", 1],
    ]);
    // Each entry is read, and its result written.
    expect(multicall.copies!.map(({ way, bytes }) => [way, bytes.length / 2])).toEqual(
      Array.from({ length: 3 }, () => [
        ["in", 64],
        ["out", 8],
      ]).flat(),
    );
  });

  it("has registers and no copies under FastABI, and physical addresses under physaddr", () => {
    const fast = recorded("fastabi").recording.calls.find(({ operation }) => operation === "vcpu.is_up")!;
    expect(fast).toMatchObject({ fastabi: true, result: -2 });
    expect(fast.arguments.slice(0, 2)).toEqual(["0x3", "0x7"]);
    expect(fast.copies).toBeUndefined();
    const physical = recorded("physaddr").recording.calls.find(({ copies }) => copies !== undefined)!;
    expect(physical.copies![0].pointer).toBe("physical");
    expect(physical.copies![0].tableReads).toBeUndefined();
  });

  it("has one line for a multicall that a timer interrupts, with all of its entries", () => {
    const entries = 64;
    const image = defineGuest("interrupted", (g) => {
      const list = g.buffer(64 * entries, 4096);
      const number = g.variable(17);
      for (let i = 0; i < entries; i++) g.asm.mov(atLabel(list.label, 64 * i), number.register);
      number.release();
      g.hypercall.vcpu.setSingleshotTimer({ vcpuid: 0, timeoutAbsNs: 80_000, flags: 0 });
      g.call(descriptorOf("multicall.call"), { call_list: list, nr_calls: entries });
    }).build({ abi: "linear", vendor: epyc.vendor });
    const lines: string[] = [];
    const { end } = recordGuest({
      name: "interrupted",
      image,
      machine: epyc,
      memoryBytes: 64 * MIB,
      onLine: (line) => lines.push(line),
    });
    const { calls } = parseRecording(lines.join(""));
    const multicalls = calls.filter(({ operation }) => operation === "multicall.call");
    expect(multicalls).toHaveLength(1);
    expect(multicalls[0].parts).toBeGreaterThan(1);
    expect(multicalls[0].entries).toHaveLength(entries);
    expect(multicalls[0].arguments[1]).toBe(`0x${entries.toString(16)}`);
    expect(end.ledger.reduce((sum, { cycles }) => sum + cycles, 0)).toBe(end.cycles);
    const { runs } = recost({ recording: parseRecording(lines.join("")), abis: ["linear", "fastabi"] });
    expect(runs[0].operations.find(({ operation }) => operation === "multicall.call")?.count).toBe(1);
    expect(runs[1].hypercalls - runs[1].calls).toBe(entries - 1);
  });

  it("is the same bytes each time", () => {
    expect(record("physaddr").text).toBe(recorded("physaddr").text);
  });
});

describe("hyperwalk record", () => {
  it("writes the record, prints what was called, and the same as JSON", async () => {
    const file = join(directory, "out.hcr.jsonl");
    const { code, out } = await hyperwalk(
      "record",
      join(directory, "several.elf"),
      "-o",
      file,
      "--memory",
      "64M",
    );
    expect(code).toBe(0);
    expect(out).toMatch(/event_channel\.close +8 /);
    const { calls, header } = parseRecording(readFileSync(file, "utf8"));
    expect(header).toMatchObject({
      interface: "linear",
      guest: { name: "several.elf", memoryBytes: 64 * MIB },
    });
    const json = await hyperwalk(
      "record",
      join(directory, "several.elf"),
      "-o",
      file,
      "--memory",
      "64M",
      "--json",
    );
    expect(JSON.parse(json.out)).toMatchObject({ end: { calls: calls.length }, exitCode: 0 });
  });

  it.each([
    [["record", "hypercall-bench"], /required option '-o, --output <file>'/],
    [["record", "nothing.elf", "-o", "x"], /argument <guest>: "nothing\.elf" cannot be read \(ENOENT\)/],
    [["record", "hypercall-bench", "-o", "/nowhere/x"], /option --output: "\/nowhere\/x" cannot be written/],
    [["record", "hypercall-bench", "-o", "x", "--abi", "sg-frames"], /allowed: linear, physaddr/],
    [
      ["record", "hypercall-bench", "-o", "x", "--vcpus", "2"],
      /option --vcpus: it says nothing to hypercall-bench/,
    ],
    [
      ["record", "a.elf", "-o", "x", "--guest-page", "2m"],
      /option --guest-page: it says nothing to an image/,
    ],
    [
      ["record", "runstate-loop", "-o", "x", "--op", "version"],
      /option --op: runstate-loop does not call version/,
    ],
  ])("refuses %j", async (args, message) => {
    const { code, err } = await hyperwalk(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});

describe("a record file that is not one", () => {
  const text = recorded("linear").text;
  const lines = text.trimEnd().split("\n");

  it.each([
    ["", /^line 1: format: it is missing/],
    ["{}", /^line 1: format: it is missing/],
    [text.replace('"version":1', '"version":2'), /^line 1: version: 2; allowed: 1$/],
    [lines.slice(0, -1).join("\n"), /^line \d+: the record ends here; allowed: a line with "kind": "end"$/],
    [[...lines.slice(0, 4), ...lines.slice(5)].join("\n"), /^line \d+: calls: \d+, but the record has \d+/],
    [text.replace('"vcpu":0', '"vcpu":-1'), /^line 2: vcpu: -1; allowed: /],
    [text.replace('"kind":"call"', '"kind":"tale"'), /^line 2: kind: "tale"; allowed: call, mix, end$/],
    [text.replace('"result":', '"outcome":'), /^line 2: result: it is missing; allowed: a number$/],
    [
      text.replace('"vcpu":0', '"vcpu":0,"colour":1'),
      /^line 2: colour: there is no such key; allowed: kind, vcpu, /,
    ],
    [`${text}{}\n`, /^line \d+: something after the last line; allowed: nothing$/],
  ])("is refused with the line and the key (%#)", (broken, message) => {
    expect(() => parseRecording(broken)).toThrow(RecordingError);
    expect(() => parseRecording(broken)).toThrow(message);
  });
});
