import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { epyc9124, Processor } from "@hyperwalk/cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compare } from "../src/compare.js";
import { FileError } from "../src/file-error.js";
import { htmlReport } from "../src/html/page.js";
import { readReportInput } from "../src/html/read-input.js";
import type { ReportInput } from "../src/html/report-input.js";
import { recordGuest } from "../src/index.js";
import { parseProfile } from "../src/profile-file/read-profile.js";
import { readPlan, readPoints, type SweepPlan } from "../src/results/journal.js";
import { ScenarioFiles } from "../src/results/scenario-files.js";
import { parseScenario } from "../src/scenario/parse-scenario.js";
import { scenarioRequest } from "../src/scenario/scenario-request.js";
import { countPoints, sweepPoint } from "../src/scenario/sweep-points.js";
import { explained } from "../src/sweep/run-point.js";
import { TOOL } from "../src/tool.js";
import { CANNED } from "./canned-document.js";
import { CANNED_RUN, CANNED_SENSITIVITY, CANNED_TIMELINE, cannedSweep } from "./canned-parts.js";
import { hyperwalk } from "./hyperwalk.js";
import { MEMORY_SUM } from "./memory-sum.js";
import { mutatedText, randomNumbers } from "./mutation.js";
import { severalCalls } from "./several-calls-guest.js";

const FILES = 200;
/** One line that ends with what is allowed, once. */
const ONE_ERROR = /^(?!.*; allowed: .*; allowed: )error: [^\n]+; allowed: [^\n]+\n$/;
const NO_STACK = /^\s+at /m;

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-mutated-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const path = (name: string): string => join(directory, name);

/** Gives mutations of a file to a command. @returns how many it refused */
async function refusals(
  text: string,
  seed: number,
  name: string,
  args: readonly string[],
  accepted?: (text: string) => void,
): Promise<number> {
  const random = randomNumbers(seed);
  let refused = 0;
  for (let i = 0; i < FILES; i++) {
    const mutated = mutatedText(text, random);
    writeFileSync(path(name), mutated);
    const { code, out, err } = await hyperwalk(...args);
    expect([0, 1, 2], `${mutated}\n${err}`).toContain(code);
    expect(`${out}${err}`, mutated).not.toMatch(NO_STACK);
    if (code !== 2) {
      accepted?.(mutated);
      continue;
    }
    refused++;
    expect(err, mutated).toMatch(ONE_ERROR);
    expect(err).toContain(name);
    expect(out).toBe("");
  }
  return refused;
}

