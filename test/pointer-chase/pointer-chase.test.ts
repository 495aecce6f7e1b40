import { PROFILES, resolveProfile } from "@hyperwalk/cpu";
import { describe, expect, test } from "vitest";
import { PointerChase } from "../../packages/lab/src/validation/pointer-chase.js";
import { PUBLISHED_CURVES } from "../../packages/lab/src/validation/published/pointer-chase.js";

test("every processor profile stands beside a published curve", () => {
  expect(Object.keys(PUBLISHED_CURVES).sort()).toEqual(PROFILES.map(({ id }) => id).sort());
});

describe.each(PROFILES.map((profile) => [profile.id, profile] as const))("%s", (_id, profile) => {
  const { memory } = resolveProfile(profile);
  const machine = new PointerChase(profile, 1024);
  const native = { placement: "random line", leaf: "4k", nested: undefined } as const;
  const l1Entries = memory.l1Dtlb.find(({ pages }) => pages.includes("4k"))!.entries;
  const lines = memory.l1d.bytes / 64;

  test("few pages cost L1's latency, natively and nested", () => {
    for (const nested of [undefined, "4k", "2m"] as const)
      expect(machine.run({ ...native, pages: 8, nested }).latency).toBe(memory.l1d.latency);
  });

  test("one line at the same place of more pages than L1 has ways comes from L2", () => {
    const pages = 2 * memory.l1d.ways;
    const { latency, references } = machine.run({ ...native, pages, placement: "same line" });
    expect(latency).toBeCloseTo(memory.l2.latency, 5);
    expect(references).toBe(0);
  });

  test("more pages than the first TLB level holds cost the second level's latency on top", () => {
    const pages = 2 * l1Entries;
    const { latency, references } = machine.run({ ...native, pages });
    // Some sets of L1 may hold more lines than they have ways.
    const floor = memory.l1d.latency + memory.l2TlbLatency;
    expect(latency).toBeGreaterThanOrEqual(pages < lines ? floor : memory.l2.latency);
    expect(latency).toBeLessThan(memory.l2.latency + memory.l2TlbLatency + 1);
    expect(references).toBe(0);
  });

  test("2 MiB leaves save the TLB's part", () => {
    const pages = 2 * l1Entries;
    const small = machine.run({ ...native, pages });
    const large = machine.run({ ...native, pages, leaf: "2m" });
    expect(small.latency - large.latency).toBeCloseTo(memory.l2TlbLatency, 5);
  });
});
