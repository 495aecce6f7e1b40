import { type ProcessorProfile, withOverrides } from "@hyperwalk/cpu";
import { isStagePrice } from "@hyperwalk/xen";
import type { CompareDocument, EstimateUsed } from "../result.js";
import { type UsableEnd, usableEnd } from "./nearest-valid.js";
import type { SensitivityFigure, SensitivityInput, SensitivityRest } from "./sensitivity-document.js";

/** One comparison of an analysis: independent of all others, and plain data. */
export interface SensitivityRun {
  /** Numbers that differ from the request's, for `applyPrices`. */
  readonly set: Readonly<Record<string, number>>;
}

/** An estimate with both ends of its range as they can be used. */
export interface VariedEstimate {
  readonly estimate: EstimateUsed & { readonly range: readonly [number, number] };
  readonly low: UsableEnd;
  readonly high: UsableEnd;
}

/** Why an estimate is left that is not among the keys. */
export const NOT_ASKED = "it was not asked for";

/** What is run after the baseline: of each estimate first the low end, then the high one, without those that are its value. */
export interface SensitivityPlan {
  readonly varied: readonly VariedEstimate[];
  readonly notVaried: readonly SensitivityRest[];
  readonly runs: readonly SensitivityRun[];
}

/** @param baseline of the machine with its estimates as they are @param keys only these; default all */
export function planSensitivity(
  baseline: Pick<CompareDocument, "estimates">,
  machine: ProcessorProfile,
  keys?: readonly string[],
): SensitivityPlan {
  const varied: VariedEstimate[] = [];
  const notVaried: SensitivityRest[] = [];
  for (const estimate of baseline.estimates) {
    const { key, value, range } = estimate;
    const why = reasonToLeave(estimate, keys);
    if (why !== undefined) notVaried.push({ key, value, why });
    else if (range !== null)
      varied.push({
        estimate: { ...estimate, range },
        low: endOf(machine, key, value, range[0]),
        high: endOf(machine, key, value, range[1]),
      });
  }
  const runs = varied.flatMap(({ estimate, low, high }) =>
    [low, high]
      .filter(({ value }) => value !== estimate.value)
      .map(({ value }) => ({ set: { [estimate.key]: value } })),
  );
  return { varied, notVaried, runs };
}

function reasonToLeave({ key, range }: EstimateUsed, keys?: readonly string[]): string | undefined {
  if (range === null) return "it has no range";
  if (range[0] === range[1]) return "its range is one number";
  if (key.startsWith("sev.")) return "it is no number of a profile or of a stage";
  return keys === undefined || keys.includes(key) ? undefined : NOT_ASKED;
}

function endOf(machine: ProcessorProfile, key: string, value: number, end: number): UsableEnd {
  return isStagePrice(key) ? { value: end } : usableEnd(machine, key, value, end);
}

/** A run's figures. */
export function figuresOf({ runs }: Pick<CompareDocument, "runs">): readonly SensitivityFigure[] {
  const cycles = runs.map(({ cyclesPerCall, exit }) => (exit.ok ? cyclesPerCall : null));
  const [first] = cycles;
  return cycles.map((cyclesPerCall, at) => ({
    cyclesPerCall,
    saving: at === 0 || cyclesPerCall === null || first === null ? null : 1 - cyclesPerCall / first,
  }));
}

/**
 * Figures at both ends of every estimate, most important first.
 * @param found of {@link SensitivityPlan.runs}, in their order
 */
export function sensitivityInputs(
  { varied }: Pick<SensitivityPlan, "varied">,
  baseline: readonly SensitivityFigure[],
  found: readonly (readonly SensitivityFigure[])[],
): readonly SensitivityInput[] {
  let next = 0;
  const inputs = varied.map(({ estimate, low, high }): SensitivityInput => {
    const figuresAt = ({ value }: UsableEnd) => (value === estimate.value ? baseline : found[next++]);
    const atLow = { ...low, figures: figuresAt(low) };
    const atHigh = { ...high, figures: figuresAt(high) };
    const { key, unit, value, range, source } = estimate;
    const swing = baseline.map((figure, run) => {
      const all = [atLow.figures[run], figure, atHigh.figures[run]];
      return {
        cyclesPerCall: spread(all.map(({ cyclesPerCall }) => cyclesPerCall)),
        saving: spread(all.map(({ saving }) => saving)),
      };
    });
    return { key, unit, value, range, source, low: atLow, high: atHigh, swing };
  });
  return inputs.sort(
    (a, b) => importance(b) - importance(a) || cycles(b) - cycles(a) || (a.key < b.key ? -1 : 1),
  );
}

function spread(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length < values.length ? null : Math.max(...known) - Math.min(...known);
}

function importance({ swing }: SensitivityInput): number {
  return Math.max(...swing.map(({ saving }) => saving ?? 0));
}

function cycles({ swing }: SensitivityInput): number {
  return Math.max(...swing.map(({ cyclesPerCall }) => cyclesPerCall ?? 0));
}

/** Runs of the joint intervals: for each run of the comparison all estimates where they lower its figure, then where they raise it. */
export interface JointPlan {
  readonly leftOut: readonly (readonly string[])[];
  readonly runs: readonly SensitivityRun[];
}

export function planJoint(
  inputs: readonly SensitivityInput[],
  baseline: readonly SensitivityFigure[],
  machine: ProcessorProfile,
): JointPlan {
  const leftOut: (readonly string[])[] = [];
  const runs: SensitivityRun[] = [];
  baseline.forEach((_, run) => {
    const both = ([-1, 1] as const).map((sense) => corner(inputs, baseline, run, sense, machine));
    runs.push(...both.map(({ set }) => ({ set })));
    leftOut.push([...new Set(both.flatMap((each) => each.leftOut))].sort());
  });
  return { leftOut, runs };
}

/** Which figure of a run its joint interval is of. */
export function jointFigure(run: number): "saving" | "cyclesPerCall" {
  return run === 0 ? "cyclesPerCall" : "saving";
}

/** All estimates at their better end for one run's figure, in the order of their importance. */
function corner(
  inputs: readonly SensitivityInput[],
  baseline: readonly SensitivityFigure[],
  run: number,
  sense: 1 | -1,
  machine: ProcessorProfile,
): { readonly set: Readonly<Record<string, number>>; readonly leftOut: readonly string[] } {
  const of = jointFigure(run);
  const set: Record<string, number> = {};
  const leftOut: string[] = [];
  const gain = (figures: readonly SensitivityFigure[]) =>
    sense * ((figures[run][of] ?? Number.NaN) - (baseline[run][of] ?? Number.NaN));
  let placed = machine;
  for (const { key, value, low, high } of inputs) {
    const better = gain(low.figures) >= gain(high.figures) ? low : high;
    if (!(gain(better.figures) > 0)) continue;
    if (isStagePrice(key)) {
      set[key] = better.value;
      continue;
    }
    // Others may have left no room for this one.
    const usable = usableEnd(placed, key, value, better.value);
    if (usable.value === value) leftOut.push(key);
    else {
      set[key] = usable.value;
      placed = withOverrides(placed, { [key]: usable.value });
    }
  }
  return { set, leftOut };
}
