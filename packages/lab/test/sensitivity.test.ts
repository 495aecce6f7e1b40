import {
  checkProfile,
  epyc9124,
  PROFILES,
  Processor,
  profileEstimates,
  profileQuantities,
  skylakeSp,
  withOverrides,
} from "@hyperwalk/cpu";
import { checkStagePrices, stagePriceKeys } from "@hyperwalk/xen";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { compare } from "../src/compare.js";
import { runstateLoop } from "../src/guest-catalogue.js";
import { sharedSensitivity } from "../src/results/shared-sensitivity.js";
import { usableEnd } from "../src/sensitivity/nearest-valid.js";
import { type SensitivityRequest, sensitivity, sensitivityFigures } from "../src/sensitivity/sensitivity.js";
import type { SensitivityDocument } from "../src/sensitivity/sensitivity-document.js";
import { figuresOf, type SensitivityRun } from "../src/sensitivity/sensitivity-plan.js";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 }); // simulated work, however slow the host

const WALK = "stage.guest_walk_tables (fixed part)";
const PDE = "memory.nestedPagingStructureCaches.1.entries";
const REQUEST: SensitivityRequest = {
  guest: runstateLoop,
  machine: epyc9124,
  abis: ["linear", "physaddr"],
  iterations: 64,
  keys: [PDE, "timing.ibpb", WALK],
};

describe("on several threads", () => {
  it("an analysis is the same as on one", async () => {
    const keys = [PDE, "timing.ibpb", WALK, "timing.vmexit"];
    const request = { ...REQUEST, iterations: 4, keys };
    const alone = await sensitivity(request);
    for (const workers of [1, 2]) {
      let announced = 0;
      let done = 0;
      const shared = await sharedSensitivity(
        request,
        { file: "scenario.yml", guest: { name: "runstate-loop" } },
        {
          workers,
          started: async (all) => {
            announced = all;
          },
          advance: () => {
            done++;
          },
        },
      );
      expect(JSON.stringify(shared)).toBe(JSON.stringify(alone));
      expect(done).toBe(2 * keys.length + 2 * 2);
      expect(announced).toBe(done);
    }
  });

  it("a guest that other threads cannot find ends the analysis", async () => {
    const request = { ...REQUEST, iterations: 4, keys: [PDE, "timing.ibpb", WALK, "timing.vmexit"] };
    const running = { workers: 2, started: async () => undefined, advance: () => undefined };
    await expect(
      sharedSensitivity(request, { file: "scenario.yml", guest: { name: "no-such-guest" } }, running),
    ).rejects.toThrow("no-such-guest");
  });
});

