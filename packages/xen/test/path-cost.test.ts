import { epyc9124, resolveProfile } from "@hyperwalk/cpu";
import { MmuCounter, TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { composeStage } from "../src/path-cost/compose.ts";
import type { Stage } from "../src/path-cost/stage.ts";
import { HypervisorBench } from "./hypervisor-bench.ts";

const { timing } = resolveProfile(epyc9124);

function stage(extra: Partial<Stage> = {}): Stage {
  return {
    name: "test stage",
    phase: "operation",
    instructions: 120,
    basis: "estimate",
    source: "made up",
    range: [100, 140],
    ...extra,
  };
}

/** Cycles of one more run of a stage, by cause, once its lines are warm. */
function warmRun(bench: HypervisorBench, subject: Stage): Record<string, number> {
  const id = bench.cost.compile(subject);
  bench.cost.run(id);
  bench.cost.run(id);
  const before = bench.ledger.snapshot();
  bench.cost.run(id);
  const rows = bench.ledger.rows(before).map((row) => [row.cause, row.ticks / TICKS_PER_CYCLE] as const);
  return Object.fromEntries(rows);
}

describe("StagePathCost", () => {
  it("gives one number to one stage object", () => {
    const { cost } = new HypervisorBench();
    const subject = stage();
    expect(cost.compile(subject)).toBe(cost.compile(subject));
    expect(cost.compile(stage())).not.toBe(cost.compile(subject));
  });

  it("charges issue for plain instructions and the own price of special ones", () => {
    const bench = new HypervisorBench();
    expect(warmRun(bench, stage())).toEqual({ issue: expect.closeTo(120 * timing.issue, 1) });
    const special = warmRun(bench, stage({ lfences: 2, atomics: 3, clgiStgi: 1, cliSti: 2 }));
    expect(special.issue).toBeCloseTo((120 - 8) * timing.issue, 1);
    expect(special.serialise).toBeCloseTo(2 * timing.lfence + timing.clgiStgi + 2 * timing.cliSti, 1);
    expect(special.atomic).toBeCloseTo(3 * timing.atomic, 1);
    const barriers = warmRun(bench, stage({ ibpb: 1, verw: 1, wrmsrSpecCtrl: 2 }));
    expect(barriers["predictor-barrier"]).toBeCloseTo(
      timing.ibpb + timing.verw + 2 * timing.wrmsrSpecCtrl,
      1,
    );
  });

  it("charges cold branches once after the predictor was emptied", () => {
    const bench = new HypervisorBench();
    const subject = stage({ coldBranches: 7 });
    expect(warmRun(bench, subject).branch).toBeUndefined();
    bench.predictor.flush();
    const before = bench.ledger.snapshot();
    bench.cost.run(bench.cost.compile(subject));
    bench.cost.run(bench.cost.compile(subject));
    const branch = bench.ledger.rows(before).find((row) => row.cause === "branch");
    expect(branch?.ticks).toBe(7 * timing.branchMispredict * TICKS_PER_CYCLE);
  });

  it("fetches its text and touches its lines: cold once, then warm", () => {
    const bench = new HypervisorBench();
    const subject = stage({ touches: [{ object: "vcpu", offsets: [0, 64], write: true }] });
    const id = bench.cost.compile(subject);
    bench.cost.run(id);
    const cold = bench.ledger.rows().filter((row) => row.cause === "dram" || row.cause === "walk");
    expect(cold.length).toBe(2);
    expect(Object.keys(warmRun(bench, subject))).toEqual(["issue"]);
  });

  it("fetches the lines of its code, not as many as a loop in it executes instructions", () => {
    const fetched = (over: Partial<Stage>): number => {
      const bench = new HypervisorBench();
      const id = bench.cost.compile(stage({ instructions: 16_000, coldBranches: 0, ...over }));
      bench.cost.run(id);
      return bench.mmu.counters[MmuCounter.FetchDram];
    };
    expect(fetched({})).toBe(1000);
    expect(fetched({ codeInstructions: 160 })).toBe(10);
  });

  it("fetches its text again after L1I was emptied", () => {
    const bench = new HypervisorBench();
    const subject = stage();
    expect(Object.keys(warmRun(bench, subject))).toEqual(["issue"]);
    bench.mmu.flushCaches();
    bench.cost.forgetText();
    const before = bench.ledger.snapshot();
    bench.cost.run(bench.cost.compile(subject));
    expect(bench.ledger.rows(before).some((row) => row.cause === "dram")).toBe(true);
  });

  it("charges parts of another phase to that phase, and the sum once", () => {
    const bench = new HypervisorBench();
    const both = composeStage("both", "operation", [
      stage({ lfences: 1 }),
      stage({ name: "inner", phase: "copy" }),
    ]);
    warmRun(bench, both);
    const before = bench.ledger.snapshot();
    bench.cost.run(bench.cost.compile(both));
    const rows = bench.ledger.rows(before).map((row) => [row.path.join("/"), row.cause]);
    expect(rows).toEqual([
      ["guest/operation", "issue"],
      ["guest/operation", "serialise"],
      ["guest/operation/copy", "issue"],
    ]);
    expect(bench.ledgerSum()).toBe(bench.ledger.clock[0]);
  });

  it("warms the branches of a part once, whichever composition runs it first", () => {
    const bench = new HypervisorBench();
    const shared = stage({ name: "shared", coldBranches: 5 });
    const other = stage({ name: "other", phase: "copy", coldBranches: 2 });
    const first = composeStage("first", "operation", [shared, shared, other]);
    const second = composeStage("second", "operation", [shared]);
    warmRun(bench, first);
    warmRun(bench, second);
    bench.predictor.flush();
    const before = bench.ledger.snapshot();
    bench.cost.run(bench.cost.compile(first));
    bench.cost.run(bench.cost.compile(second));
    const branches = bench.ledger.rows(before).filter((row) => row.cause === "branch");
    expect(branches.map((row) => [row.phase, row.ticks])).toEqual([
      ["operation", 5 * timing.branchMispredict * TICKS_PER_CYCLE],
      ["copy", 2 * timing.branchMispredict * TICKS_PER_CYCLE],
    ]);
  });

  it("charges the same after more combinations of warm branches than it keeps prices for", () => {
    const bench = new HypervisorBench();
    const { cost, ledger, predictor } = bench;
    const ids = Array.from({ length: 11 }, (_, i) =>
      cost.compile(stage({ name: `stage ${i}`, coldBranches: i })),
    );
    for (const id of ids) cost.run(id);
    const before = ledger.snapshot();
    let cold = 0;
    // Every subset of the stages, each stage of it twice; and once more, with prices forgotten and made again.
    for (let round = 0; round < 2; round++)
      for (let subset = 0; subset < 2 ** ids.length; subset++) {
        predictor.flush();
        ids.forEach((id, i) => {
          if (((subset >> i) & 1) === 0) return;
          cost.run(id);
          cost.run(id);
          cold += i;
        });
      }
    const branch = ledger.rows(before).find((row) => row.cause === "branch");
    expect(branch?.ticks).toBe(cold * timing.branchMispredict * TICKS_PER_CYCLE);
    expect(bench.ledgerSum()).toBe(ledger.clock[0]);
  });

  it("does not enter a phase that is on top already", () => {
    const bench = new HypervisorBench();
    const { cost, ledger } = bench;
    cost.enter(cost.phase("operation"));
    cost.enter(cost.phase("operation"));
    cost.run(cost.compile(stage()));
    cost.leave();
    cost.leave();
    expect(ledger.rows().every((row) => row.path.length === 2)).toBe(true);
    expect(ledger.phaseDepth).toBe(0);
  });

  it("names the estimates among what ran, parts included", () => {
    const { cost } = new HypervisorBench();
    const counted = stage({ name: "counted", basis: "measured" });
    cost.run(cost.compile(composeStage("both", "operation", [counted, stage({ name: "guessed" })])));
    cost.compile(stage({ name: "never ran" }));
    const keys = cost.estimates().map(({ key }) => key);
    expect(keys).toContain("stage.guessed");
    expect(keys).not.toContain("stage.counted");
    expect(keys).not.toContain("stage.never ran");
    expect(cost.estimates().find(({ key }) => key === "stage.guessed")).toMatchObject({
      value: 120,
      unit: "instructions",
      range: [100, 140],
    });
  });
});

describe("composeStage", () => {
  it("sums every quantity for each vendor", () => {
    const sum = composeStage("sum", "operation", [
      stage({ instructions: { amd: 10, intel: 20 }, lfences: 1, coldBranches: 2 }),
      stage({ instructions: 24, vmreads: { amd: 0, intel: 3 } }),
    ]);
    expect(sum.instructions).toEqual({ amd: 34, intel: 44 });
    expect(sum.lfences).toBe(1);
    expect(sum.vmreads).toEqual({ amd: 0, intel: 3 });
  });
});
