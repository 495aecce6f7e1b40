import type { AbiName, CompareDocument, HostName } from "../result.js";

/** One run of the comparison, under the prices of a moment. */
export interface SensitivityFigure {
  /** As in the comparison; `null` when the guest made no hypercall or ended badly. */
  readonly cyclesPerCall: number | null;
  /** Share of cycles saved against the first run; `null` for the first itself, or where either has none. */
  readonly saving: number | null;
}

/** What the runs gave with one estimate, or all, at an end of its range. */
export interface SensitivityEnd {
  /** The number used: the range's end, or the nearest to it within the range that makes a machine. */
  readonly value: number;
  /** Why it is not the range's end; only where it is not. */
  readonly moved?: string;
  /** One for each run, in their order. */
  readonly figures: readonly SensitivityFigure[];
}

/** One estimate, and the figures at both ends of its range with all else as it was. */
export interface SensitivityInput {
  readonly key: string;
  readonly unit: string;
  readonly value: number;
  readonly range: readonly [number, number];
  readonly source: string;
  readonly low: SensitivityEnd;
  readonly high: SensitivityEnd;
  /**
   * What it moves, largest less smallest of the figures at the low end, at its value and at the high end: one for each run, by
   * which the inputs are ranked.
   */
  readonly swing: readonly SensitivityFigure[];
}

/** An estimate that was not varied, and why. */
export interface SensitivityRest {
  readonly key: string;
  readonly value: number;
  readonly why: string;
}

/** A run's figure with all estimates together at the ends that lower it, and at those that raise it. */
export interface JointInterval {
  /** Saving for all runs but the first; cycles per call for the first. */
  readonly of: "saving" | "cyclesPerCall";
  readonly low: number | null;
  readonly high: number | null;
  /** Estimates that stay at their value at the low or the high end, because the others leave no machine otherwise. */
  readonly leftOut: readonly string[];
}

/** Which estimates matter how much for a comparison: plain data, the same bytes for the same inputs. */
export interface SensitivityDocument {
  readonly tool: CompareDocument["tool"];
  readonly machine: CompareDocument["machine"];
  readonly host: CompareDocument["host"];
  readonly guest: CompareDocument["guest"];
  readonly iterations: number;
  /** The runs compared, the first of which the others' savings are against. */
  readonly runs: readonly { readonly host?: HostName; readonly abi: AbiName }[];
  /** With every estimate at its value; one for each run. */
  readonly baseline: readonly SensitivityFigure[];
  /** Most important first: by the swing of a saving, or of cycles per call where there is one run alone. */
  readonly inputs: readonly SensitivityInput[];
  readonly notVaried: readonly SensitivityRest[];
  /** One for each run. */
  readonly joint: readonly JointInterval[];
  /** What {@link joint} means and what it does not. */
  readonly jointNote: string;
}

/** What a joint interval is, in words. */
export const JOINT_NOTE: string =
  "Every estimate at once at that end of its range which, moved alone, lowers (raises) the figure. Where estimates act " +
  "separately and each in one direction no other choice within the ranges goes further; where they act on each other some " +
  "may. It supposes that all are wrong to the full and in the same sense: a bound to doubt with, not a likely interval.";
