import { ProcessorStorage } from "@hyperwalk/cpu";
import { applyPrices, createXenSystem } from "@hyperwalk/xen";
import { type CompareRequest, compare } from "../compare.js";
import { DEFAULT_SENSITIVITY_ITERATIONS } from "../defaults.js";
import type { CompareDocument } from "../result.js";
import type { SystemFactory } from "../simulated-system.js";
import {
  JOINT_NOTE,
  type JointInterval,
  type SensitivityDocument,
  type SensitivityFigure,
} from "./sensitivity-document.js";
import {
  figuresOf,
  jointFigure,
  planJoint,
  planSensitivity,
  type SensitivityRun,
  sensitivityInputs,
} from "./sensitivity-plan.js";

/** A comparison, and which of its estimates to vary. */
export interface SensitivityRequest extends CompareRequest {
  /** Default {@link DEFAULT_SENSITIVITY_ITERATIONS}. */
  readonly iterations?: number;
  /** Only these estimates; default all that the baseline rests on. */
  readonly keys?: readonly string[] | undefined;
}

/** How the comparisons of an analysis are run. */
export interface SensitivityRunning {
  /**
   * Runs comparisons that do not depend on each other, wherever it likes, and returns their figures in the same order: what
   * {@link sensitivityFigures} gives for each. Default here, one after the other.
   */
  readonly runAll?: (runs: readonly SensitivityRun[]) => Promise<readonly (readonly SensitivityFigure[])[]>;
  /** Told how many comparisons there will be, once that is known; waited for. */
  readonly started?: (all: number) => Promise<void>;
  /** Told after each comparison that is run here. */
  readonly progress?: (done: number, all: number) => void;
  /** Makes the systems of comparisons that are run here; default Xen. */
  readonly createSystem?: SystemFactory;
}

/** An estimate was to be varied that no run of the comparison rests on. */
export class UnknownEstimateError extends RangeError {
  override readonly name = "UnknownEstimateError";
  readonly key: string;
  /** Those that the runs rest on. */
  readonly allowed: string;

  constructor(key: string, keys: readonly string[]) {
    const allowed = keys.join("; ");
    super(`keys: no run rests on ${key}; allowed: ${allowed}`);
    this.key = key;
    this.allowed = allowed;
  }
}

/** The request with some prices in the place of its own. @throws ProfileError for a key that there is not */
export function repriced(request: CompareRequest, { set }: SensitivityRun): CompareRequest {
  const { profile, prices } = applyPrices(request.machine, set);
  return { ...request, machine: profile, prices: { ...request.prices, ...prices } };
}

/** Figures of one comparison of an analysis. @throws what `compare` throws */
export function sensitivityFigures(
  request: SensitivityRequest,
  run: SensitivityRun,
  createSystem: SystemFactory = createXenSystem,
): readonly SensitivityFigure[] {
  return figuresOf(compare(repriced(withIterations(request), run), createSystem));
}

/**
 * Pushes each estimate that a comparison rests on to both ends of its range, all else equal, and all of them together, and
 * says what that does to every run's cycles and savings. Everything is simulated anew: nothing is extrapolated.
 * @throws what `compare` throws, and UnknownEstimateError for `keys` that the comparison does not rest on
 */
export async function sensitivity(
  request: SensitivityRequest,
  running: SensitivityRunning = {},
): Promise<SensitivityDocument> {
  const { createSystem = createXenSystem, progress } = running;
  const asked = withIterations(request);
  const storage = new ProcessorStorage();
  const { keys, machine } = asked;
  const document: CompareDocument = compare({ storage, ...asked }, createSystem);
  const unknown = keys?.find((key) => !document.estimates.some((estimate) => estimate.key === key));
  if (unknown !== undefined)
    throw new UnknownEstimateError(
      unknown,
      document.estimates.map(({ key }) => key),
    );
  const baseline = figuresOf(document);
  const plan = planSensitivity(document, machine, keys);
  let done = 0;
  const all = plan.runs.length + 2 * baseline.length;
  await running.started?.(all);
  const runAll =
    running.runAll ??
    (async (runs: readonly SensitivityRun[]) =>
      runs.map((run) => {
        const figures = sensitivityFigures({ storage, ...asked }, run, createSystem);
        progress?.(++done, all);
        return figures;
      }));
  const inputs = sensitivityInputs(plan, baseline, await runAll(plan.runs));
  const jointPlan = planJoint(inputs, baseline, machine);
  const corners = await runAll(jointPlan.runs);
  const joint = baseline.map((_, run): JointInterval => {
    const of = jointFigure(run);
    const [low, high] = [corners[2 * run], corners[2 * run + 1]].map((figures) => figures[run][of]);
    return { of, low, high, leftOut: jointPlan.leftOut[run] };
  });
  return {
    tool: document.tool,
    machine: document.machine,
    host: document.host,
    guest: document.guest,
    iterations: asked.iterations,
    runs: document.runs.map(({ host, abi }) => (host === undefined ? { abi } : { host, abi })),
    baseline,
    inputs,
    notVaried: plan.notVaried,
    joint,
    jointNote: JOINT_NOTE,
  };
}

function withIterations(request: SensitivityRequest): SensitivityRequest & { readonly iterations: number } {
  return { ...request, iterations: request.iterations ?? DEFAULT_SENSITIVITY_ITERATIONS };
}
