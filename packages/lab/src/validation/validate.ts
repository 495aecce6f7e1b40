import { mergeEstimates } from "../estimates.js";
import type { EstimateUsed } from "../result.js";
import { TOOL } from "../tool.js";
import { type ChaseTable, chaseTables } from "./chase-curves.js";
import { Experiments } from "./experiments.js";
import {
  errorOf,
  type FigureMark,
  type Likeness,
  type UnaskedFigure,
  type ValidationFigure,
} from "./figure.js";
import { type Predictions, predictions } from "./predictions.js";
import { INSTRUCTION_FIGURES } from "./published/instruction-costs.js";
import { COPY_FIGURES, WALK_FIGURES } from "./published/lookups.js";
import { MEMORY_FIGURES, NESTED_WALK_FIGURES } from "./published/memory.js";
import { NOTIFICATION_FIGURES } from "./published/notifications.js";
import { ARM_FIGURES, CONFIDENTIAL_FIGURES } from "./published/other-machines.js";
import { PATH_COUNT_FIGURES } from "./published/path-counts.js";
import { ROUND_TRIP_FIGURES } from "./published/round-trips.js";
import { SAVING_FIGURES } from "./published/savings.js";
import { UNASKED } from "./published/unasked.js";
import { type SavingInputs, savingInputs } from "./saving-inputs.js";
import { LONG_PARTS, VALIDATION_PARTS, type ValidationPartName } from "./validation-parts.js";

/** One published figure beside what came out. */
export interface FigureResult {
  readonly id: string;
  readonly what: string;
  readonly where: string;
  readonly asked: string;
  /** The least and the most; equal for one figure. */
  readonly published: readonly [number, number];
  readonly predicted: number;
  readonly unit: string;
  /** Share of the nearer end of what was published: 0 within it; `null` of a published 0 that was missed. */
  readonly error: number | null;
  readonly mark: FigureMark;
  readonly source: string;
  readonly unknown?: string;
  readonly likeness: Likeness;
  /** Inputs that were taken from this very figure. */
  readonly calibrated: readonly string[];
  /** Keys of the estimates that the prediction rests on. */
  readonly estimates: readonly string[];
}

/** One part of a validation. */
export interface ValidationPart {
  readonly name: ValidationPartName;
  readonly title: string;
  readonly figures: readonly FigureResult[];
  /** Of `saving`: what it depends on. */
  readonly inputs?: SavingInputs;
  /** Of `predictions`. */
  readonly predictions?: Predictions;
  /** Of `pointer-chase`. */
  readonly curves?: readonly ChaseTable[];
}

/** Plain data, the same bytes every time. */
export interface ValidationDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly parts: readonly ValidationPart[];
  readonly unasked: readonly UnaskedFigure[];
  /** Those that any prediction rests on. */
  readonly estimates: readonly EstimateUsed[];
}

export interface ValidationRequest {
  /** Default: all but the long ones. */
  readonly parts?: readonly ValidationPartName[];
  /** Called before each part. */
  readonly onPart?: ((name: ValidationPartName) => void) | undefined;
}

interface PartSource {
  readonly title: string;
  readonly figures: readonly ValidationFigure[];
  readonly more?: (experiments: Experiments) => Pick<ValidationPart, "inputs" | "predictions" | "curves">;
}

const SOURCES: Readonly<Record<ValidationPartName, PartSource>> = {
  copies: { title: "Look-ups and reads of one guest copy", figures: COPY_FIGURES },
  walks: { title: "References of a cold page walk", figures: WALK_FIGURES },
  instructions: { title: "Instructions of Xen's paths", figures: PATH_COUNT_FIGURES },
  predictions: {
    title: "Predicted, not counted yet",
    figures: [],
    more: (experiments) => ({ predictions: predictions(experiments) }),
  },
  saving: {
    title: "The published 30 %",
    figures: SAVING_FIGURES,
    more: (experiments) => ({ inputs: savingInputs(experiments) }),
  },
  "round-trips": { title: "Round trips", figures: ROUND_TRIP_FIGURES },
  notifications: { title: "Ways to notify a device", figures: NOTIFICATION_FIGURES },
  confidential: { title: "Encrypted guests", figures: CONFIDENTIAL_FIGURES },
  arm: { title: "Arm", figures: ARM_FIGURES },
  "instruction-costs": { title: "Instructions without a hypervisor", figures: INSTRUCTION_FIGURES },
  memory: { title: "Caches and TLBs", figures: MEMORY_FIGURES },
  "pointer-chase": {
    title: "Memory hierarchy: a pointer chase",
    figures: NESTED_WALK_FIGURES,
    more: (experiments) => ({ curves: chaseTables(experiments) }),
  },
};

/**
 * Asks the simulator for every published figure that it can be asked for.
 * @throws RangeError for a part that does not exist, or none
 */
export function validate({ parts, onPart }: ValidationRequest = {}): ValidationDocument {
  const chosen = parts ?? VALIDATION_PARTS.filter((name) => !LONG_PARTS.includes(name));
  const unknown = chosen.find((name) => !VALIDATION_PARTS.includes(name));
  if (unknown !== undefined)
    throw new RangeError(`parts: "${unknown}" does not exist; allowed: ${VALIDATION_PARTS.join(", ")}`);
  if (chosen.length === 0)
    throw new RangeError(`parts: none is given; allowed: ${VALIDATION_PARTS.join(", ")}`);
  const experiments = new Experiments();
  const estimates: (readonly EstimateUsed[])[] = [];
  const results = VALIDATION_PARTS.filter((name) => chosen.includes(name)).map((name): ValidationPart => {
    onPart?.(name);
    const { title, figures, more } = SOURCES[name];
    // Curves come first: what figures ask of the same machines is then known.
    const further = more?.(experiments);
    return {
      name,
      title,
      figures: figures.map((figure) => {
        const prediction = figure.predict(experiments);
        estimates.push(prediction.estimates);
        return resultOf(figure, prediction.value, prediction.estimates);
      }),
      ...further,
    };
  });
  return { tool: TOOL, parts: results, unasked: UNASKED, estimates: mergeEstimates(estimates) };
}

function resultOf(
  figure: ValidationFigure,
  predicted: number,
  estimates: readonly EstimateUsed[],
): FigureResult {
  const { published, predict: _predict, ...rest } = figure;
  return {
    ...rest,
    published: typeof published === "number" ? [published, published] : published,
    predicted,
    error: errorOf(figure, predicted) ?? null,
    estimates: estimates.map(({ key }) => key),
  };
}

/** Every figure of every part, the long ones too. */
export function validationFigures(): readonly ValidationFigure[] {
  return VALIDATION_PARTS.flatMap((name) => SOURCES[name].figures);
}
