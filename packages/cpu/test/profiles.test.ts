import { describe, expect, it } from "vitest";
import type { ProcessorProfile } from "../src/profile.js";
import {
  checkProfile,
  epyc9124,
  findProfile,
  PROFILES,
  ProfileError,
  skylakeSp,
} from "../src/profiles/index.js";
import {
  profileEstimates,
  profileQuantities,
  resolveProfile,
  withOverrides,
} from "../src/resolve-profile.js";

describe.each(PROFILES.map((profile) => [profile.id, profile] as const))("profile %s", (id, profile) => {
  it("passes the structural check", () => {
    expect(checkProfile(profile).map((error) => error.message)).toEqual([]);
  });
  it("is found by its id", () => {
    expect(findProfile(id)).toBe(profile);
  });
  it("resolves to numbers everywhere", () => {
    const resolved = resolveProfile(profile);
    for (const [key, value] of Object.entries(resolved.timing)) expect(value, key).toBeTypeOf("number");
    expect(Object.keys(resolved.timing)).toEqual(Object.keys(profile.timing));
    expect(resolved.memory.l1Dtlb[0].entries).toBe(profile.memory.l1Dtlb[0].entries.value);
    expect(resolved.memory.l1Dtlb[0].pages).toEqual(profile.memory.l1Dtlb[0].pages);
    expect(resolved.memory.pagingStructureCaches[0].levels).toEqual(
      profile.memory.pagingStructureCaches[0].levels,
    );
    expect(JSON.stringify(resolved)).not.toContain("basis");
  });
  it("lists every estimate with its range", () => {
    const listed = profileEstimates(profile);
    expect(listed.map((e) => e.key)).toContain("timing.issue");
    for (const { value, range } of listed) {
      expect(range[0]).toBeLessThanOrEqual(value);
      expect(range[1]).toBeGreaterThanOrEqual(value);
    }
  });
  it("carries its brand string in leaves 80000002h to 80000004h", () => {
    const bytes = profile.cpuid
      .filter((row) => row[0] >= 0x80000002 && row[0] <= 0x80000004)
      .flatMap((row) => row.slice(2))
      .flatMap((word) => [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]);
    const [, part] = /(EPYC \d+|Platinum \d+|w9-\w+)/.exec(profile.name)!;
    expect(String.fromCharCode(...bytes)).toContain(part);
  });
  it("promises long mode, NX, 1 GiB pages, CX16 and POPCNT", () => {
    const row = (leaf: number) => profile.cpuid.find((r) => r[0] === leaf)!;
    expect(row(0x80000001)[5] & 0x24100000).toBe(0x24100000);
    expect(row(1)[4] & 0x802000).toBe(0x802000);
    expect(row(1)[5] & 0x8170).toBe(0x8170);
  });
});

describe("overrides", () => {
  it("replace one number and mark it an estimate from the override", () => {
    const changed = withOverrides(epyc9124, { "timing.ibpb": 1200, "memory.l2Dtlb.0.ways": 8 });
    expect(changed.timing.ibpb).toEqual({
      value: 1200,
      unit: "cycles",
      basis: "estimate",
      source: "override",
      range: [1200, 1200],
    });
    expect(changed.memory.l2Dtlb[0].ways.value).toBe(8);
    expect(epyc9124.timing.ibpb.value).not.toBe(1200);
    expect(changed.timing.lfence).toBe(epyc9124.timing.lfence);
    expect(profileEstimates(changed).find((e) => e.key === "timing.ibpb")?.source).toBe("override");
    expect(changed.defaults).toBe(epyc9124.defaults);
  });
  it("refuse a key that is not there and name its neighbours", () => {
    const attempt = () => withOverrides(epyc9124, { "timing.ibbp": 1 });
    expect(attempt).toThrow(ProfileError);
    try {
      attempt();
    } catch (error) {
      expect(error).toMatchObject({ code: "UNKNOWN_KEY", key: "timing.ibbp" });
      expect((error as ProfileError).allowed).toContain("timing.ibpb");
    }
    expect(() => withOverrides(epyc9124, { "timing.constructor": 1 })).toThrow(ProfileError);
    expect(() => withOverrides(epyc9124, { timing: 1 })).toThrow(ProfileError);
  });
  it.each([
    ["timing.ibpb", -1],
    ["timing.ibpb", Number.NaN],
    ["memory.overlap.load", 1.5],
    ["memory.l1d.ways", 7.5],
    ["memory.physicalAddressBits", 60],
    ["frequency", 0],
  ])("refuse %s = %d", (key, value) => {
    expect(() => withOverrides(epyc9124, { [key]: value })).toThrow(
      expect.objectContaining({ code: "OUT_OF_DOMAIN", key }),
    );
  });
  it("accept every key that profileQuantities lists", () => {
    for (const [key, quantity] of profileQuantities(skylakeSp))
      expect(withOverrides(skylakeSp, { [key]: quantity.value })).toBeTruthy();
  });
});

describe("the structural check", () => {
  const broken: [string, (p: ProcessorProfile) => ProcessorProfile, string][] = [
    ["ways that do not divide", (p) => withOverrides(p, { "memory.l2Dtlb.0.ways": 7 }), "memory.l2Dtlb.0"],
    ["sets that are no power of two", (p) => withOverrides(p, { "memory.l3.bytes": 50331648 }), "memory.l3"],
    ["an L2 faster than L1", (p) => withOverrides(p, { "memory.l2.latency": 3 }), "memory"],
    [
      "an estimate without a range",
      (p) => ({ ...p, frequency: { value: 3, unit: "GHz", basis: "estimate", source: "x" } }),
      "frequency",
    ],
    [
      "a value outside its range",
      (p) => ({ ...p, frequency: { value: 3, unit: "GHz", basis: "estimate", source: "x", range: [1, 2] } }),
      "frequency",
    ],
    [
      "an empty source",
      (p) => ({ ...p, frequency: { value: 3, unit: "GHz", basis: "vendor", source: " " } }),
      "frequency",
    ],
    ["the other vendor's string", (p) => ({ ...p, vendor: "intel" }), "cpuid.0.0"],
  ];
  it.each(broken)("finds %s", (_, breakIt, key) => {
    expect(checkProfile(breakIt(epyc9124)).map((error) => error.key)).toContain(key);
  });
});

describe("numbers of the reference machine", () => {
  it("are those of its register dump", () => {
    const { memory, ghz } = resolveProfile(epyc9124);
    expect(ghz).toBe(3);
    expect([memory.l1d.bytes, memory.l2.bytes, memory.l3.bytes]).toEqual([32768, 1048576, 16777216]);
    expect(memory.l2Dtlb[0]).toMatchObject({ entries: 3072, ways: 24, pages: ["4k", "2m"] });
    expect(memory.l3.policy).toBe("victim");
    const svm = epyc9124.cpuid.find((row) => row[0] === 0x8000000a)!;
    expect(svm[3]).toBe(32768);
    expect(svm[5]).toBe(0xf9);
  });
  it("keep the measured Skylake pair of VM exit and entry", () => {
    expect(skylakeSp.timing.vmentry.value + skylakeSp.timing.vmexit.value).toBe(676);
  });
});
