import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { BUILT_IN_GUESTS, operationLoopGuest } from "../src/guest-catalogue.js";
import { ABIS, COMPARED_ABIS } from "../src/result.js";
import { checkExpectations } from "../src/scenario/expectations.js";
import { parseScenario } from "../src/scenario/parse-scenario.js";
import { runScenario } from "../src/scenario/run-scenario.js";
import { ScenarioError } from "../src/scenario/scenario-error.js";
import { PartError, type ScenarioParts, scenarioRequest } from "../src/scenario/scenario-request.js";
import { scenarioJsonSchema } from "../src/scenario/scenario-schema.js";
import { AXIS_KEYS, countPoints, sweepPoint, valuesAt } from "../src/scenario/sweep-points.js";

const FILE = "test.yml";
const scenarioOf = (text: string) => parseScenario(text, FILE).scenario;

function refusal(text: string): ScenarioError {
  try {
    parseScenario(text, FILE);
  } catch (error) {
    expect(error).toBeInstanceOf(ScenarioError);
    return error as ScenarioError;
  }
  throw new Error("it was accepted");
}

const PARTS: ScenarioParts = {
  profile: async (id) => {
    const found = [epyc9124, skylakeSp].find((each) => each.id === id);
    if (!found) throw new PartError(`there is no machine "${id}"`, "one of two");
    return found;
  },
  guest: async (guest) => {
    if (guest["operation-loop"] !== undefined)
      return operationLoopGuest(guest["operation-loop"], guest["warm-up"] ?? 0);
    const found = BUILT_IN_GUESTS.find((each) => each.name === guest.name);
    if (!found) throw new PartError(`no guest is called "${guest.name}"`, "built-in ones");
    return found;
  },
};

