import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProfile } from "@hyperwalk/cpu";
import { operationTour } from "@hyperwalk/guest-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AbiName,
  hypercallBench,
  parseRecording,
  type Recording,
  type RecordRequest,
  type RecostDocument,
  recordGuest,
  recost,
} from "../src/index.js";
import { planReplay } from "../src/recording/replay-plan.js";
import { hyperwalk } from "./hyperwalk.js";
import { randomNumbers } from "./mutation.js";
import { severalCalls } from "./several-calls-guest.js";

const epyc = findProfile("epyc-9124")!;
const skylake = findProfile("skylake-sp")!;
const MIB = 2 ** 20;

function record(request: Pick<RecordRequest, "image" | "cmdline" | "abi">): {
  text: string;
  recording: Recording;
} {
  const lines: string[] = [];
  recordGuest({
    name: "guest",
    machine: epyc,
    memoryBytes: 64 * MIB,
    domain: { p2mPage: "4k", mmioHandlers: 3 },
    onLine: (line) => lines.push(line),
    ...request,
  });
  return { text: lines.join(""), recording: parseRecording(lines.join("")) };
}

const several = (abi: AbiName) => record({ abi, image: severalCalls.build({ abi, vendor: "amd" }) });

function bench(): ReturnType<typeof record> {
  const settings = {
    abi: "linear",
    vendor: epyc.vendor,
    iterations: 64,
    guestPage: "4k",
    operation: "get_runstate_info",
    cmdline: "",
  } as const;
  return record({ image: hypercallBench.image(settings), cmdline: hypercallBench.cmdline(settings) });
}

const runOf = ({ runs }: RecostDocument, abi: AbiName) => runs.find((run) => run.abi === abi)!;
const without = (recording: Recording, operation: string): Recording => ({
  ...recording,
  calls: recording.calls.filter((call) => call.operation !== operation),
});

describe("the calls of hypercall-bench again", () => {
  let document: RecostDocument;
  // A busy machine takes longer than a hook has by default.
  beforeAll(() => {
    document = recost({ recording: bench().recording });
  }, 60_000);

  it("take through linear what was recorded, within 2 %", () => {
    expect(document.replayError).not.toBeNull();
    expect(Math.abs(document.replayError!)).toBeLessThan(0.02);
  });

  it("save through physaddr and FastABI what the loop saves there", () => {
    const savings = (["linear", "physaddr", "fastabi"] as const).map((abi) => runOf(document, abi).saving);
    expect(savings[0]).toBe(0);
    expect(savings[1]).toBeGreaterThan(0.35);
    expect(savings[2]).toBeGreaterThan(savings[1]!);
  });

  it("all return what they returned, but for the one that ends the domain", () => {
    for (const run of document.runs) {
      expect(run).toMatchObject({ different: 0, chunks: 1, exit: { ok: true } });
      expect(run.left).toMatchObject([{ operation: "sched.shutdown", reason: "ends the domain", count: 1 }]);
    }
  });

  it("have a ledger that sums to their cycles, and operations too", () => {
    for (const { ledger, operations, cycles } of document.runs) {
      expect(ledger.reduce((sum, cell) => sum + cell.cycles, 0)).toBe(cycles);
      expect(operations.reduce((sum, each) => sum + each.cycles, 0)).toBe(cycles);
    }
  });
});

