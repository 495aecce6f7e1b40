import {
  ARM_PROFILES,
  allowedIn,
  armProfileEstimates,
  armProfileQuantities,
  findArmProfile,
  neoverseN1,
  outOfDomain,
  resolveArmProfile,
  withArmOverrides,
} from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";

describe("Arm profiles", () => {
  for (const profile of ARM_PROFILES)
    it(`${profile.id}: numbers in their domain, sources named, ranges around estimates`, () => {
      const all = armProfileQuantities(profile);
      expect(all.length).toBeGreaterThan(40);
      for (const [key, { value, unit, basis, source, range }] of all) {
        expect(outOfDomain(value, unit), `${key}: ${allowedIn(unit)}`).toBe(false);
        expect(source.trim(), key).not.toBe("");
        if (basis === "estimate") expect(range, key).toBeDefined();
        if (range !== undefined) {
          expect(range[0], key).toBeLessThanOrEqual(value);
          expect(range[1], key).toBeGreaterThanOrEqual(value);
        }
      }
      const { l1d, l2, l3, dramLatency } = resolveArmProfile(profile).memory;
      expect(l1d.latency).toBeLessThan(l2.latency);
      expect(l2.latency).toBeLessThan(l3.latency);
      expect(l3.latency).toBeLessThan(dramLatency);
    });

  it("mark what nobody has published: AT, ISB, barriers and system registers", () => {
    const keys = armProfileEstimates(neoverseN1).map(({ key }) => key);
    for (const name of ["at", "isb", "dmb", "dsb", "exclusive", "sysregRead", "sysregWrite"])
      expect(keys).toContain(`timing.${name}`);
    expect(keys).not.toContain("memory.l1d.latency");
  });

  it("take overrides by path and refuse others", () => {
    const changed = withArmOverrides(neoverseN1, { "timing.at": 99, "memory.l2Dtlb.0.entries": 640 });
    expect(resolveArmProfile(changed).timing.at).toBe(99);
    expect(resolveArmProfile(changed).memory.l2Dtlb[0].entries).toBe(640);
    expect(resolveArmProfile(neoverseN1).timing.at).not.toBe(99);
    expect(() => withArmOverrides(neoverseN1, { "timing.lfence": 1 })).toThrow(
      /timing.lfence: no such number/,
    );
    expect(() => withArmOverrides(neoverseN1, { "timing.at": -1 })).toThrow(/at least 0/);
    expect(findArmProfile("neoverse-n1")).toBe(neoverseN1);
    expect(findArmProfile("epyc-9124")).toBeUndefined();
  });
});
