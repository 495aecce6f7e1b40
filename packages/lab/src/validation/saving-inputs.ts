import { saving } from "../published.js";
import type { CompareDocument, GuestPage, P2mPage } from "../result.js";
import type { Experiments } from "./experiments.js";

/** What the saving of physical addresses is when one thing is changed. */
export interface SavingRow {
  readonly changed: string;
  /** The least and the most over the setting's range, without IBPB on each exit and with it; `null`: it does not matter there. */
  readonly withoutIbpb: readonly [number, number] | null;
  readonly withIbpb: readonly [number, number] | null;
}

/** Cycles of the published comparison as it is here. */
export interface SavingCycles {
  readonly ibpb: boolean;
  readonly linear: number;
  readonly physaddr: number;
  readonly fastabi: number;
  /** Of the linear call: branches that a predictor without history gets wrong. */
  readonly branches: number;
  /** What both interfaces would have to cost more for the saving to be the published one. */
  readonly missing: number;
}

export interface SavingInputs {
  readonly cycles: readonly SavingCycles[];
  readonly rows: readonly SavingRow[];
}

const MACHINE = "epyc-9124";
const PUBLISHED_SAVING = 0.3;
/** Enough: each call is like the next. */
const ITERATIONS = 1024;

interface Setting {
  readonly overrides?: Readonly<Record<string, number>>;
  readonly guestPage?: GuestPage;
  readonly p2mPage?: P2mPage;
}

const RANGES = {
  issue: { "timing.issue": [0.25, 1] },
  exit: { "timing.vmentry": [350, 690], "timing.vmexit": [350, 690] },
  ibpb: { "timing.ibpb": [200, 4000] },
} as const;

const at = (ranges: Readonly<Record<string, readonly [number, number]>>, end: 0 | 1): Setting => ({
  overrides: Object.fromEntries(Object.entries(ranges).map(([key, range]) => [key, range[end]])),
});
const favourable: Setting = {
  overrides: {
    ...at(RANGES.issue, 1).overrides,
    ...at(RANGES.exit, 0).overrides,
    ...at(RANGES.ibpb, 0).overrides,
  },
};
const unfavourable: Setting = {
  overrides: {
    ...at(RANGES.issue, 0).overrides,
    ...at(RANGES.exit, 1).overrides,
    ...at(RANGES.ibpb, 1).overrides,
  },
};

const ROWS: readonly (readonly [changed: string, settings: readonly Setting[], onlyWithIbpb?: true])[] = [
  ["nothing", [{}]],
  ["`timing.issue` 0.25 to 1 (sustained IPC 4 to 1)", [at(RANGES.issue, 0), at(RANGES.issue, 1)]],
  ["`timing.vmentry` and `timing.vmexit` 350 to 690", [at(RANGES.exit, 0), at(RANGES.exit, 1)]],
  ["`timing.ibpb` 200 to 4,000", [at(RANGES.ibpb, 0), at(RANGES.ibpb, 1)], true],
  ["all of these at the ends that save least, and most", [unfavourable, favourable]],
  ["2 MiB p2m leaves", [{ p2mPage: "2m" }]],
  ["2 MiB guest leaves", [{ guestPage: "2m" }]],
  ["2 MiB leaves on both sides", [{ guestPage: "2m", p2mPage: "2m" }]],
];

/** What the published saving rests on: one input at a time over the whole of its range. */
export function savingInputs(experiments: Experiments): SavingInputs {
  const savingAt = (ibpbEntry: boolean, setting: Setting): number => {
    const { runs } = experiments.compare({
      machine: MACHINE,
      abis: ["linear", "physaddr"],
      iterations: ITERATIONS,
      mitigations: { ibpbEntry },
      ...setting,
    });
    return saving(runs[1], runs[0]) ?? Number.NaN;
  };
  const range = (ibpb: boolean, settings: readonly Setting[]): readonly [number, number] => {
    const found = settings.map((setting) => savingAt(ibpb, setting));
    return [Math.min(...found), Math.max(...found)];
  };
  return {
    cycles: [false, true].map((ibpb) =>
      cyclesOf(ibpb, experiments.compare({ machine: MACHINE, mitigations: { ibpbEntry: ibpb } })),
    ),
    rows: ROWS.map(([changed, settings, onlyWithIbpb]) => ({
      changed,
      withoutIbpb: onlyWithIbpb === true ? null : range(false, settings),
      withIbpb: range(true, settings),
    })),
  };
}

function cyclesOf(ibpb: boolean, { runs }: CompareDocument): SavingCycles {
  const [linear, physaddr, fastabi] = runs.map(({ cyclesPerCall }) => cyclesPerCall ?? Number.NaN);
  const branches = runs[0].ledger.filter(({ cause }) => cause === "branch");
  return {
    ibpb,
    linear,
    physaddr,
    fastabi,
    branches: branches.reduce((sum, { cyclesPerCall }) => sum + cyclesPerCall, 0),
    missing: (linear - physaddr) / PUBLISHED_SAVING - linear,
  };
}