describe("the calls of a guest that makes several kinds", () => {
  it("are repeated with nested buffers, state and multicalls, within 6 % of the recorded cycles", () => {
    const { recording } = several("linear");
    const document = recost({ recording, abis: ["linear", "physaddr", "percall"] });
    // The first two calls find Xen's path colder in the record: the replay's own start has made calls before.
    expect(Math.abs(document.replayError!)).toBeLessThan(0.06);
    for (const run of document.runs) {
      expect(run).toMatchObject({ same: recording.calls.length - 1, different: 0 });
      expect(run.operations.map(({ operation }) => operation)).toContain("multicall.call");
    }
    const warm = recost({ recording: without(recording, "hvm.get_param"), abis: ["linear"] });
    expect(Math.abs(warm.replayError!)).toBeLessThan(0.02);
  });

  it("are left out of FastABI where it does not carry them, and savings compare what both carry", () => {
    const { recording } = several("linear");
    const document = recost({ recording, abis: ["fastabi"] });
    const run = runOf(document, "fastabi");
    const left = run.left.map(({ operation, reason, count }) => [operation, reason, count]);
    expect(left).toContainEqual(["version.extraversion", "fastabi does not dispatch it", 4]);
    expect(left).toContainEqual([
      "multicall.call",
      "an entry, version.extraversion: fastabi does not dispatch it",
      3,
    ]);
    expect(run.calls + run.left.reduce((sum, { count }) => sum + count, 0)).toBe(recording.calls.length);
    const carried = document.reference!.operations.filter(({ operation }) =>
      run.operations.some((own) => own.operation === operation),
    );
    const theirs = carried.reduce((sum, { cycles }) => sum + cycles, 0);
    expect(run.saving).toBeCloseTo(1 - run.cycles / theirs, 12);
    expect(run.savingOfAll).toBeCloseTo((theirs - run.cycles) / document.reference!.cycles, 12);
    expect(run.savingOfAll).toBeLessThan(run.saving!);
  });

  it("have the guest's own work before them, that before calls which are left out too", () => {
    const { recording } = several("linear");
    for (const abi of ["linear", "fastabi"] as const) {
      const { steps } = planReplay(recording, abi, "instructions");
      const last = steps.at(-1)!.call;
      const work = recording.calls.slice(0, last + 1).reduce((sum, call) => sum + call.sinceInstructions, 0);
      expect(steps.reduce((sum, { step }) => sum + step.before, 0)).toBe(work);
      expect(planReplay(recording, abi, "nothing").steps.every(({ step }) => step.before === 0)).toBe(true);
    }
  });

  it("can be recorded through FastABI and repeated through linear", () => {
    const { recording } = several("fastabi");
    const document = recost({ recording, abis: ["linear", "fastabi"] });
    expect(runOf(document, "linear")).toMatchObject({ different: 0, calls: recording.calls.length - 1 });
    expect(runOf(document, "linear").saving).toBeLessThan(-0.5);
  });

  it("can be priced on another machine and under KVM; the reference stays where it was recorded", () => {
    const { recording } = several("linear");
    const document = recost({ recording, abis: ["linear"], hosts: ["xen", "kvm"], machine: skylake });
    expect(document.reference).toMatchObject({ machine: "epyc-9124", host: "xen" });
    expect(document.runs.map(({ host, machine }) => [host, machine])).toEqual([
      ["xen", "skylake-sp"],
      ["kvm", "skylake-sp"],
    ]);
    expect(runOf(document, "linear").different).toBe(0);
  });

  it("are counted as different where they return something else", () => {
    const { recording } = several("linear");
    const calls = recording.calls.map((call) =>
      call.operation === "vcpu.is_up" ? { ...call, result: 1 } : call,
    );
    const { runs } = recost({ recording: { ...recording, calls }, abis: ["linear"] });
    expect(runs[0].different).toBe(4);
    expect(runs[0].differences).toEqual([{ operation: "vcpu.is_up", recorded: 1, replayed: -2, count: 4 }]);
  });
});

describe("a tour of many operations", () => {
  it("is repeated with the same results, within 3 % of the recorded cycles, and FastABI makes multicalls entry by entry", () => {
    const { recording } = record({
      image: operationTour({
        abi: "linear",
        vendor: "amd",
        operations: [
          "multicall.call",
          "memory.populate_physmap",
          "event_channel.bind_interdomain",
          "sched.block",
        ],
      }).image,
    });
    const document = recost({ recording, abis: ["linear", "fastabi"] });
    expect(Math.abs(document.replayError!)).toBeLessThan(0.03);
    const linear = runOf(document, "linear");
    expect(linear.different).toBe(0);
    expect(linear.left.map(({ operation }) => operation).sort()).toEqual(["sched.block", "sched.shutdown"]);
    const fast = runOf(document, "fastabi");
    expect(fast.hypercalls - fast.calls).toBe(8 * 7);
    expect(fast.different).toBe(0);
  });
});

