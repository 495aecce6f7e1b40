import type { MemoryProfile } from "@hyperwalk/mmu";
import fc from "fast-check";
import { SMALL, ZEN4 } from "../machine.js";
import type { Step, StepName } from "./sequence.js";
import { HOST_WIDTH } from "./world.js";

const step = (
  name: StepName,
  weight: number,
  picks: number = 2 ** 31,
): { weight: number; arbitrary: fc.Arbitrary<Step> } => ({
  weight,
  arbitrary: fc.record({
    step: fc.constant(name),
    pick: fc.integer({ min: 0, max: picks - 1 }),
    how: fc.nat({ max: 119 }),
  }),
});

const STEPS = [
  step("access", 14),
  step("wild", 1),
  step("edit", 4),
  step("invalidate", 3),
  step("control", 2),
  step("switch", 2),
];

function worlds(steps: typeof STEPS): fc.Arbitrary<{ seed: number; steps: Step[] }> {
  return fc.record({
    seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    steps: fc.array(fc.oneof(...steps), { minLength: 10, maxLength: 80, size: "max" }),
  });
}

/** A world by its seed, and what happens in it. */
export const sequences: fc.Arbitrary<{ seed: number; steps: Step[] }> = worlds(STEPS);

/** The same with timing switched off and on in between, and more accesses to the same pages. */
export const sequencesWithTiming: fc.Arbitrary<{ seed: number; steps: Step[] }> = worlds([
  ...STEPS,
  step("access", 80, 2),
  step("timing", 4),
]);

const ZEN4_WIDE: MemoryProfile = { ...ZEN4, physicalAddressBits: HOST_WIDTH };

/** Shapes of caches that must not make a difference. */
export const PROFILES: Readonly<Record<string, MemoryProfile>> = {
  "one array for all page sizes": SMALL,
  "an array a page size, random and tree-plru, shared second level, no walker caches": {
    ...SMALL,
    l1Dtlb: [
      { entries: 4, ways: 2, pages: ["4k"], replacement: "tree-plru" },
      { entries: 2, ways: 2, pages: ["2m"], replacement: "random" },
    ],
    l1Itlb: [{ entries: 4, ways: 4, pages: ["4k", "2m"], replacement: "random" }],
    l2Dtlb: [{ entries: 12, ways: 4, pages: ["4k", "2m"], replacement: "random" }],
    l2Itlb: [],
    pagingStructureCaches: [],
    nestedPagingStructureCaches: [],
    nestedTlb: { entries: 0, ways: 1 },
  },
  "one entry each, first level without large pages": {
    ...SMALL,
    l1Dtlb: [{ entries: 1, ways: 1, pages: ["4k"], replacement: "random" }],
    l1Itlb: [{ entries: 1, ways: 1, pages: ["4k"], replacement: "lru" }],
    l2Dtlb: [{ entries: 4, ways: 1, pages: ["4k", "1g"], replacement: "tree-plru" }],
    l2Itlb: [{ entries: 2, ways: 2, pages: ["2m"], replacement: "lru" }],
    pagingStructureCaches: [{ levels: [2, 3, 4, 5], entries: 1, ways: 1 }],
    nestedPagingStructureCaches: [{ levels: [2, 4], entries: 2, ways: 1 }],
    nestedTlb: { entries: 1, ways: 1 },
  },
  "large enough for everything": ZEN4_WIDE,
};
