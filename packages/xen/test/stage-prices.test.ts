import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { epyc9124, type ProcessorProfile, ProfileError, skylakeSp } from "@hyperwalk/cpu";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import type { GuestSystem } from "../src/guest-system.ts";
import { createKvmSystem } from "../src/kvm.ts";
import { applyPrices, stagePriceKeys } from "../src/path-cost/apply-prices.ts";
import type { Stage } from "../src/path-cost/stage.ts";
import { StageOverrides, type StagePriceRecord } from "../src/path-cost/stage-overrides.ts";
import { P2M_FOUND } from "../src/path-cost/stages/p2m.ts";
import { SnapshotError } from "../src/snapshot/snapshot-error.ts";
import { createXenSystem } from "../src/xen.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { type CallRegisters, HypercallDriver } from "./hypercall-driver.ts";

const SOURCES: string = fileURLToPath(new URL("../src", import.meta.url));
/** XENVER_version, which copies nothing. */
const VERSION: CallRegisters = Array.from({ length: 16 }, (_, i) => [i === 0 ? 17 : 0, 0] as const);
const CALLS = 64;

interface PricedOptions {
  readonly profile: ProcessorProfile;
  readonly domain: DomainConfig;
  readonly prices: StagePriceRecord | undefined;
}

/** A guest that makes the calls, not run yet. */
function made<S extends GuestSystem>(
  prices: StagePriceRecord | undefined,
  create: (options: PricedOptions) => S,
  profile: ProcessorProfile = epyc9124,
): S {
  const calls = Array.from({ length: CALLS }, () => VERSION);
  return new HypercallDriver<S>(profile, {}, calls, (options) => create({ ...options, prices })).system;
}

function ran(prices?: StagePriceRecord, host: "xen" | "kvm" = "xen", profile = epyc9124): GuestSystem {
  const system = made<GuestSystem>(prices, host === "xen" ? createXenSystem : createKvmSystem, profile);
  system.run();
  expect(system.counters().hypercalls).toBe(CALLS);
  return system;
}

/** Cycles of one cause. */
function cycles(system: GuestSystem, cause: string): number {
  const rows = system.ledger.rows().filter((row) => row.cause === cause);
  return rows.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_CYCLE;
}

function total(system: GuestSystem): number {
  return system.ledger.clock[0] / TICKS_PER_CYCLE;
}

