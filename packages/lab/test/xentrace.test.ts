import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProfile } from "@hyperwalk/cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseRecording, RecordingError } from "../src/index.js";
import { importXentrace, recordingLines } from "../src/recording/import-xentrace.js";
import { priceMix } from "../src/recording/price-mix.js";
import { traceRecords } from "../src/recording/xentrace.js";
import { hyperwalk } from "./hyperwalk.js";
import { mutatedBytes, randomNumbers } from "./mutation.js";

interface Written {
  readonly event: number;
  readonly tsc?: number;
  readonly extra?: readonly number[];
}

/** What xentrace writes: for each window the CPU and its size in bytes, then the records. */
function encode(
  windows: readonly { readonly cpu: number; readonly records: readonly Written[] }[],
): Uint8Array {
  const words: number[] = [];
  for (const { cpu, records } of windows) {
    const own = records.flatMap(({ event, tsc, extra = [] }) => [
      (event | (extra.length << 28) | (tsc === undefined ? 0 : 2 ** 31)) >>> 0,
      ...(tsc === undefined ? [] : [tsc >>> 0, Math.floor(tsc / 2 ** 32)]),
      ...extra,
    ]);
    words.push(0x2001f003, cpu, 4 * own.length, ...own);
  }
  const bytes = new Uint8Array(4 * words.length);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return bytes;
}

const random = randomNumbers(3);

const running = (domain: number, vcpu: number, tsc: number): Written => ({
  event: 0x21001 | (1 << 8),
  tsc,
  extra: [(domain << 16) | vcpu],
});
/** A hypercall of an HVM guest: exit, its number, entry. */
const vmmcall = (number: number, from: number, to: number): Written[] => [
  { event: 0x81102, tsc: from, extra: [18, 0x80001000, 0xffffffff] },
  { event: 0x82012, extra: [number] },
  { event: 0x81001, tsc: to },
];

const START = 2 ** 40;
const sample = encode([
  {
    cpu: 0,
    records: [
      running(3, 1, START),
      ...vmmcall(32, START + 1000, START + 3000),
      ...vmmcall(32, START + 11000, START + 15000),
      { event: 0x81102, tsc: START + 16000, extra: [10, 0, 0] },
      { event: 0x81001, tsc: START + 17000 },
      ...vmmcall(24, START + 20000, START + 22000),
    ],
  },
  {
    cpu: 1,
    records: [
      { event: 0x21002, tsc: START + 500, extra: [7 << 16] },
      // sched_op(block) and grant_table_op(copy, …, 1) of a PV guest, with the arguments that Xen writes.
      { event: 0x20100d, tsc: START + 600, extra: [29 | (1 << 20), 1] },
      { event: 0x20100d, tsc: START + 900, extra: [20 | (1 << 20) | (1 << 24), 5, 1] },
      { event: 0x20100d, tsc: START + 1200, extra: [29 | (1 << 20), 1] },
      { event: 0x20100d, tsc: START + 1500, extra: [1, 0] },
    ],
  },
  { cpu: 0, records: vmmcall(32, START + 31000, START + 33000) },
]);

