import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mergeCommand } from "../src/cli/merge-command.js";
import { plain } from "../src/report/paint.js";
import { SweepJournal, type SweepPlan } from "../src/results/journal.js";
import { RESULT_FILES, writeResults } from "../src/results/result-files.js";
import { remainingPoints, runSweep, type Shard } from "../src/results/run-sweep.js";
import { ScenarioFiles } from "../src/results/scenario-files.js";
import { type ParsedScenario, parseScenario } from "../src/scenario/parse-scenario.js";
import { countPoints } from "../src/scenario/sweep-points.js";
import { type FinishedPoint, runPoint } from "../src/sweep/run-point.js";
import { TOOL } from "../src/tool.js";

const TEXT = `
name: small
guest: {name: runstate-loop, iterations: 4}
interfaces: [linear, fastabi]
sweep:
  unsupported: skip
  axes:
    host.kind: [xen, kvm]
    interfaces: [[linear, fastabi], [physaddr]]
    domain.p2m-page: [4k, 2m, 1g]
`;
const POINTS = 12;

let root = "";
let parsed: ParsedScenario;
let points: readonly FinishedPoint[] = [];
const output = { paint: plain, out: () => undefined, err: () => undefined };

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hyperwalk-sweep-"));
  parsed = parseScenario(TEXT, join(root, "small.yml"));
  const files = new ScenarioFiles(parsed.source.file);
  const found: FinishedPoint[] = [];
  for (let index = 0; index < POINTS; index++) found.push(await runPoint(parsed, index, files));
  points = found;
}, 120_000);
afterAll(() => rmSync(root, { recursive: true }));

function planOf(shard?: Shard): SweepPlan {
  return {
    tool: TOOL,
    scenario: parsed.scenario,
    identity: "0".repeat(64),
    points: countPoints(parsed),
    ...(shard === undefined ? {} : { shard: `${shard.part}/${shard.of}` }),
  };
}

/** Runs a sweep whose points are known already: what matters here is what becomes of them. */
async function sweep(
  directory: string,
  options: { shard?: Shard; order?: (points: number[]) => number[]; workers?: number },
): Promise<void> {
  const plan = planOf(options.shard);
  const journal = SweepJournal.create(directory, plan);
  const remaining = remainingPoints(plan.points, options.shard, journal);
  await runSweep({ parsed, text: TEXT }, options.order?.(remaining) ?? remaining, journal, {
    workers: options.workers ?? 1,
    run: async ({ index }) => points[index],
  });
  journal.close();
  await writeResults(directory, plan, journal.finished);
}

const bytesOf = (directory: string) =>
  RESULT_FILES.map((name) => readFileSync(join(directory, name)).toString("latin1"));