describe("hyperwalk recost", () => {
  let directory = "";
  const path = (name: string) => join(directory, name);

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-recost-"));
    const { text } = several("linear");
    writeFileSync(path("good.hcr.jsonl"), text);
    writeFileSync(path("cut.hcr.jsonl"), text.slice(0, text.lastIndexOf('{"kind":"end"')));
    writeFileSync(path("elsewhere.hcr.jsonl"), text.replace('"id":"epyc-9124"', '"id":"abacus"'));
    writeFileSync(path("file.hcr.jsonl"), text.replace('"id":"epyc-9124"', '"id":"./own.yml"'));
    writeFileSync(path("flush.hcr.jsonl"), text.replace('"l1dFlush":false', '"l1dFlush":true'));
    writeFileSync(path("many.hcr.jsonl"), text.replace('"vcpus":1}', '"vcpus":99}'));
  }, 60_000);
  afterAll(() => rmSync(directory, { recursive: true }));

  it("says what the run would have saved, how far to trust it, and what is not in it", async () => {
    const { code, out } = await hyperwalk(
      "recost",
      path("good.hcr.jsonl"),
      "--abi",
      "linear,physaddr,fastabi",
    );
    expect(code).toBe(0);
    expect(out).toMatch(/Replayed as recorded: .* an error of -?[0-9.]+ %/);
    expect(out).toMatch(/This run would have saved 3\d\.\d % of its hypercall time under physaddr\n/);
    expect(out).toMatch(/under fastabi, with 11 calls that it does not carry as they were/);
    expect(out).toMatch(/fastabi +vm_assist\.set +4 .*fastabi does not dispatch it/);
    for (const line of out.split("\n")) expect(line.length).toBeLessThan(140);
  });

  it("prints one JSON document, the same each time", async () => {
    const args = ["recost", path("good.hcr.jsonl"), "--abi", "physaddr", "--between", "nothing", "--json"];
    const [first, second] = [await hyperwalk(...args), await hyperwalk(...args)];
    expect(JSON.parse(first.out)).toMatchObject({
      between: { what: "nothing" },
      runs: [{ abi: "physaddr" }],
    });
    expect(second.out).toBe(first.out);
  });

  it.each([
    [["none.hcr.jsonl"], /argument <file>: ".*none\.hcr\.jsonl" cannot be read/],
    [["cut.hcr.jsonl"], /argument <file>: .*cut\.hcr\.jsonl: line 46: the record ends here; allowed: /],
    [
      ["file.hcr.jsonl"],
      /: line 1: machine\.id: there is no machine "\.\/own\.yml"; allowed: with --machine/,
    ],
    [["flush.hcr.jsonl"], /flush\.hcr\.jsonl: line 1: xen\.l1dFlush: true; allowed: false on AMD/],
    [["many.hcr.jsonl"], /many\.hcr\.jsonl: line 1: domain\.vcpus: 99; allowed: /],
    [
      ["elsewhere.hcr.jsonl"],
      /elsewhere\.hcr\.jsonl: line 1: machine\.id: there is no machine "abacus"; allowed: /,
    ],
    [
      ["good.hcr.jsonl", "--abi", "fastabi", "--host", "kvm"],
      /option --abi: "fastabi" under kvm; allowed: linear/,
    ],
    [["good.hcr.jsonl", "--footprint", "3"], /option --footprint: "3" is not valid; allowed: 1, 2, 4/],
    [
      ["good.hcr.jsonl", "--footprint", "4", "--between", "nothing"],
      /option --footprint: it says nothing with --between nothing/,
    ],
    [
      ["good.hcr.jsonl", "--between", "naps"],
      /option --between: "naps" is not valid; allowed: instructions, nothing/,
    ],
  ])("refuses %j", async ([file, ...options], message) => {
    const { code, err } = await hyperwalk("recost", path(file), ...options);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});

describe("a hostile record", () => {
  it("is refused with one clear error, or repeated, whatever is in its calls: 200 mutations of values", () => {
    const { text } = several("linear");
    const lines = text.trimEnd().split("\n");
    const random = randomNumbers(7);
    const values = ["0x0", "0x1", "0xffffffffffffffff", "0x7fffffffffffffff", "0xfff", "0x8000000000000000"];
    const mutated: string[] = [];
    for (const line of lines.slice(1, -1))
      for (let i = 0; i < 5; i++) {
        const fields = line.match(/"0x[0-9a-f]+"/g) ?? [];
        const field = fields[random(fields.length)];
        mutated.push(line.replace(field, `"${values[random(values.length)]}"`));
      }
    expect(mutated.length).toBeGreaterThan(200);
    const end = lines.at(-1)!.replace(/"calls":\d+/, `"calls":${mutated.length}`);
    const recording = parseRecording([lines[0], ...mutated, end].join("\n"));
    const { runs } = recost({ recording, abis: ["linear", "fastabi"], between: "nothing" });
    for (const run of runs)
      expect(run.calls + run.left.reduce((sum, { count }) => sum + count, 0)).toBe(mutated.length);
  });
});
