import { amountFor, type PerVendor, type Stage } from "./stage.js";

/**
 * One stage out of several that always run together, so that they cost one step of the simulator's own time. Every
 * quantity is the sum of the parts'; the parts stay visible for reports. Parts of another phase than `phase` are charged
 * to theirs, nested in it. A part that occurs several times runs the same code again: its text is fetched, and its
 * branches are cold, once.
 * @param phase "" for none of its own: each part is charged to its phase under the one that is on top
 */
export function composeStage(name: string, phase: string, parts: readonly Stage[]): Stage {
  const sum = (pick: (stage: Stage) => PerVendor | undefined): PerVendor => {
    const amd = parts.reduce((total, part) => total + amountFor(pick(part), "amd"), 0);
    const intel = parts.reduce((total, part) => total + amountFor(pick(part), "intel"), 0);
    return amd === intel ? amd : { amd, intel };
  };
  const plain = (pick: (stage: Stage) => number | undefined): number =>
    parts.reduce((total, part) => total + (pick(part) ?? 0), 0);
  return {
    name,
    phase,
    instructions: sum((s) => s.instructions),
    basis: "derived",
    source: `sum of ${parts.map((part) => part.name).join(", ")}`,
    mispredicts: plain((s) => s.mispredicts),
    lfences: sum((s) => s.lfences),
    lockLfences: sum((s) => s.lockLfences),
    atomics: sum((s) => s.atomics),
    vmreads: sum((s) => s.vmreads),
    vmwrites: sum((s) => s.vmwrites),
    wrmsrSpecCtrl: plain((s) => s.wrmsrSpecCtrl),
    ibpb: plain((s) => s.ibpb),
    verw: plain((s) => s.verw),
    wrmsrs: sum((s) => s.wrmsrs),
    rdmsrs: sum((s) => s.rdmsrs),
    serialising: sum((s) => s.serialising),
    movCr3s: plain((s) => s.movCr3s),
    cliSti: plain((s) => s.cliSti),
    clgiStgi: plain((s) => s.clgiStgi),
    strings: plain((s) => s.strings),
    parts,
  };
}

/** The stages that a stage was composed of, down to those that have no parts. */
export function leavesOf(stage: Stage): readonly Stage[] {
  return stage.parts === undefined ? [stage] : stage.parts.flatMap(leavesOf);
}

/** Instructions for each branch site that a cold predictor gets wrong once. */
export const INSTRUCTIONS_PER_COLD_BRANCH = 12;

/**
 * Branch sites of a stage without parts that a cold predictor gets wrong once, on this vendor.
 * @param perBranch instructions for each of them, where the stage does not know them itself
 */
export function coldBranchesOf(
  stage: Stage,
  vendor: "amd" | "intel",
  perBranch: number = INSTRUCTIONS_PER_COLD_BRANCH,
): number {
  if (stage.coldBranches !== undefined) return amountFor(stage.coldBranches, vendor);
  return Math.round(amountFor(stage.instructions, vendor) / perBranch);
}