describe("a scenario file", () => {
  it("has every default written out, and is then a scenario that gives itself", () => {
    const scenario = scenarioOf("name: plain");
    expect(scenario.interfaces).toEqual(COMPARED_ABIS);
    expect(scenario.domain).toEqual({
      memory: 64,
      "p2m-page": "4k",
      "mmio-handlers": 3,
      confidential: "none",
    });
    expect(scenarioOf(JSON.stringify(scenario))).toEqual(scenario);
    expect(scenarioOf(stringify(scenario))).toEqual(scenario);
  });

  it("takes the short forms of machine, host, guest and interfaces", () => {
    const scenario = scenarioOf(
      "machine: skylake-sp\nhost: [xen, kvm]\nguest: hypercall-bench\ninterfaces: linear\ndomain: {memory: 2G}",
    );
    expect(scenario.machine).toEqual({ profile: "skylake-sp", set: {} });
    expect(scenario.host.kind).toEqual(["xen", "kvm"]);
    expect(scenario.guest.name).toBe("hypercall-bench");
    expect(scenario.interfaces).toEqual(["linear"]);
    expect(scenario.domain.memory).toBe(2048);
  });

  const REFUSED: [string, string, number, string, string][] = [
    ["an unknown key", "name: a\nmachne: b", 2, "machne", "machine"],
    ["an unknown key inside", "domain:\n  memory: 64M\n  p2m: 4k", 3, "domain.p2m", "p2m-page"],
    ["a page size", "domain:\n\n  p2m-page: 64k", 3, "domain.p2m-page", "4k, 2m, 1g"],
    ["a memory size that is too small", "domain:\n  memory: 4M", 2, "domain.memory", "8M"],
    ["an interface", "interfaces:\n  - linear\n  - fast", 3, "interfaces.1", ABIS.join(", ")],
    ["an interface twice", "interfaces: [linear, linear]", 1, "interfaces", "once"],
    ["no guest", "guest: {iterations: 3}", 1, "guest", "name, elf, module, operation-loop"],
    ["two guests", "guest:\n  name: a\n  elf: b", 1, "guest", "one of"],
    ["a warm-up that nobody makes", "guest:\n  name: a\n  warm-up: 3", 3, "guest.warm-up", "operation-loop"],
    ["no calls", "guest: {name: a, iterations: 0}", 1, "guest.iterations", "at least 1"],
    ["a word for a number", "machine:\n  set:\n    timing.ibpb: x", 3, "machine.set.timing.ibpb", "a number"],
    [
      "an expectation without value",
      "expect:\n  - {figure: saving, interface: linear, against: physaddr}",
      2,
      "expect.0",
      "at-least",
    ],
    [
      "a saving against nothing",
      "expect: [{figure: saving, interface: linear, at-least: 0}]",
      1,
      "expect.0.against",
      "saving",
    ],
    [
      "a saving in per cent",
      "expect: [{figure: saving, interface: fastabi, against: linear, at-least: 30}]",
      1,
      "expect.0.at-least",
      "0.3",
    ],
    [
      "a tolerance alone",
      "expect: [{figure: cycles-per-call, interface: linear, is: 3}]",
      1,
      "expect.0.within",
      "both",
    ],
    [
      "a range without end",
      "sweep: {axes: {seed: {from: 1, to: 9, step: 0}}}",
      1,
      "sweep.axes.seed.step",
      "values",
    ],
    [
      "logarithms of nothing",
      "sweep: {axes: {seed: {from: 0, to: 9, count: 3, scale: log}}}",
      1,
      "sweep.axes.seed.scale",
      "positive",
    ],
    ["a list for a file", "- a", 1, "", "keys with values"],
    ["nothing", "", 0, "", "keys with values"],
    ["two documents", "name: a\n---\nname: b", 2, "", "one YAML document"],
    ["what is no YAML", "a: [", 1, "", "one YAML document"],
    ["a key twice", "name: a\nname: b", 2, "", "one YAML document"],
    ["a key that is no text", "[name]: a", 1, "", "keys that are text"],
    ["a tag", "name: !!js/function x", 1, "", "one YAML document"],
    ["many aliases", `a: &a [x]\nb: [${"*a, ".repeat(200)}]`, 0, "", "aliases"],
  ];
  it.each(REFUSED)("refuses %s with line, key and what is allowed", (_, text, line, key, allowed) => {
    const error = refusal(text);
    expect({ line: error.line, key: error.key }).toEqual({ line, key });
    expect(error.allowed).toContain(allowed);
    expect(error.message.split("\n")).toHaveLength(1);
    expect(error.message.startsWith(FILE)).toBe(true);
  });
});

describe("the published schema", () => {
  const schema = scenarioJsonSchema() as { properties: Record<string, object> };

  it("is the file that editors get", () => {
    const file = fileURLToPath(new URL("../schema/scenario.schema.json", import.meta.url));
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(schema);
  });

  it("has every key that a resolved scenario has", () => {
    for (const key of Object.keys(scenarioOf("{}"))) expect(schema.properties).toHaveProperty(key);
  });
});

