import { findProfile, PROFILES } from "@hyperwalk/cpu";
import { stagePriceKeys } from "@hyperwalk/xen";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { obstacles, requestOf, runnable } from "../playground/comparison.js";
import { MITIGATIONS } from "../playground/mitigations.js";
import { numberInputs } from "../playground/numbers.js";
import { commandLine, scenarioYaml } from "../playground/reproduce.js";
import {
  CHART_PARTS,
  DEFAULT_STATE,
  HOST_KINDS,
  ITERATIONS,
  type PlaygroundState,
  SWITCHES,
} from "../playground/state.js";
import { decodeState, encodeState, SET_KEY, STATE_KEYS } from "../playground/state-url.js";
import { type CompareRequest, compare } from "../src/compare.js";
import { GUEST_OPERATIONS } from "../src/guest.js";
import { BUILT_IN_GUESTS } from "../src/guest-catalogue.js";
import { ABIS, GUEST_PAGES, P2M_PAGES } from "../src/result.js";
import { parseScenario } from "../src/scenario/parse-scenario.js";
import { type ScenarioParts, scenarioRequest } from "../src/scenario/scenario-request.js";

const machines = fc.constantFrom(...PROFILES);

/** Any state that the controls can make. */
const states: fc.Arbitrary<PlaygroundState> = machines.chain((machine) => {
  const inputs = numberInputs(machine);
  const numbers = fc.uniqueArray(
    fc
      .constantFrom(...inputs)
      .chain(({ key, least, most, slider }) =>
        (Array.isArray(slider)
          ? fc.constantFrom(...(slider as readonly number[]))
          : fc.double({ min: least, max: most, noNaN: true }).map((value) => Number(value.toFixed(3)))
        ).map((value) => [key, value] as const),
      ),
    { maxLength: 5, selector: ([key]) => key },
  );
  const stages = fc.uniqueArray(
    fc.tuple(fc.constantFrom(...stagePriceKeys()), fc.integer({ min: 1, max: 15 })),
    { maxLength: 3, selector: ([key]) => key },
  );
  const mitigations = fc
    .tuple(...MITIGATIONS.map(({ values }) => fc.constantFrom("default", ...Object.keys(values))))
    .map((chosen) =>
      Object.fromEntries(
        MITIGATIONS.map(({ name }, at) => [name, chosen[at]]).filter(([, value]) => value !== "default"),
      ),
    );
  return fc.record({
    machine: fc.constant(machine.id),
    set: fc.tuple(numbers, stages).map((pairs) => Object.fromEntries(pairs.flat())),
    host: fc.constantFrom(...HOST_KINDS),
    ibpb: fc.constantFrom(...SWITCHES),
    mitigations,
    execSp: fc.constantFrom(...SWITCHES),
    p2mPage: fc.constantFrom(...P2M_PAGES),
    mmioHandlers: fc.integer({ min: 0, max: 16 }),
    guest: fc.constantFrom(...BUILT_IN_GUESTS.map(({ name }) => name)),
    operation: fc.constantFrom(...GUEST_OPERATIONS),
    guestPage: fc.constantFrom(...GUEST_PAGES),
    iterations: fc.constantFrom(...ITERATIONS),
    interfaces: fc.subarray([...ABIS], { minLength: 1 }),
    chart: fc.constantFrom(...CHART_PARTS),
  });
});

describe("the playground's addresses", () => {
  it("say nothing of the defaults", () => {
    expect(encodeState(DEFAULT_STATE)).toBe("");
    expect(decodeState("")).toEqual({ state: DEFAULT_STATE, problems: [] });
  });

  it("are a scenario's keys", () => {
    const state: PlaygroundState = {
      ...DEFAULT_STATE,
      machine: "skylake-sp",
      mitigations: { bhb: "long", verw: "on" },
      p2mPage: "2m",
      set: { "timing.vmexit": 400.5 },
    };
    expect(encodeState(state)).toBe(
      "machine.profile=skylake-sp&host.spec-ctrl=verw,bhb-seq%3Dlong,bhb-entry&domain.p2m-page=2m&machine.set.timing.vmexit=400.5",
    );
  });

  it("give back every state that the controls can make", () => {
    fc.assert(
      fc.property(states, (state) => {
        expect(decodeState(encodeState(state))).toEqual({ state, problems: [] });
      }),
    );
  });

  it("may say anything: what cannot be is named and falls back, and what remains can be run", () => {
    const keys = [...STATE_KEYS, `${SET_KEY}timing.ibpb`, `${SET_KEY}memory.l2.bytes`, `${SET_KEY}__proto__`];
    const words = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(
        ...ABIS,
        "xen,kvm",
        "1e999",
        "-1",
        "NaN",
        "0",
        "524288",
        "%",
        "%zz",
        "sg-frames,linear",
      ),
    );
    const pairs = fc.array(
      fc.tuple(fc.oneof(fc.constantFrom(...keys), fc.string()), words).map(([key, text]) => `${key}=${text}`),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          pairs.map((each) => each.join("&")),
        ),
        (hash) => {
          const { state, problems } = runnable(decodeState(hash));
          expect(obstacles(state)).toEqual([]);
          for (const { problem, allowed } of problems) {
            expect(problem).not.toBe("");
            expect(allowed).not.toBe("");
            expect(problem.length).toBeLessThan(400);
          }
          expect(() => requestOf(state)).not.toThrow();
        },
      ),
    );
  });

  it.each([
    ["machine.profile=pentium", "machine.profile", /epyc-9124, /],
    ["machine.profile=__proto__", "machine.profile", /epyc-9124, /],
    ["interfaces=linear,linear", "interfaces", /at most once: linear/],
    ["interfaces=", "interfaces", /linear/],
    ["interfaces=sg-frames", "interfaces", /linear, physaddr, fastabi/],
    ["host.kind=kvm&interfaces=fastabi", "interfaces", /linear/],
    ["host.spec-ctrl=rsb,nonsense", "host.spec-ctrl", /no-verw/],
    ["host.spec-ctrl=rsb,no-rsb", "host.spec-ctrl", /no-verw/],
    ["domain.mmio-handlers=17", "domain.mmio-handlers", /0 to 16/],
    ["guest.iterations=1000000000", "guest.iterations", /16384/],
    ["guest.page=4k&guest.page=2m", "guest.page", /once/],
    ["machine.set.timing.ibpb=lots", "machine.set.timing.ibpb", /0 to \d+ cycles/],
    ["machine.set.timing.ibpb=-1", "machine.set.timing.ibpb", /0 to/],
    ["machine.set.memory.overlap.load=1.5", "machine.set.memory.overlap.load", /0 to 1 ratio/],
    ["machine.set.memory.l2.bytes=600000", "machine.set.memory.l2", /power of two/],
    ["machine.set.memory.l1d.latency=40", "machine.set.memory", /slower/],
    ["machine.set.memory.physicalAddressBits=40", "machine.set.memory.physicalAddressBits", /a number that/],
    [
      "machine.set.stage.hvm_hypercall=1.5",
      "machine.set.stage.hvm_hypercall",
      /whole number of instructions/,
    ],
    ["machine.set.stage.nonsense=1", "machine.set.stage.nonsense", /stage/],
    ["machine.set.stages.bytesPerInstruction=99", "machine.set.stages.bytesPerInstruction", /1 to 15/],
    ["machine.set.constructor=1", "machine.set.constructor", /a number that/],
    ["whatever=1", "whatever", /machine\.profile/],
    [`a=${"x".repeat(10_000)}`, "", /8192/],
  ])("%s: refused beside its control", (hash, key, allowed) => {
    const { state, problems } = runnable(decodeState(hash));
    expect(problems[0].key).toBe(key);
    expect(problems[0].allowed).toMatch(allowed);
    expect({ ...state, host: "xen" }).toEqual(
      hash.startsWith("guest.page") ? { ...DEFAULT_STATE, guestPage: "4k" } : DEFAULT_STATE,
    );
  });
});

