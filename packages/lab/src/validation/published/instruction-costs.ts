import { profileEstimates } from "@hyperwalk/cpu";
import type { BareInstruction } from "../bare-loop.js";
import { profileOf } from "../experiments.js";
import type { Likeness, ValidationFigure } from "../figure.js";

/** A part whose instructions somebody timed, and the profile that stands for it. */
interface TimedPart {
  readonly machine: string;
  readonly part: string;
  readonly likeness: Likeness;
  readonly cycles: Readonly<Record<BareInstruction, number | readonly [number, number]>>;
}

const PARTS: readonly TimedPart[] = [
  {
    machine: "epyc-9124",
    part: "EPYC 9654 (Zen 4)",
    likeness: "same",
    cycles: {
      "CPUID leaf 0": [147, 149],
      "CPUID leaf 1": 168,
      RDTSC: 35.3,
      LFENCE: 10.1,
      MFENCE: 58.8,
      SFENCE: 1,
      PAUSE: 66,
      "PUSHF and POPF": 20.6,
    },
  },
  {
    machine: "epyc-7763",
    part: "Ryzen 7 5800X (Zen 3)",
    likeness: "near",
    cycles: {
      "CPUID leaf 0": 129,
      "CPUID leaf 1": 150,
      RDTSC: 36,
      LFENCE: 10,
      MFENCE: 61,
      SFENCE: 1,
      PAUSE: 65,
      "PUSHF and POPF": 21.5,
    },
  },
  {
    machine: "skylake-sp",
    part: "Xeon Platinum 8160",
    likeness: "same",
    cycles: {
      "CPUID leaf 0": 99,
      "CPUID leaf 1": 204,
      RDTSC: 25,
      LFENCE: 4.3,
      MFENCE: 33,
      SFENCE: 6,
      PAUSE: 140,
      "PUSHF and POPF": 24,
    },
  },
];

/** Prices that were taken from these very tables. */
const PRICES: Readonly<Partial<Record<BareInstruction, string>>> = {
  "CPUID leaf 0": "timing.cpuid",
  RDTSC: "timing.rdtsc",
  LFENCE: "timing.lfence",
  MFENCE: "timing.mfence",
  PAUSE: "timing.pause",
};

/** Instructions without a hypervisor. */
export const INSTRUCTION_FIGURES: readonly ValidationFigure[] = PARTS.flatMap(
  ({ machine, part, likeness, cycles }) =>
    (Object.keys(cycles) as BareInstruction[]).map((instruction): ValidationFigure => {
      const price = PRICES[instruction];
      return {
        id: `instruction/${machine}/${instruction}`,
        what: instruction,
        where: part,
        asked: machine,
        published: cycles[instruction],
        unit: "cycles",
        mark: "M",
        source: "InstLatx64, InstLatX64 dump",
        likeness,
        calibrated: price === undefined ? [] : [price],
        predict: (experiments) => ({
          value: experiments.bare(machine, instruction),
          // What has no price of its own is plain issue.
          estimates: profileEstimates(profileOf({ machine })).filter(
            ({ key }) => price === undefined && key === "timing.issue",
          ),
        }),
      };
    }),
);