describe("axes", () => {
  it("cross: every combination once, the last axis fastest; zip: side by side", () => {
    const axes = "axes: {domain.p2m-page: [4k, 2m, 1g], seed: [1, 2, 3]}";
    const cross = parseScenario(`sweep: {${axes}}`, FILE);
    expect(countPoints(cross)).toBe(9);
    const all = Array.from({ length: 9 }, (_, index) => valuesAt(cross.scenario, index));
    expect(new Set(all.map((each) => JSON.stringify(each))).size).toBe(9);
    expect(all.slice(0, 4).map(Object.values)).toEqual([
      ["4k", 1],
      ["4k", 2],
      ["4k", 3],
      ["2m", 1],
    ]);
    const zip = parseScenario(`sweep: {combine: zip, ${axes}}`, FILE);
    expect(countPoints(zip)).toBe(3);
    expect([0, 1, 2].map((index) => Object.values(valuesAt(zip.scenario, index)))).toEqual([
      ["4k", 1],
      ["2m", 2],
      ["1g", 3],
    ]);
  });

  it("ranges are the decimal numbers that a reader expects, ends included", () => {
    const { sweep } = scenarioOf(
      "sweep: {axes: {a: {from: 0, to: 0.3, step: 0.1}, b: {from: 1, to: 1000, count: 4, scale: log}, c: {from: 4, to: 1, step: -1}}}",
    );
    expect(sweep?.axes).toEqual({ a: [0, 0.1, 0.2, 0.3], b: [1, 10, 100, 1000], c: [4, 3, 2, 1] });
  });

  it("change the one key that they name", () => {
    const values: Partial<Record<string, string>> = {
      "machine.profile": "skylake-sp",
      "host.kind": "kvm",
      "host.monitor": "qemu",
      "host.ibpb": "on",
      "domain.memory": "128",
      "domain.p2m-page": "2m",
      "domain.mmio-handlers": "1",
      "domain.confidential": "sev",
      "guest.operation": "version",
      "guest.iterations": "8",
      "guest.page": "2m",
      "measure.fast-forward": "marker",
      interfaces: "[linear]",
      seed: "7",
    };
    for (const key of AXIS_KEYS.filter((each) => !["guest.warm-up"].includes(each))) {
      const parsed = parseScenario(`sweep: {axes: {${key}: [${values[key] ?? "text"}]}}`, FILE);
      const { scenario } = sweepPoint(parsed, 0);
      const { sweep: _sweep, ...base } = parsed.scenario;
      const flat = (value: object) =>
        new Map(
          Object.entries(value).flatMap(([top, each]) =>
            typeof each === "object" && !Array.isArray(each)
              ? Object.entries(each as object).map(
                  ([name, leaf]) => [`${top}.${name}`, JSON.stringify(leaf)] as const,
                )
              : [[top, JSON.stringify(each)] as const],
          ),
        );
      const before = flat(base);
      const after = flat(scenario);
      const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
        (name) => before.get(name) !== after.get(name),
      );
      // Another kind of guest takes the place of the first, and an operation loop warms up.
      const others = ["guest.name", "guest.warm-up"];
      expect(
        changed.filter((name) => name === key || !others.includes(name)),
        key,
      ).toEqual([key]);
    }
  });

  it("refuse keys and values with the axis's own line", () => {
    const error = (text: string, index = 0) => {
      try {
        const parsed = parseScenario(text, FILE);
        countPoints(parsed);
        sweepPoint(parsed, index);
      } catch (found) {
        return found as ScenarioError;
      }
      throw new Error("it was accepted");
    };
    const head = "name: a\nsweep:\n  axes:\n";
    expect(error(`${head}    seed: [1]\n    domain.p2m: [4k]`)).toMatchObject({
      line: 5,
      key: "sweep.axes.domain.p2m",
    });
    expect(error(`${head}    seed: [1]\n    domain.p2m-page: [4k, 3m]`, 1)).toMatchObject({
      line: 5,
      key: "domain.p2m-page",
    });
    expect(error(`${head}    __proto__.x: [1]`).key).toBe("sweep.axes.__proto__.x");
    expect(error("sweep: {combine: zip, axes: {seed: [1, 2], domain.memory: [64]}}").problem).toContain(
      "2, 1",
    );
    expect(error("sweep: {axes: {}}").problem).toContain("no axis");
    expect(
      error(
        "sweep: {axes: {seed: {from: 1, to: 2000, step: 1}, domain.memory: {from: 8, to: 1007, step: 1}}}",
      ).problem,
    ).toContain("2000000");
  });
});