describe("results of a sweep", () => {
  let whole: string[] = [];
  beforeAll(async () => {
    await sweep(join(root, "whole"), {});
    whole = bytesOf(join(root, "whole"));
  });

  it("has every point, and says why one was left out", () => {
    const rows = whole[1]
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map(({ index }) => index)).toEqual(Array.from({ length: POINTS }, (_, index) => index));
    // KVM has the linear interface alone.
    const left = rows.filter(({ skipped }) => skipped !== undefined);
    expect(left.map(({ index }) => index)).toEqual([9, 10, 11]);
    expect(left[0].skipped).toContain("interfaces");
    for (const { runs } of rows)
      for (const run of runs) {
        const sum = run.ledger.reduce(
          (total: number, cell: { cyclesPerCall: number }) => total + cell.cyclesPerCall,
          0,
        );
        expect(sum).toBeCloseTo(run.cyclesPerCall, 6);
      }
  });

  it("is the same bytes in any order, with any number of workers", async () => {
    await sweep(join(root, "backwards"), { order: (all) => all.reverse(), workers: 5 });
    expect(bytesOf(join(root, "backwards"))).toEqual(whole);
  });

  it.each([1, 2, 5, 12, 17])("is the same bytes merged from %i shards", async (of) => {
    const into = join(root, `shards-${of}`);
    for (let part = 1; part <= of; part++)
      await sweep(join(into, `shard-${part}-of-${of}`), { shard: { part, of } });
    expect(await mergeCommand([into], { output: join(into, "merged") }, output)).toBe(0);
    expect(bytesOf(join(into, "merged"))).toEqual(whole);
  });

  it("is a table of the same figures in CSV and Parquet", async () => {
    const file = readFileSync(join(root, "whole", "results.parquet"));
    const table = await parquetReadObjects({
      file: file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer,
    });
    const [header, ...lines] = whole[2].trim().split("\n");
    expect(lines).toHaveLength(table.length);
    expect(Object.keys(table[0])).toEqual(header.split(","));
    const rows = whole[1]
      .trim()
      .split("\n")
      .flatMap((line) => {
        const { index, runs } = JSON.parse(line);
        return runs.map((run: { abi: string; cyclesPerCall: number }) => [index, run.abi, run.cyclesPerCall]);
      });
    const found = table.filter(({ skipped }) => skipped == null);
    expect(found.map((row) => [row.index, row.interface, row.cycles_per_call])).toEqual(rows);
    for (const row of found) {
      const phases = Object.entries(row).filter(([name]) => name.startsWith("phase."));
      expect(phases.reduce((sum, [, cycles]) => sum + Number(cycles), 0)).toBeCloseTo(
        Number(row.cycles_per_call),
        6,
      );
    }
  });

  it("is whole again after a kill at any byte", async () => {
    const plan = planOf();
    const file = readFileSync(join(root, "whole", "points.jsonl"));
    const cuts = Array.from({ length: 60 }, (_, n) => Math.floor((n * file.length) / 59));
    for (const cut of cuts) {
      const directory = join(root, `killed-${cut}`);
      mkdirSync(directory);
      writeFileSync(join(directory, "plan.json"), JSON.stringify(plan));
      writeFileSync(join(directory, "points.jsonl"), file.subarray(0, cut));
      const journal = SweepJournal.resume(directory, plan);
      const kept = journal.finished.rows.size;
      const asked: number[] = [];
      await runSweep({ parsed, text: TEXT }, remainingPoints(POINTS, undefined, journal), journal, {
        workers: 1,
        run: async ({ index }) => {
          asked.push(index);
          return points[index];
        },
      });
      journal.close();
      await writeResults(directory, plan, journal.finished);
      // Nothing that was finished is repeated.
      const lines = file.subarray(0, cut).toString().split("\n").slice(0, -1);
      expect(kept).toBe(lines.filter((line) => !line.startsWith('{"estimate"')).length);
      expect(asked).toHaveLength(POINTS - kept);
      expect(bytesOf(directory)).toEqual(whole);
    }
  });

  it("refuses shards that are missing, of another sweep, or no results at all", async () => {
    const into = join(root, "missing");
    await sweep(join(into, "a"), { shard: { part: 1, of: 3 } });
    await sweep(join(into, "b"), { shard: { part: 3, of: 3 } });
    const merge = (folders: string[]) => mergeCommand(folders, { output: join(root, "never") }, output);
    await expect(merge([into])).rejects.toThrow(/4 of 12 points are in no shard, the first is 1/);
    const plan = JSON.parse(readFileSync(join(into, "b", "plan.json"), "utf8"));
    writeFileSync(join(into, "b", "plan.json"), JSON.stringify({ ...plan, identity: "1".repeat(64) }));
    await expect(merge([into])).rejects.toThrow(/another scenario/);
    writeFileSync(join(into, "b", "plan.json"), "{");
    await expect(merge([into])).rejects.toMatchObject({ name: "ResultsError", line: 0 });
    writeFileSync(join(into, "b", "plan.json"), JSON.stringify({ ...plan, points: 1e15 }));
    await expect(merge([into])).rejects.toMatchObject({ name: "ResultsError", key: "points" });
    await expect(merge([join(into, "b", "plan.json")])).rejects.toMatchObject({ name: "ResultsError" });
    await expect(merge([join(root, "nowhere")])).rejects.toMatchObject({ name: "UsageError" });
  });

  it("says where it cannot be written", async () => {
    const path = join(root, "a-file");
    writeFileSync(path, "");
    expect(() => SweepJournal.create(path, planOf())).toThrow(
      `${path}: it cannot be read or written (EEXIST); allowed: a folder that can be`,
    );
  });

  it("refuses a journal with a damaged line by its number", () => {
    const directory = join(root, "damaged");
    mkdirSync(directory);
    const lines = readFileSync(join(root, "whole", "points.jsonl"), "utf8").split("\n");
    for (const damage of [
      "{",
      "[]",
      "3",
      '{"index":99,"runs":[]}',
      '{"index":-1,"runs":[]}',
      '{"index":1}',
      "null",
      '{"estimate":3}',
    ]) {
      writeFileSync(join(directory, "points.jsonl"), [lines[0], damage, ...lines.slice(1)].join("\n"));
      expect(() => SweepJournal.resume(directory, planOf()), damage).toThrow(
        expect.objectContaining({ name: "ResultsError", line: 2 }),
      );
    }
  });
});

it("the first point that cannot be run ends a strict sweep with its error", async () => {
  const strict = parseScenario(TEXT.replace("unsupported: skip", "unsupported: refuse"), parsed.source.file);
  await expect(runPoint(strict, 9, new ScenarioFiles(parsed.source.file))).rejects.toMatchObject({
    name: "ScenarioError",
    key: "interfaces",
  });
});