function thrown(act: () => unknown): ProfileError {
  try {
    act();
  } catch (error) {
    if (error instanceof ProfileError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
}

describe("prices of stages", () => {
  it("are what a call takes, instruction by instruction", () => {
    const plain = ran();
    const more = ran({ "stage.do_xen_version (version)": 1037 });
    const { issue } = epyc9124.timing;
    expect(cycles(more, "issue") - cycles(plain, "issue")).toBeCloseTo(CALLS * 1000 * issue.value, 0);
    expect(more.counters().hypervisorInstructions - plain.counters().hypervisorInstructions).toBe(
      CALLS * 1000,
    );
  });

  it("are what results list, as an override of one number", () => {
    const system = ran({ "stage.do_xen_version (version)": 50, "stages.bytesPerInstruction": 5 });
    const listed = (key: string) => system.estimates().find((each) => each.key === key);
    expect(listed("stage.do_xen_version (version)")).toEqual({
      key: "stage.do_xen_version (version)",
      value: 50,
      unit: "instructions",
      range: [50, 50],
      source: "override",
    });
    expect(listed("stages.bytesPerInstruction")).toMatchObject({
      value: 5,
      range: [5, 5],
      source: "override",
    });
    expect(listed("stages.instructionsPerColdBranch")).toMatchObject({ value: 12, range: [6, 25] });
    expect(
      ran()
        .estimates()
        .map(({ key }) => key),
    ).not.toContain("stage.do_xen_version (version)");
  });

  it("hold wherever a stage is part of another", () => {
    const overrides = new StageOverrides({ "stage.p2m level 4": 1000 });
    const level = (stage: Stage) => stage.parts?.filter(({ name }) => name === "p2m level 4") ?? [];
    const walks = P2M_FOUND.filter((stage) => level(stage).length > 0);
    expect(walks.length).toBeGreaterThan(1);
    const parts = walks.map((walk) => {
      const priced = overrides.apply(walk);
      const before = walk.instructions as { amd: number; intel: number };
      expect(priced.instructions).toEqual({ amd: before.amd - 27 + 1000, intel: before.intel - 52 + 1000 });
      expect({ ...priced, instructions: 0, parts: [] }).toEqual({ ...walk, instructions: 0, parts: [] });
      return level(priced)[0];
    });
    expect(new Set(parts).size).toBe(1);
    const other = P2M_FOUND.find((stage) => level(stage).length === 0);
    if (other !== undefined) expect(overrides.apply(other)).toBe(other);
  });

  it("scale cold branches and lines of text by the two numbers that all rest on", () => {
    for (const host of ["xen", "kvm"] as const) {
      const branches = (perBranch: number) =>
        cycles(ran({ "stages.instructionsPerColdBranch": perBranch }, host), "branch");
      expect(branches(12)).toBe(cycles(ran({}, host), "branch"));
      expect(branches(6)).toBeGreaterThan(branches(12));
      expect(branches(25)).toBeLessThan(branches(12));
      const lines = (bytes: number) => total(ran({ "stages.bytesPerInstruction": bytes }, host));
      expect(lines(4)).toBe(total(ran({}, host)));
      expect(lines(8)).toBeGreaterThan(lines(4));
    }
  });

  it("are taken by KVM's code too, and leave the other host's alone", () => {
    const key = "stage.kvm_xen_hypercall_set_result";
    const plain = ran({}, "kvm", skylakeSp);
    const more = ran({ [key]: 525 }, "kvm", skylakeSp);
    expect(more.counters().hypervisorInstructions - plain.counters().hypervisorInstructions).toBe(
      CALLS * 500,
    );
    expect(total(ran({ [key]: 525 }))).toBe(total(ran()));
  });

  it("refuse a key that is nobody's, with those like it", () => {
    const error = thrown(() => ran({ "stage.do_xen_versoin (version)": 50 }));
    expect(error).toMatchObject({ code: "UNKNOWN_KEY", key: "stage.do_xen_versoin (version)" });
    expect(error.allowed).toContain("stage.do_xen_version (version)");
    expect(error.allowed.length).toBeLessThan(800);
    expect(thrown(() => ran({ "stages.instructions": 4 })).allowed).toContain(
      "stages.instructionsPerColdBranch",
    );
    expect(thrown(() => ran({ "stage.qqq": 4 }, "kvm")).allowed).toContain("stage.<name>");
    expect(thrown(() => ran({ toString: 4 })).code).toBe("UNKNOWN_KEY");
    expect(thrown(() => ran({ "timing.ibpb": 4 })).code).toBe("UNKNOWN_KEY");
  });

  it("refuse numbers that their unit does not have", () => {
    for (const [key, value] of [
      ["stage.hvm_hypercall", -1],
      ["stage.hvm_hypercall", 1.5],
      ["stage.hvm_hypercall", Number.NaN],
      ["stage.hvm_hypercall", 100_001],
      ["stages.bytesPerInstruction", 16],
      ["stages.instructionsPerColdBranch", 0],
    ] as const)
      expect(
        thrown(() => ran({ [key]: value })),
        `${key} ${value}`,
      ).toMatchObject({
        code: "OUT_OF_DOMAIN",
        key,
      });
    expect(total(ran({ "stage.hvm_hypercall": 100_000, "stages.bytesPerInstruction": 15 }))).toBeGreaterThan(
      0,
    );
    expect(total(ran({ "stage.hvm_hypercall": 0 }))).toBeLessThan(total(ran()));
  });

  it("belong to what a snapshot is of", () => {
    const prices = { "stage.hvm_hypercall": 50, "stages.bytesPerInstruction": 5 };
    const fresh = (own?: StagePriceRecord) => made(own, createXenSystem);
    const before = fresh(prices);
    before.run();
    const snapshot = before.snapshot();
    expect(() => fresh().restore(snapshot)).toThrow(SnapshotError);
    expect(() => fresh().restore(snapshot)).toThrow(/prices was .*bytesPerInstruction/);
    expect(() => fresh({ ...prices, "stage.hvm_hypercall": 51 }).restore(snapshot)).toThrow(/prices was/);
    const same = fresh({ "stages.bytesPerInstruction": 5, "stage.hvm_hypercall": 50 });
    same.restore(snapshot);
    expect(same.estimates()).toEqual(before.estimates());
  });
});

describe("stagePriceKeys", () => {
  it("has every stage that is written down anywhere in the package", () => {
    const keys = stagePriceKeys();
    const found: string[] = [];
    for (const file of sourceFiles(SOURCES)) {
      if (file.startsWith("host/arm")) continue;
      const text = readFileSync(`${SOURCES}/${file}`, "utf8");
      for (const [, name] of text.matchAll(/\bname: "([^"]+)",\n\s+phase: /g)) found.push(`stage.${name}`);
    }
    expect(found.length).toBeGreaterThan(150);
    const own = "stage.own operation"; // its operation's name takes the place
    expect(found.filter((key) => !keys.includes(key) && key !== own)).toEqual([]);
  });
});

describe("applyPrices", () => {
  it("gives a profile what is a profile's, and stages what is theirs", () => {
    const { profile, prices } = applyPrices(epyc9124, { "timing.ibpb": 1200, "stage.hvm_hypercall": 9 });
    expect(profile.timing.ibpb).toMatchObject({ value: 1200, source: "override" });
    expect(prices).toEqual({ "stage.hvm_hypercall": 9 });
    expect(applyPrices(epyc9124, {})).toEqual({ profile: epyc9124, prices: {} });
    expect(thrown(() => applyPrices(epyc9124, { "timing.ipbp": 1 })).key).toBe("timing.ipbp");
    expect(thrown(() => applyPrices(epyc9124, { "stage.none": 1 })).key).toBe("stage.none");
    expect(thrown(() => applyPrices(epyc9124, { ibpb: 1 })).code).toBe("UNKNOWN_KEY");
  });
});