describe("what a scenario asks for", () => {
  const request = async (text: string) => {
    const { scenario, source } = parseScenario(text, FILE);
    return { scenario, request: await scenarioRequest(scenario, PARTS, source) };
  };

  it("is run, with what was expected beside what was found, and its result gives the same again", async () => {
    const text = [
      "guest: {name: runstate-loop, iterations: 64}",
      "interfaces: [linear, fastabi]",
      "machine: {profile: epyc-9124, set: {timing.vmexit: 400}}",
      "expect:",
      "  - {figure: saving, interface: fastabi, against: linear, at-least: 0.5}",
      "  - {figure: p2m-lookups-per-call, interface: linear, is: 6, within: 0}",
      "  - {figure: cycles-per-call, interface: linear, is: 1, within: 5%}",
      "  - {figure: cycles-per-call, interface: physaddr, at-least: 0}",
    ].join("\n");
    const first = await request(text);
    const document = runScenario(first.scenario, first.request);
    expect(document.expectations.map(({ isMet }) => isMet)).toEqual([true, true, false, false]);
    expect(document.expectations[3].found).toBeNull();
    const exit = document.comparison.runs[0].ledger.find(({ cause }) => cause === "exit-hardware");
    expect(exit?.cyclesPerCall).toBe(400);
    // The comparison alone says, too, that the machine is not the package's.
    const { machine } = document.comparison;
    expect(machine).toMatchObject({ id: "epyc-9124", set: { "timing.vmexit": 400 } });
    expect(machine.sha256).toBe(document.profile.sha256);
    const again = await request(JSON.stringify(document.scenario));
    expect(JSON.stringify(runScenario(again.scenario, again.request))).toBe(JSON.stringify(document));
  });

  it("calls one operation in a loop, through the interfaces that carry it", async () => {
    const { scenario, request: asked } = await request(
      "guest: {operation-loop: version.version, iterations: 32}\ninterfaces: all",
    );
    expect(asked.abis?.length).toBeGreaterThan(3);
    const { comparison } = runScenario({ ...scenario }, { ...asked, abis: ["linear", "fastabi"] });
    for (const run of comparison.runs) {
      expect(run.exit.ok).toBe(true);
      expect(run.windowHypercalls).toBe(32);
    }
  });

  it("refuses what machine, guest or hypervisor does not take, by its key", async () => {
    const cases: [string, string][] = [
      ["machine: i486", "machine.profile"],
      ["guest: nobody", "guest"],
      ["guest: {operation-loop: vcpu.nothing}", "guest"],
      ["machine: {set: {timing.nothing: 3}}", "machine.set.timing.nothing"],
      ["machine: {set: {memory.l1d.ways: 0}}", "machine.set.memory.l1d.ways"],
      ["host: {spec-ctrl: nonsense}", "host.spec-ctrl"],
      ["guest: hypercall-bench\ninterfaces: percall", "interfaces"],
      ["host: kvm\ninterfaces: fastabi", "interfaces"],
      ["domain: {confidential: sev}\nmachine: skylake-sp", "domain.confidential"],
      ["guest: {name: runstate-loop, operation: version}", "guest.operation"],
    ];
    for (const [text, key] of cases)
      await expect(request(text), text).rejects.toMatchObject({ name: "ScenarioError", key });
  });
});

it("an expectation is met within its tolerance, a share of what was expected or a number", () => {
  const run = { abi: "linear", cyclesPerCall: 105 } as Parameters<typeof checkExpectations>[1][number];
  const met = (within: number | string) =>
    checkExpectations({ expect: [{ figure: "cycles-per-call", interface: "linear", is: 100, within }] }, [
      run,
    ])[0].isMet;
  expect([met("5%"), met("4.9%"), met(5), met(4)]).toEqual([true, false, true, false]);
});

it("the file of everything has every key of the schema", () => {
  const whole = parse(
    readFileSync(fileURLToPath(new URL("scenarios/everything.yml", import.meta.url)), "utf8"),
  ) as object;
  const { properties } = scenarioJsonSchema() as { properties: object };
  expect(Object.keys(whole).sort()).toEqual(Object.keys(properties).sort());
});
