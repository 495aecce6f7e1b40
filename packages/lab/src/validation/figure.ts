import type { PublishedMark } from "../published-transports.js";
import type { EstimateUsed } from "../result.js";
import type { Experiments } from "./experiments.js";

/** How a published figure is known; the first three as in {@link PublishedMark}. */
export type FigureMark = PublishedMark | "V" | "A" | "X";

/** What the marks mean. */
export const FIGURE_MARKS: Readonly<Record<FigureMark, string>> = {
  M: "measured, and read in the source named",
  S: "read in a secondary source",
  R: "recalled, not verified: no primary text was found",
  V: "a vendor's statement",
  A: "architectural rule",
  X: "counted in a run of the real hypervisor",
};

/** What the simulator says, and what that rests on. */
export interface Prediction {
  readonly value: number;
  readonly estimates: readonly EstimateUsed[];
}

/** Whether the simulator models what was measured: the very part and software, or something related to it. */
export type Likeness = "same" | "near" | "far";

export const LIKENESS: Readonly<Record<Likeness, string>> = {
  same: "the part and the software that are modelled, as far as the publication says",
  near: "another part of the same core, or conditions that the publication leaves open",
  far: "another generation, another hypervisor or another experiment: no more than an order of magnitude",
};

/** A figure that somebody published, and how the simulator is asked for it. */
export interface ValidationFigure {
  /** Unique, stable. */
  readonly id: string;
  readonly what: string;
  /** Where it was measured, counted or stated. */
  readonly where: string;
  /** What was asked here in its place. */
  readonly asked: string;
  /** One figure, or the least and the most. */
  readonly published: number | readonly [number, number];
  readonly unit: string;
  readonly mark: FigureMark;
  readonly source: string;
  /** What the publication does not say and the figure depends on. */
  readonly unknown?: string;
  readonly likeness: Likeness;
  /** Inputs of the simulator that were taken from this very figure; empty: none was. */
  readonly calibrated: readonly string[];
  predict(experiments: Experiments): Prediction;
}

/** A published figure that the simulator cannot be asked for. */
export interface UnaskedFigure {
  readonly what: string;
  readonly published: string;
  readonly source: string;
  readonly mark: FigureMark;
  readonly why: string;
}

/**
 * How far a prediction is from what was published, as a share of the nearer end: 0 within a published range. `undefined` of a
 * published 0 that was missed.
 */
export function errorOf(
  { published }: Pick<ValidationFigure, "published">,
  predicted: number,
): number | undefined {
  const [least, most] = typeof published === "number" ? [published, published] : published;
  if (predicted >= least && predicted <= most) return 0;
  const nearer = predicted < least ? least : most;
  return nearer === 0 ? undefined : predicted / nearer - 1;
}