describe("records of a trace", () => {
  it("are read as they were written, whatever they are", () => {
    for (let round = 0; round < 40; round++) {
      let tsc = random(2 ** 31);
      const windows = Array.from({ length: 1 + random(4) }, () => ({
        cpu: random(8),
        records: Array.from({ length: random(30) }, (): Written => {
          const extra = Array.from({ length: random(8) }, () => random(2 ** 32));
          tsc += random(2 ** 20);
          return { event: 0x81000 + random(0x400), ...(random(2) === 1 && { tsc }), extra };
        }),
      }));
      const read = [...traceRecords(encode(windows))].map(({ cpu, event, tsc: at, extra }) => ({
        cpu,
        event,
        ...(at !== undefined && { tsc: at }),
        extra,
      }));
      expect(read).toEqual(
        windows.flatMap(({ cpu, records }) => records.map((record) => ({ cpu, ...record }))),
      );
    }
  });

  it("give a mix: by domain and number, with times from exit to entry and intervals", () => {
    const { recording, trace } = importXentrace(sample, { name: "host.trace" });
    expect(trace).toEqual({ records: 20, cpus: 2, domains: [3, 7], lost: 0, exits: 5 });
    expect(recording.end.runCycles).toBe(33000);
    expect(recording.mixes).toEqual([
      {
        kind: "mix",
        domain: 3,
        number: 32,
        operation: null,
        count: 3,
        timed: 3,
        cycles: 8000,
        interval: 15000,
      },
      {
        kind: "mix",
        domain: 3,
        number: 24,
        operation: null,
        count: 1,
        timed: 1,
        cycles: 2000,
        interval: null,
      },
      {
        kind: "mix",
        domain: 7,
        number: 29,
        operation: "sched.block",
        count: 2,
        timed: 0,
        cycles: 0,
        interval: 600,
      },
      { kind: "mix", domain: 7, number: 1, operation: null, count: 1, timed: 0, cycles: 0, interval: null },
      {
        kind: "mix",
        domain: 7,
        number: 20,
        operation: "grant_table.copy",
        count: 1,
        timed: 0,
        cycles: 0,
        interval: null,
      },
    ]);
    expect(parseRecording(recordingLines(recording).join(""))).toEqual(recording);
    const only = importXentrace(sample, { name: "host.trace", domain: 3 }).recording.mixes;
    expect(only.map(({ number }) => number)).toEqual([32, 24]);
  });

  it("take no time over records that were lost, nor over a vCPU that was scheduled away", () => {
    const { recording } = importXentrace(
      encode([
        {
          cpu: 0,
          records: [
            running(1, 0, START),
            { event: 0x81102, tsc: START + 1, extra: [18] },
            { event: 0x82012, extra: [29] },
            { event: 0x1f001, tsc: START + 2, extra: [40] },
            { event: 0x81001, tsc: START + 3 },
            { event: 0x81102, tsc: START + 4, extra: [18] },
            { event: 0x82012, extra: [29] },
            running(2, 0, START + 5),
            running(1, 0, START + 900),
            { event: 0x81001, tsc: START + 901 },
          ],
        },
      ]),
      { name: "x" },
    );
    expect(recording.mixes).toMatchObject([{ number: 29, count: 2, timed: 0, cycles: 0, interval: null }]);
  });
});

describe("a mix", () => {
  it("is priced by what stands for its calls, and says so", () => {
    const { recording } = importXentrace(sample, { name: "host.trace" });
    const document = priceMix({ recording, machine: findProfile("epyc-9124")!, abis: ["linear", "fastabi"] });
    expect(document.rows.map(({ operation, assumed, count }) => [operation, assumed, count])).toEqual([
      ["event_channel.send", true, 3],
      ["vcpu.get_runstate_info", true, 1],
      ["sched.block", false, 2],
      [null, false, 1],
      ["grant_table.copy", false, 1],
    ]);
    const copy = document.rows[4].cells[1];
    expect(copy).toMatchObject({ cyclesPerCall: null, reason: "FastABI does not dispatch it" });
    const [linear, fastabi] = document.runs;
    const sum = (at: number, rows: readonly number[]) =>
      rows.reduce(
        (all, row) => all + document.rows[row].count * (document.rows[row].cells[at].cyclesPerCall ?? 0),
        0,
      );
    expect(linear).toMatchObject({ calls: 7, saving: 0, cycles: sum(0, [0, 1, 2, 4]) });
    expect(fastabi.calls).toBe(6);
    expect(fastabi.saving).toBeCloseTo(1 - sum(1, [0, 1, 2]) / sum(0, [0, 1, 2]), 12);
    expect(fastabi.savingOfAll).toBeLessThan(fastabi.saving!);
  });
});

