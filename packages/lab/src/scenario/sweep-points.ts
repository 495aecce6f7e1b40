import { checked, type ParsedScenario, type ScenarioSource } from "./parse-scenario.js";
import type { Scenario, SweepValue } from "./scenario.js";
import { ScenarioError } from "./scenario-error.js";
import { MAX_POINTS } from "./scenario-schema.js";

/** Keys that an axis may change, besides `machine.set.<number>`. */
export const AXIS_KEYS = [
  "machine.profile",
  "host.kind",
  "host.spec-ctrl",
  "host.ept",
  "host.ibpb",
  "host.monitor",
  "domain.memory",
  "domain.p2m-page",
  "domain.mmio-handlers",
  "domain.confidential",
  "guest.name",
  "guest.elf",
  "guest.module",
  "guest.operation-loop",
  "guest.operation",
  "guest.iterations",
  "guest.warm-up",
  "guest.page",
  "guest.cmdline",
  "interfaces",
  "measure.fast-forward",
  "seed",
] as const;
const SET = "machine.set.";
/** Keys of which a guest has one. */
const GUEST_KINDS: readonly string[] = ["name", "elf", "module", "operation-loop"];

/** What the axes are at one point of a sweep, by axis. */
export type PointValues = Readonly<Record<string, SweepValue>>;

/** One point of a sweep. */
export interface SweepPoint {
  /** From 0, in the order of the axes. */
  readonly index: number;
  readonly values: PointValues;
  /** The scenario at this point: without the sweep. */
  readonly scenario: Scenario;
  /** Where what an axis changed is that axis. */
  readonly source: ScenarioSource;
}

/** How many points a scenario's sweep has. @throws ScenarioError for axes that do not go together */
export function countPoints({ scenario, source }: ParsedScenario): number {
  const { sweep } = scenario;
  if (sweep === undefined) return 1;
  const lengths = Object.values(sweep.axes).map((values) => values.length);
  const refuse = (problem: string, allowed: string) =>
    new ScenarioError(source.file, source.lineOf(["sweep", "axes"]), "sweep.axes", problem, allowed);
  if (lengths.length === 0) throw refuse("no axis is given", "at least one");
  if (sweep.combine === "zip" && lengths.some((length) => length !== lengths[0]))
    throw refuse(`${lengths.join(", ")} values zipped`, "as many on each axis");
  const count =
    sweep.combine === "zip" ? lengths[0] : lengths.reduce((product, length) => product * length, 1);
  if (count > MAX_POINTS) throw refuse(`${count} points`, `at most ${MAX_POINTS}`);
  return count;
}

/** The axes' values at a point of a sweep with so many points. */
export function valuesAt({ sweep }: Scenario, index: number): PointValues {
  if (sweep === undefined) return {};
  const values: Record<string, SweepValue> = {};
  let rest = index;
  for (const [axis, choices] of Object.entries(sweep.axes).reverse()) {
    values[axis] = sweep.combine === "zip" ? choices[index] : choices[rest % choices.length];
    rest = Math.floor(rest / choices.length);
  }
  return Object.fromEntries(Object.keys(sweep.axes).map((axis) => [axis, values[axis]]));
}

/** One point of a sweep. @throws ScenarioError for a value that its key does not take */
export function sweepPoint({ scenario, source }: ParsedScenario, index: number): SweepPoint {
  const values = valuesAt(scenario, index);
  const { sweep: _sweep, ...changed } = structuredClone(scenario);
  for (const [axis, value] of Object.entries(values)) change(changed, axis, value, source);
  const changedBy = { file: source.file, lineOf: lineOfAxis(values, source) };
  return { index, values, scenario: checked(changed, changedBy), source: changedBy };
}

function change(scenario: object, axis: string, value: SweepValue, source: ScenarioSource): void {
  const path = axis.startsWith(SET) ? ["machine", "set", axis.slice(SET.length)] : axis.split(".");
  if (path.length !== 3 && !(AXIS_KEYS as readonly string[]).includes(axis))
    throw new ScenarioError(
      source.file,
      source.lineOf(["sweep", "axes", axis]),
      `sweep.axes.${axis}`,
      "no axis has this key",
      `${AXIS_KEYS.join(", ")}, ${SET}<number of the profile or stage>`,
    );
  let node = scenario as Record<string, unknown>;
  for (const step of path.slice(0, -1)) node = node[step] as Record<string, unknown>;
  const last = path[path.length - 1];
  if (path[0] === "guest" && GUEST_KINDS.includes(last)) {
    for (const kind of GUEST_KINDS) delete node[kind];
    if (last !== "operation-loop") delete node["warm-up"];
  }
  Object.defineProperty(node, last, { value, enumerable: true, configurable: true, writable: true });
}

/** The line of the axis that changed a key, or of the key itself. */
function lineOfAxis(values: PointValues, source: ScenarioSource): ScenarioSource["lineOf"] {
  return (path) => {
    const key = path.join(".");
    const axis = Object.keys(values).find((each) => key === each || key.startsWith(`${each}.`));
    return axis === undefined ? source.lineOf(path) : source.lineOf(["sweep", "axes", axis]);
  };
}