describe("sensitivity", () => {
  const done: string[] = [];
  let document: SensitivityDocument;
  beforeAll(async () => {
    document = await sensitivity(REQUEST, { progress: (count, all) => done.push(`${count}/${all}`) });
  });

  it("has the figures that comparisons at the ends of each range have, most important first", () => {
    const plain = compare(REQUEST);
    expect(document.baseline.map(({ cyclesPerCall }) => cyclesPerCall)).toEqual(
      plain.runs.map(({ cyclesPerCall }) => cyclesPerCall),
    );
    expect(document.inputs.map(({ key }) => key)).toEqual(["timing.ibpb", WALK, PDE]);
    const [ibpb, walk, pde] = document.inputs;
    const { runs } = compare({ ...REQUEST, machine: withOverrides(epyc9124, { "timing.ibpb": 200 }) });
    expect(ibpb.low.value).toBe(200);
    expect(ibpb.low.figures.map(({ cyclesPerCall }) => cyclesPerCall)).toEqual(
      runs.map(({ cyclesPerCall }) => cyclesPerCall),
    );
    expect(ibpb.low.figures[1].saving).toBe(1 - (runs[1].cyclesPerCall ?? 0) / (runs[0].cyclesPerCall ?? 0));
    const walks = compare({ ...REQUEST, prices: { [WALK]: walk.range[1] } }).runs;
    expect(walk.high.figures.map(({ cyclesPerCall }) => cyclesPerCall)).toEqual(
      walks.map(({ cyclesPerCall }) => cyclesPerCall),
    );
    // A call by physical address walks no tables.
    expect(walk.swing[0].cyclesPerCall).toBeGreaterThan(100);
    expect(walk.swing[1].cyclesPerCall).toBe(0);
    expect(pde.range[1]).toBe(3072);
    expect(pde.high).toMatchObject({ value: 2048, moved: expect.stringContaining("3072 entries in 8 ways") });
    expect(pde.low.moved).toBeUndefined();
  });

  it("puts all estimates together at the ends that lower and raise a figure", () => {
    const { joint, inputs, baseline } = document;
    expect(joint.map(({ of }) => of)).toEqual(["cyclesPerCall", "saving"]);
    const [cycles, saving] = joint;
    const ends = inputs.flatMap(({ low, high }) => [low, high]);
    expect(cycles.low).toBeLessThanOrEqual(
      Math.min(...ends.map(({ figures }) => figures[0].cyclesPerCall ?? 0)),
    );
    expect(cycles.high).toBeGreaterThanOrEqual(
      Math.max(...ends.map(({ figures }) => figures[0].cyclesPerCall ?? 0)),
    );
    expect(saving.low).toBeLessThan(baseline[1].saving ?? 0);
    // A dear barrier on both sides hides what the walk costs one of them.
    const { runs } = compare({
      ...REQUEST,
      machine: withOverrides(epyc9124, { "timing.ibpb": 4000 }),
      prices: { [WALK]: 98 },
    });
    expect(saving.low).toBe(1 - (runs[1].cyclesPerCall ?? 0) / (runs[0].cyclesPerCall ?? 0));
  });

  it("is a list of independent runs that may be made anywhere", async () => {
    const lists: (readonly SensitivityRun[])[] = [];
    const elsewhere = await sensitivity(REQUEST, {
      runAll: async (runs) => {
        lists.push(runs);
        const backwards = structuredClone([...runs].reverse());
        return structuredClone(backwards.map((run) => sensitivityFigures(REQUEST, run))).reverse();
      },
    });
    expect(elsewhere).toEqual(document);
    expect(lists.map((list) => list.length)).toEqual([6, 4]);
    expect(done).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 1}/10`));
  });

  it("says what it did not vary, and refuses what no run rests on", async () => {
    const machine = withOverrides(epyc9124, { "timing.ibpb": 900 });
    const { inputs, notVaried } = await sensitivity({
      ...REQUEST,
      machine,
      abis: ["fastabi"],
      keys: [PDE, "timing.ibpb"],
    });
    expect(inputs.map(({ key }) => key)).toEqual([PDE]);
    expect(notVaried).toContainEqual({ key: "timing.ibpb", value: 900, why: "its range is one number" });
    expect(notVaried).toContainEqual({ key: "timing.issue", value: 0.5, why: "it was not asked for" });
    await expect(sensitivity({ ...REQUEST, keys: ["timing.cpuid"] })).rejects.toThrow(
      /no run rests on timing.cpuid; allowed: .*timing.ibpb/,
    );
  });
});

describe("figuresOf", () => {
  it("has none for runs that ended badly, and no savings against such a first run", () => {
    const { runs } = compare({ ...REQUEST, iterations: 2 });
    const stopped = { ...runs[0], exit: { ...runs[0].exit, ok: false } };
    expect(figuresOf({ runs: [stopped, runs[1]] })).toEqual([
      { cyclesPerCall: null, saving: null },
      { cyclesPerCall: runs[1].cyclesPerCall, saving: null },
    ]);
  });
});

describe("ends of ranges", () => {
  it("are made into machines that hold together, never outside the range", () => {
    for (const machine of PROFILES)
      for (const { key, value, range } of profileEstimates(machine))
        for (const end of range) {
          const usable = usableEnd(machine, key, value, end);
          expect(usable.value, key).toBeGreaterThanOrEqual(range[0]);
          expect(usable.value, key).toBeLessThanOrEqual(range[1]);
          expect(usable.value === end, key).toBe(usable.moved === undefined);
          const profile = withOverrides(machine, { [key]: usable.value });
          expect(checkProfile(profile), `${machine.id} ${key}`).toEqual([]);
          if (usable.moved !== undefined) expect(() => new Processor({ profile })).not.toThrow();
        }
  });

  it("are the nearest powers of two times the estimate", () => {
    const key = "memory.nestedPagingStructureCaches.0.ways";
    expect(usableEnd(skylakeSp, key, 8, 32)).toEqual({
      value: 8,
      moved: expect.stringContaining("8 entries"),
    });
    expect(usableEnd(skylakeSp, key, 8, 4)).toEqual({ value: 4 });
    const wide = withOverrides(skylakeSp, { "memory.nestedPagingStructureCaches.0.entries": 16 });
    expect(usableEnd(wide, key, 8, 32).value).toBe(16);
  });

  it("of stages are prices that a system takes", () => {
    const keys = stagePriceKeys();
    expect(keys.length).toBeGreaterThan(250);
    const { estimates } = compare({ ...REQUEST, hosts: ["xen", "kvm"], abis: ["linear"], iterations: 2 });
    const ofProfile = profileQuantities(epyc9124).map(([key]) => key);
    const ofStages = estimates.filter(({ key }) => !ofProfile.includes(key));
    expect(ofStages.some(({ key }) => key.startsWith("stage.monitor: "))).toBe(true);
    for (const { key, range } of ofStages) {
      expect(keys).toContain(key);
      for (const end of range ?? []) expect(() => checkStagePrices({ [key]: end })).not.toThrow();
    }
  });

  it("of the monitor's handlers move what a call costs under KVM", async () => {
    const key = "stage.monitor: vcpu.get_runstate_info";
    const request = { ...REQUEST, hosts: ["kvm"], abis: ["linear"], iterations: 2, keys: [key] } as const;
    const { inputs } = await sensitivity(request);
    expect(inputs).toMatchObject([{ key, range: [80, 1200] }]);
    // 1,120 instructions more, at two a cycle and a few lines of text.
    expect(inputs[0].swing[0].cyclesPerCall).toBeGreaterThan(500);
    expect(inputs[0].swing[0].cyclesPerCall).toBeLessThan(3000);
  });
});
