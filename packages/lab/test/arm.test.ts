import { neoverseN1, withArmOverrides } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { type ArmCost, type ArmDocument, armPrices } from "../src/arm-experiment.js";
import { armHazards } from "../src/arm-hazards.js";
import { hyperwalk } from "./hyperwalk.js";

const one = { stage1: ["4k"], stage2: ["2m"], pages: [1] } as const;

describe("the Arm experiment", () => {
  it("every figure is a sum of ledger cells, and differences are of figures", () => {
    const { rows } = armPrices({ ...one, pages: [1, 2] });
    expect(rows.length).toBe(6);
    for (const row of rows) {
      const sum = ({ ledger }: ArmCost) => ledger.reduce((total, { cycles }) => total + cycles, 0);
      expect(sum(row.va)).toBe(row.va.cycles);
      expect(sum(row.pa)).toBe(row.pa.cycles);
      expect(row.difference).toBe(row.va.cycles - row.pa.cycles);
      expect(row.range[0]).toBeLessThan(row.range[1]);
      expect(row.winner).toBe(row.difference < 0 ? "va" : "pa");
      expect(row.certain).toBe(Math.sign(row.range[0]) === Math.sign(row.range[1]));
    }
  });

  it("counts the descriptors that the states leave to be read", () => {
    const { rows } = armPrices({ ...one, stage2: ["4k", "2m", "1g"] });
    const read = (state: string) =>
      rows
        .filter((row) => row.state === state)
        .map(({ va, pa }) => [va.guestWalkReferences, pa.guestWalkReferences, pa.softwareReads]);
    // (4+1)(b+1)-1 by hardware where nothing is cached, b by software always.
    expect(read("hot")).toEqual([
      [0, 0, 4],
      [0, 0, 3],
      [0, 0, 2],
    ]);
    expect(read("tlb-cold")).toEqual([
      [24, 0, 4],
      [19, 0, 3],
      [14, 0, 2],
    ]);
    expect(read("cold")).toEqual(read("tlb-cold"));
  });

  it("the price of AT at which both cost the same makes them cost the same", () => {
    const hot = (machine = neoverseN1) => armPrices({ ...one, states: ["hot"], machine }).rows[0];
    const { breakEven, difference } = hot();
    const at = neoverseN1.timing.at.value;
    const changed = withArmOverrides(neoverseN1, { "timing.at": at - difference });
    expect(hot(changed).difference).toBe(0);
    expect(hot(changed).winner).toBe("neither");
    expect(hot(changed).breakEven).toBe(breakEven);
  });

  it("the hazard: VA fails between break and make, PA at no point, Xen's own changes fail nobody", () => {
    const hazards = armHazards(neoverseN1);
    const results = (of: "stage1" | "stage2", which: "vaCached" | "vaUncached" | "pa") =>
      hazards[of].points.map((point) => point[which].result);
    expect(results("stage1", "vaCached")).toEqual([0, 0, 0, 0, -14, 0, 0]);
    expect(results("stage1", "vaUncached")).toEqual([0, -14, -14, -14, -14, 0, 0]);
    for (const [of, which] of [
      ["stage1", "pa"],
      ["stage2", "vaCached"],
      ["stage2", "vaUncached"],
      ["stage2", "pa"],
    ] as const)
      expect(results(of, which)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    for (const { form, total, failed } of hazards.stage1.interleavings) {
      expect(total).toBeGreaterThan(10);
      expect(failed > 0).toBe(form === "va");
    }
    expect(hazards.tracking.va).toMatchObject({ result: 0, by: "second attempt" });
    expect(hazards.tracking.va.cycles).toBeGreaterThan(hazards.tracking.pa.cycles);
  });

  it("refuses what there is not", () => {
    expect(() => armPrices({ bytes: 1 })).toThrow(/bytes: 1; allowed: a whole number from 2 to 2048/);
    expect(() => armPrices({ pages: [3] })).toThrow(/pages: 3; allowed: 1, 2/);
  });
});

describe("hyperwalk arm", () => {
  const small = ["arm", "--stage1", "2m", "--stage2", "2m", "--pages", "1"];

  it("prints the same JSON each time, and a table that says the same", async () => {
    const first = await hyperwalk(...small, "--json");
    expect(first).toMatchObject({ code: 0, err: "" });
    expect((await hyperwalk(...small, "--json")).out).toBe(first.out);
    const document = JSON.parse(first.out) as ArmDocument;
    expect(document.geometry).toEqual({
      vaBits: 48,
      ipaBits: 48,
      stage2StartLevel: 0,
      stage2RootTables: 1,
    });
    expect(document.copy.instruction).toBe("AT S12E1R");
    const keys = document.estimates.map(({ key }) => key);
    for (const key of ["timing.at", "timing.isb", "armStages.p2m_get_entry.instructions"])
      expect(keys).toContain(key);
    const { out } = await hyperwalk(...small);
    for (const text of ["AT S12E1R", "tlb-cold", "-EFAULT", "waits for 5 steps", "timing.at", "Draw"])
      expect(out).toContain(text);
  });

  it("takes a geometry and a direction", async () => {
    const { out } = await hyperwalk(
      ...[...small, "--state", "cold", "--direction", "out", "--json"],
      ...["--ipa-bits", "40", "--va-bits", "39", "--bytes", "8"],
    );
    const document = JSON.parse(out) as ArmDocument;
    expect(document.geometry).toMatchObject({ vaBits: 39, stage2StartLevel: 1, stage2RootTables: 2 });
    expect(document.copy).toEqual({ bytes: 8, direction: "out", instruction: "AT S12E1W" });
    // Levels 1 and 2 of both: (2+1)(2+1)-1.
    expect(document.rows[0].va.guestWalkReferences).toBe(8);
    expect(document.rows[0].pa.softwareReads).toBe(2);
  });

  it("says what is allowed", async () => {
    for (const [args, expected] of [
      [["arm", "--machine", "epyc-9124"], "neoverse-n1"],
      [["arm", "--state", "lukewarm"], "hot, tlb-cold, cold"],
      [["arm", "--stage1", "16k"], "4k, 2m, 1g"],
      [["arm", "--ipa-bits", "52"], "from 32 to 48"],
      [["arm", "--bytes", "1"], "from 2 to 2048"],
    ] as const) {
      const { code, err } = await hyperwalk(...args);
      expect(code).toBe(2);
      expect(err).toContain(expected);
    }
  });

  it("shows its machine's numbers", async () => {
    const { out, code } = await hyperwalk("profiles", "show", "neoverse-n1");
    expect(code).toBe(0);
    expect(out).toContain("timing.at");
    expect(out).toContain("Cortex-A76");
  });
});
