import { PROFILES, resolveProfile } from "@hyperwalk/cpu";
import type { Experiments } from "../experiments.js";
import { profileOf } from "../experiments.js";
import type { Likeness, ValidationFigure } from "../figure.js";
import { PUBLISHED_CURVES } from "./pointer-chase.js";

/** What the published curves say of the second TLB level over the first, cycles. */
const TLB_PENALTY: Readonly<Record<string, number>> = {
  "epyc-9124": 5,
  "epyc-7763": 5,
  "skylake-sp": 9,
  "sapphire-rapids": 7,
};
const LIKENESS_OF: Readonly<Record<string, Likeness>> = { "sapphire-rapids": "far" };
const MOST = 1024;
const RANDOM = { placement: "random line", leaf: "4k", nested: undefined } as const;

function tlbPenalty(experiments: Experiments, machine: string): number {
  const { l1Dtlb } = resolveProfile(profileOf({ machine })).memory;
  const first = l1Dtlb.find(({ pages }) => pages.includes("4k"))?.entries ?? 0;
  const pages = 2 * first;
  const small = experiments.chase(machine, MOST, { ...RANDOM, pages });
  const large = experiments.chase(machine, MOST, { ...RANDOM, leaf: "2m", pages });
  return small.latency - large.latency;
}

const figuresOf = (machine: string): ValidationFigure[] => {
  const { part, source, cycles } = PUBLISHED_CURVES[machine];
  const base = {
    where: part,
    asked: `${machine}, pointer chase`,
    unit: "cycles",
    mark: "M",
    source,
    likeness: LIKENESS_OF[machine] ?? "near",
  } as const;
  return [
    {
      ...base,
      id: `memory/${machine}/l1`,
      what: "load-to-use, 8 pages: L1",
      published: cycles[8],
      calibrated: ["memory.l1d.latency"],
      predict: (experiments) => ({
        value: experiments.chase(machine, MOST, { ...RANDOM, pages: 8 }).latency,
        estimates: [],
      }),
    },
    {
      ...base,
      id: `memory/${machine}/l2`,
      what: "load-to-use, one line at the same place of 32 pages: L2",
      published: cycles[32],
      calibrated: ["memory.l2.latency, by the same table with a smaller stride"],
      predict: (experiments) => ({
        value: experiments.chase(machine, MOST, { ...RANDOM, placement: "same line", pages: 32 }).latency,
        estimates: [],
      }),
    },
    {
      ...base,
      id: `memory/${machine}/l2-tlb`,
      what: "second TLB level over the first",
      published: TLB_PENALTY[machine],
      calibrated: ["memory.l2TlbLatency"],
      predict: (experiments) => ({ value: tlbPenalty(experiments, machine), estimates: [] }),
    },
  ];
};

/** What single points of the published curves say. */
export const MEMORY_FIGURES: readonly ValidationFigure[] = PROFILES.flatMap(({ id }) => figuresOf(id));

const MOST_PAGES = 262144;

const gups = (what: string, published: number, leaf: "4k" | "2m"): ValidationFigure => ({
  id: `nested/gups/${leaf}`,
  what: `gups in a guest, to native: ${what}`,
  where: "Xeon Gold 6252 (Cascade Lake), KVM, local memory",
  asked: "skylake-sp: pointer chase over 1 GiB, nested to native",
  published,
  unit: "ratio",
  mark: "M",
  source:
    "vMitosis artifact, raw counters; its working set is many times larger, and its accesses do not wait for each other",
  likeness: "far",
  calibrated: [],
  predict: (experiments) => {
    const options = { ...RANDOM, leaf, pages: MOST_PAGES };
    const nested = experiments.chase("skylake-sp", MOST_PAGES, { ...options, nested: leaf });
    return {
      value: nested.latency / experiments.chase("skylake-sp", MOST_PAGES, options).latency,
      estimates: [],
    };
  },
});

/** Those that need a large pointer chase. */
export const NESTED_WALK_FIGURES: readonly ValidationFigure[] = [
  gups("4 KiB pages on both sides", 1.94, "4k"),
  gups("2 MiB pages on both sides", 1.2, "2m"),
];
