import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initCommand } from "../src/cli/init-command.js";
import { invocation } from "../src/cli/invocation.js";
import { runProgram } from "../src/cli/program.js";
import { UsageError } from "../src/cli/usage-error.js";
import { plain } from "../src/report/paint.js";
import { ScenarioFiles } from "../src/results/scenario-files.js";
import { parseScenario } from "../src/scenario/parse-scenario.js";
import { scenarioRequest } from "../src/scenario/scenario-request.js";
import { scenarioJsonSchema } from "../src/scenario/scenario-schema.js";
import { countPoints, sweepPoint } from "../src/scenario/sweep-points.js";

let folder = "";
let printed = "";
beforeAll(() => {
  folder = join(mkdtempSync(join(tmpdir(), "hyperwalk-init-")), "mine");
  const out = (text: string) => {
    printed += text;
  };
  expect(initCommand(folder, { paint: plain, out, err: out })).toBe(0);
});
afterAll(() => rmSync(dirname(folder), { recursive: true }));

const read = (file: string) => readFileSync(join(folder, file), "utf8");

describe("what init writes", () => {
  it("has a schema that editors can read, which the scenarios name", () => {
    expect(JSON.parse(read("scenario.schema.json"))).toEqual(scenarioJsonSchema());
    for (const file of ["scenario.yml", "sweep.yml"]) {
      const named = /\$schema=(\S+)/.exec(read(file))?.[1] ?? "";
      expect(readdirSync(folder)).toContain(basename(named));
    }
  });

  it.each(["scenario.yml", "sweep.yml"])("%s can be run with the guest beside it", async (file) => {
    const path = join(folder, file);
    const parsed = parseScenario(read(file), path);
    expect(countPoints(parsed)).toBe(file === "sweep.yml" ? 24 : 1);
    const { scenario } = sweepPoint(parsed, 0);
    const { guest } = await scenarioRequest(scenario, new ScenarioFiles(path), parsed.source);
    expect(guest.name).toBe("my-guest");
  });

  it("is left alone by a second init", () => {
    const nothing = { paint: plain, out: () => undefined, err: () => undefined };
    expect(() => initCommand(folder, nothing)).toThrow(UsageError);
  });
});

describe("what init suggests", () => {
  const commands = () => printed.split("Next:\n")[1].trim().split("\n");

  it("are commands and options that there are, of files that it or one before them writes", async () => {
    const written = new Set(readdirSync(folder).map((file) => join(folder, file)));
    expect(commands().map((line) => line.trim().split(" ").at(-1))).toContain(join(folder, "report.html"));
    for (const line of commands()) {
      const [command, input, option, output] = line.trim().replace(`${invocation()} `, "").split(" ");
      expect(written).toContain(input);
      if (output !== undefined) written.add(output);
      let help = "";
      const out = (text: string) => {
        help += text;
      };
      expect(await runProgram([command, "--help"], { paint: plain, out, err: out })).toBe(0);
      if (option !== undefined) expect(help).toContain(`${option}, --output <`);
    }
  });

  it.each([
    ["npm run -s hyperwalk --", "hyperwalk"],
    ["npx hyperwalk", "npx"],
    ["hyperwalk", undefined],
    ["hyperwalk", "test"],
  ])("begin with %s under the npm script %s", (command, script) => {
    expect(invocation({ npm_lifecycle_event: script })).toBe(command);
  });
});