describe("a state of the playground", () => {
  it("is the request that the command line makes", () => {
    // Against the options as the command parses them, without running them.
    const { guest, ...request } = requestOf({
      ...DEFAULT_STATE,
      machine: "skylake-sp",
      ibpb: "off",
      mitigations: { "l1d-flush": "off", rsb: "off" },
      execSp: "on",
    });
    expect(guest.name).toBe("hypercall-bench");
    expect(request).toMatchObject({
      abis: ["linear", "physaddr", "fastabi"],
      hosts: ["xen"],
      kvm: { vmscape: false },
      mitigations: { rsbOverwrite: false, l1dFlush: false, verw: true, ibpbEntry: false, execSp: true },
    } satisfies Partial<CompareRequest>);
  });

  it("by default asks for what compare asks for", () => {
    const guest = BUILT_IN_GUESTS[0];
    const machine = findProfile("epyc-9124");
    if (machine === undefined) throw new Error("no epyc-9124");
    const mine = compare({ ...requestOf(DEFAULT_STATE, 16), abis: ["fastabi"] });
    const theirs = compare({ guest, machine, iterations: 16, abis: ["fastabi"] });
    expect(JSON.stringify(mine)).toBe(JSON.stringify(theirs));
  });

  it("is the request that its scenario makes", async () => {
    const parts: ScenarioParts = {
      profile: async (id) => findProfile(id) ?? Promise.reject(new Error(id)),
      guest: async ({ name }) =>
        BUILT_IN_GUESTS.find((guest) => guest.name === name) ?? Promise.reject(new Error(name)),
    };
    const samples = fc.sample(states, { numRuns: 40, seed: 6 });
    const runnables = samples.filter((state) => obstacles(state).length === 0);
    expect(runnables.length).toBeGreaterThan(10);
    for (const state of runnables) {
      const { scenario, source } = parseScenario(scenarioYaml(state), "playground.yml");
      const { window, seed, confidential, fastForward, cmdline, memoryMiB, maxInstructions, ...asked } =
        await scenarioRequest(scenario, parts, source);
      const { prices = {}, ...mine } = requestOf(state);
      expect({ ...mine, prices }).toEqual({ ...asked, prices: asked.prices ?? {} });
    }
  });

  it("has a command line and a scenario that say the same", () => {
    const state: PlaygroundState = {
      ...DEFAULT_STATE,
      machine: "sapphire-rapids",
      guest: "runstate-loop",
      interfaces: ["linear", "registered"],
      mitigations: { bhb: "short" },
      p2mPage: "1g",
    };
    expect(commandLine(state)).toBe(
      "hyperwalk compare runstate-loop --machine sapphire-rapids --abi linear,registered --p2m-page 1g --spec-ctrl bhb-seq=short,bhb-entry",
    );
    const priced = { ...state, set: { "timing.vmexit": 400 } };
    expect(commandLine(priced)).toMatch(/^hyperwalk run playground\.yml {2}#/);
    expect(parse(scenarioYaml(priced))).toEqual({
      machine: { profile: "sapphire-rapids", set: { "timing.vmexit": 400 } },
      host: { kind: ["xen"], "spec-ctrl": "bhb-seq=short,bhb-entry" },
      domain: { "p2m-page": "1g", "mmio-handlers": 3 },
      guest: { name: "runstate-loop", operation: "get_runstate_info", page: "4k", iterations: 16384 },
      interfaces: ["linear", "registered"],
    });
  });
});
