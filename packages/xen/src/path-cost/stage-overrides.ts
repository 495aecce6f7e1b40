import { composeStage, INSTRUCTIONS_PER_COLD_BRANCH } from "./compose.js";
import type { Stage } from "./stage.js";
import type { StageEstimate } from "./stage-path-cost.js";

/**
 * Prices of the modelled hypervisor by the keys that `estimates` lists: `stage.<name>` for the instructions of a stage, on
 * whichever vendor's path, and the two that all stages rest on.
 */
export type StagePriceRecord = Readonly<Record<string, number>>;

/** Before the name of a stage. */
export const STAGE_KEY = "stage.";
export const PER_COLD_BRANCH = "stages.instructionsPerColdBranch";
export const BYTES = "stages.bytesPerInstruction";
/** Average bytes of an instruction. */
const BYTES_PER_INSTRUCTION = 4;
const OVERRIDE = "override";

/**
 * The stages as they are with some prices replaced. A stage that is replaced keeps what it says of its own code (branches,
 * lines of a loop), touches and special instructions; one composed of it is composed again.
 */
export class StageOverrides {
  /** Instructions for each branch site that a cold predictor gets wrong once. */
  readonly instructionsPerColdBranch: number;
  readonly bytesPerInstruction: number;
  /** What was asked for, keys in order. */
  readonly prices: StagePriceRecord;
  private readonly replaced = new Map<Stage, Stage>();

  /** @param prices as `checkStagePrices` accepts them */
  constructor(prices: StagePriceRecord = {}) {
    this.prices = Object.fromEntries(Object.entries(prices).sort(([a], [b]) => (a < b ? -1 : 1)));
    this.instructionsPerColdBranch = this.priceOf(PER_COLD_BRANCH) ?? INSTRUCTIONS_PER_COLD_BRANCH;
    this.bytesPerInstruction = this.priceOf(BYTES) ?? BYTES_PER_INSTRUCTION;
  }

  /** A stage at these prices: itself where nothing of it is replaced, else always the same object. */
  apply(stage: Stage): Stage {
    const known = this.replaced.get(stage);
    if (known !== undefined) return known;
    const priced = this.replace(stage);
    this.replaced.set(stage, priced);
    return priced;
  }

  /** What every stage's price rests on besides its own count. */
  modelEstimates(): readonly StageEstimate[] {
    return MODEL_ESTIMATES.map((estimate) => {
      const value = this.priceOf(estimate.key);
      return value === undefined ? estimate : { ...estimate, value, range: [value, value], source: OVERRIDE };
    });
  }

  private replace(stage: Stage): Stage {
    if (stage.parts !== undefined) {
      const parts = stage.parts.map((part) => this.apply(part));
      const isSame = parts.every((part, i) => part === stage.parts?.[i]);
      return isSame ? stage : { ...stage, ...composeStage(stage.name, stage.phase, parts) };
    }
    const instructions = this.priceOf(STAGE_KEY + stage.name);
    if (instructions === undefined) return stage;
    return {
      ...stage,
      instructions,
      basis: "estimate",
      source: OVERRIDE,
      range: [instructions, instructions],
    };
  }

  private priceOf(key: string): number | undefined {
    return Object.hasOwn(this.prices, key) ? this.prices[key] : undefined;
  }
}

const MODEL_ESTIMATES: readonly StageEstimate[] = [
  {
    key: PER_COLD_BRANCH,
    value: INSTRUCTIONS_PER_COLD_BRANCH,
    unit: "instructions",
    range: [6, 25],
    source:
      "branch sites that a cold predictor gets wrong once: typical density of taken branches in kernel code",
  },
  {
    key: BYTES,
    value: BYTES_PER_INSTRUCTION,
    unit: "bytes",
    range: [3.5, 5],
    source: "average length of x86-64 instructions in compiled kernel code",
  },
];