describe(`of ${FILES} mutated files each gives one clear error, or is used`, { timeout: 120_000 }, () => {
  it("profiles", async () => {
    const text = `extends: epyc-9124
id: lab-epyc
name: EPYC 9124 of our lab
set:
  timing.ibpb:
    value: 1150
    basis: measured
    source: rdtsc around WRMSR PRED_CMD
  timing.serialise: { value: 80, basis: estimate, range: [40, 120], source: half-way to CPUID }
  memory.l1d.ways: 8
defaults:
  ibpbEntry: false
  note: spec-ctrl=no-ibpb-entry on the host
`;
    let used = 0;
    const refused = await refusals(text, 11, "p.yml", ["profiles", "show", path("p.yml")], (accepted) => {
      const profile = parseProfile(accepted, "p.yml");
      // A machine that can be built; each takes its time.
      if (used++ % 8 === 0) new Processor({ profile });
    });
    expect(refused).toBeGreaterThan(FILES / 3);
  });

  it("descriptions of operations", async () => {
    expect(await refusals(MEMORY_SUM, 12, "o.yml", ["stubs", path("o.yml")])).toBeGreaterThan(FILES / 3);
  });

  it("scenarios, and what they ask for at the first point", async () => {
    const text = readFileSync(fileURLToPath(new URL("scenarios/everything.yml", import.meta.url)), "utf8");
    const random = randomNumbers(13);
    const file = path("s.yml");
    let refused = 0;
    for (let i = 0; i < FILES; i++) {
      const mutated = mutatedText(text, random);
      try {
        const parsed = parseScenario(mutated, file);
        if (parsed.scenario.sweep !== undefined) countPoints(parsed);
        const { scenario } = parsed.scenario.sweep === undefined ? parsed : sweepPoint(parsed, 0);
        const request = await scenarioRequest(scenario, new ScenarioFiles(file), parsed.source);
        if (i % 5 > 0) continue;
        const short = {
          ...request,
          abis: (request.abis ?? []).slice(0, 1),
          iterations: 1,
          maxInstructions: 100,
        };
        explained(parsed, () => compare(short));
      } catch (error) {
        refused++;
        expect(error, mutated).toBeInstanceOf(FileError);
        expect(`error: ${(error as Error).message}\n`, mutated).toMatch(ONE_ERROR);
        if (refused % 20 > 0) continue;
        writeFileSync(file, mutated);
        const { code, err } = await hyperwalk("sweep", file, "--output", path("results"));
        expect({ code, err }, mutated).toEqual({ code: 2, err: expect.stringMatching(ONE_ERROR) });
      }
    }
    expect(refused).toBeGreaterThan(FILES / 3);
  });

  const rows = cannedSweep({ "domain.p2m-page": ["4k", "2m"], "machine.set.timing.vmexit": [1, 2, 3] });
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const documents: readonly (readonly [string, string])[] = [
    ["comparison.json", JSON.stringify(CANNED, null, 1)],
    ["run.json", JSON.stringify(CANNED_RUN, null, 1)],
    ["sensitivity.json", JSON.stringify(CANNED_SENSITIVITY, null, 1)],
    ["timeline.json", JSON.stringify(CANNED_TIMELINE, null, 1)],
    ["results.jsonl", lines],
  ];
  it.each(documents)("documents for reports: %s", async (name, text) => {
    const random = randomNumbers(14);
    let refused = 0;
    for (let i = 0; i < FILES; i++) {
      const mutated = mutatedText(text, random);
      let input: ReportInput;
      try {
        input = readReportInput([{ path: name, text: mutated }]);
      } catch {
        refused++;
        writeFileSync(path(name), mutated);
        const { code, err } = await hyperwalk("report", path(name), "--output", path("report.html"));
        expect({ code, err }, mutated).toEqual({ code: 2, err: expect.stringMatching(ONE_ERROR) });
        continue;
      }
      expect((await htmlReport(input, [])).html).toContain("</html>");
    }
    expect(refused).toBeGreaterThan(FILES / 10);
  });

  it("records of hypercalls, their first and last lines more than the others", async () => {
    const lines: string[] = [];
    recordGuest({
      name: "guest",
      machine: epyc9124,
      memoryBytes: 2 ** 26,
      onLine: (line) => lines.push(line),
      image: severalCalls.build({ abi: "linear", vendor: "amd" }),
    });
    const end = lines[lines.length - 1].replace(/"calls":\d+/, '"calls":2');
    const text = [lines[0], lines[1], lines[2], end].join("");
    const args = ["recost", path("r.hcr.jsonl"), "--abi", "linear", "--between", "nothing"];
    expect(await refusals(text, 15, "r.hcr.jsonl", args)).toBeGreaterThan(FILES / 3);
  });

  it("plans and points of sweeps", () => {
    const plan: SweepPlan = {
      tool: TOOL,
      scenario: CANNED_RUN.scenario,
      identity: "0".repeat(64),
      points: rows.length,
    };
    const random = randomNumbers(16);
    let refused = 0;
    for (let i = 0; i < FILES; i++) {
      const isPlan = i % 2 === 0;
      const whole = JSON.stringify(plan, null, 1);
      writeFileSync(path("plan.json"), isPlan ? mutatedText(whole, random) : whole);
      writeFileSync(path("points.jsonl"), isPlan ? lines : mutatedText(lines, random));
      try {
        readPoints(directory, readPlan(directory));
      } catch (error) {
        refused++;
        expect(error).toBeInstanceOf(FileError);
        expect(`error: ${(error as Error).message}\n`).toMatch(ONE_ERROR);
      }
    }
    expect(refused).toBeGreaterThan(FILES / 5);
  });
});