describe("a file that is no trace", () => {
  const swapped = sample.slice();
  for (let i = 0; i < swapped.length; i += 4) swapped.subarray(i, i + 4).reverse();
  const changed = (offset: number, word: number): Uint8Array => {
    const bytes = sample.slice();
    new DataView(bytes.buffer).setUint32(offset, word, true);
    return bytes;
  };

  it.each([
    [new Uint8Array(0), /^byte 0x0: a file of 0 bytes; allowed: what xentrace wrote on x86$/],
    [new TextEncoder().encode("hello, world"), /^byte 0x0: a file that does not begin with a change of CPU/],
    [swapped, /^byte 0x0: a trace of big-endian words/],
    [
      sample.slice(0, -4),
      /^byte 0x[0-9a-f]+: the trace ends 4 bytes before the window that begins at byte 0x/,
    ],
    [changed(4, 0xffffffff), /^byte 0x4: CPU 4294967295; allowed: 0 to 16383$/],
    [changed(8, 8), /^byte 0xc: a record that reaches over the end of its window at byte 0x14/],
    [changed(12, 0x07ffffff), /^byte 0xc: event 0x7ffffff, of no class/],
    [changed(20, 0xffffffff), /^byte 0x10: a time stamp of more than 53 bits/],
    [
      changed(20, 2 ** 12),
      /^byte 0x[0-9a-f]+: time stamp \d+, before \d+ on CPU 0; allowed: time that does not go back$/,
    ],
  ])("is refused with the byte (%#)", (file, message) => {
    const read = () => importXentrace(file, { name: "x" });
    expect(read).toThrow(RecordingError);
    expect(read).toThrow(message);
  });

  it("gives one clear error for each of 200 mutations, or a mix all the same", () => {
    let refused = 0;
    for (let i = 0; i < 200; i++) {
      const mutated = mutatedBytes(sample, random);
      try {
        const { recording } = importXentrace(mutated, { name: "x" });
        expect(parseRecording(recordingLines(recording).join(""))).toEqual(recording);
      } catch (error) {
        refused++;
        expect(error).toBeInstanceOf(RecordingError);
        expect((error as Error).message).toMatch(/^byte 0x[0-9a-f]+: .+; allowed: .+$/);
      }
    }
    expect(refused).toBeGreaterThan(50);
  });
});

describe("hyperwalk import-xentrace", () => {
  let directory = "";
  const path = (name: string) => join(directory, name);

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-xentrace-"));
    writeFileSync(path("host.trace"), sample);
    writeFileSync(path("cut.trace"), sample.slice(0, 50));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("makes a mix of a trace, which recost prices", async () => {
    const imported = await hyperwalk("import-xentrace", path("host.trace"), "-o", path("mix.hcr.jsonl"));
    expect(imported).toMatchObject({ code: 0, err: "" });
    expect(imported.out).toMatch(/3 +hypercall 32 +3 +3 +2 667 +15 000/);
    expect(parseRecording(readFileSync(path("mix.hcr.jsonl"), "utf8")).mixes).toHaveLength(5);
    const priced = await hyperwalk(
      "recost",
      path("mix.hcr.jsonl"),
      "--machine",
      "skylake-sp",
      "--abi",
      "linear,physaddr",
    );
    expect(priced.code).toBe(0);
    expect(priced.out).toMatch(/event_channel\.send \* +3 +2 667/);
    expect(priced.out).toMatch(/Arguments and buffers are not in a trace/);
    expect(priced.out).toMatch(/- hypercall 1 through linear: no operation stands for that number/);
  });

  it.each([
    [["import-xentrace", "cut.trace", "-o", "x"], /argument <file>: .*cut\.trace: byte 0x32: the trace ends/],
    [["import-xentrace", "host.trace"], /required option '-o, --output <file>'/],
    [
      ["recost", "mix.hcr.jsonl"],
      /option --machine: nothing is given, and the record does not say where it was made/,
    ],
    [["recost", "mix.hcr.jsonl", "--machine", "epyc-9124", "--host", "kvm"], /option --host: .*allowed: xen/],
    [
      ["recost", "mix.hcr.jsonl", "--machine", "epyc-9124", "--between", "nothing"],
      /option --between: it says nothing to a trace's mix/,
    ],
  ])("refuses %j", async ([command, file, ...options], message) => {
    const { code, err } = await hyperwalk(command, path(file), ...options);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
