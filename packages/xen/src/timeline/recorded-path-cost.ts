import { CAUSES, Cause, ticks } from "@hyperwalk/mmu";
import { coldBranchesOf, leavesOf } from "../path-cost/compose.js";
import type { StageId } from "../path-cost/path-cost.js";
import { familyOf } from "../path-cost/phases.js";
import { priceStagesAfter } from "../path-cost/price-stage.js";
import type { Stage } from "../path-cost/stage.js";
import { byPhase, StagePathCost, type StagePathCostOptions } from "../path-cost/stage-path-cost.js";
import type { TicksByCause, TimelineRecorder } from "./timeline-recorder.js";

/** A part of a stage at its place among those that it was composed of, and what one run of it costs. */
interface PricedPart {
  readonly part: Stage;
  readonly own: TicksByCause;
}

/**
 * {@link StagePathCost} that tells a {@link TimelineRecorder} of the parts of every stage it runs, one after the other. A
 * composed stage is charged at once: each of its parts gets its share of that, and the lines and the text that were its own.
 */
export class RecordedPathCost extends StagePathCost {
  private readonly recorder: TimelineRecorder;
  /** By number of a priced run. */
  private readonly parts: (readonly PricedPart[])[] = [];
  /** By place of a line: the part that touches it. */
  private readonly lineParts: Stage[] = [];
  /** What lines and text cost the parts of the running stage. */
  private readonly fetched = new Map<Stage, TicksByCause>();
  private recording = false;

  constructor(options: StagePathCostOptions, recorder: TimelineRecorder) {
    super(options);
    this.recorder = recorder;
  }

  override run(stage: StageId): void {
    const { recorder, ledger, fetched } = this;
    this.recording = recorder.beginStage();
    let at = ledger.clock[0];
    super.run(stage);
    const priced = this.latest();
    this.settle();
    if (!this.recording) return;
    for (const { part, own } of this.parts[priced]) {
      const further = fetched.get(part);
      fetched.delete(part);
      at = recorder.part(part.name, part.phase, at, further === undefined ? own : sumOf(own, further));
    }
    recorder.endStage();
  }

  protected override price(stage: StageId, place: number): number {
    const { timed } = this.mmu;
    const cold = timed ? this.warmBranches.coldIn(this.warm, this.leaves[stage]) : [];
    const coldParts = new Set(cold.map((leaf) => this.leafStages[leaf]));
    const priced = super.price(stage, place);
    this.parts[priced] = this.priceParts(this.stages[stage], coldParts);
    return priced;
  }

  protected override touchLine(line: number): void {
    if (!this.recording) super.touchLine(line);
    else {
      if (this.lineParts[line] === undefined) this.findLines();
      this.measure(this.lineParts[line], () => super.touchLine(line));
    }
  }

  protected override fetchLeaf(leaf: number): void {
    if (!this.recording) super.fetchLeaf(leaf);
    else this.measure(this.leafStages[leaf], () => super.fetchLeaf(leaf));
  }

  /** Number of the priced run that is not in the cells yet: there is one. */
  private latest(): number {
    let priced = 1;
    while (this.pricedRuns[priced] === 0) priced++;
    return priced;
  }

  /** The same sums as the stage's, part by part: relatives and earlier parts of a phase are rounded together. */
  private priceParts(subject: Stage, cold: Set<Stage>): readonly PricedPart[] {
    const { options } = this;
    const perBranch = options.text.overrides.instructionsPerColdBranch;
    const leaves = leavesOf(subject);
    const prices = new Map<string, TicksByCause[]>();
    const families = new Map<string, readonly Stage[]>();
    for (const [phase, parts] of byPhase(leaves)) {
      const family = familyOf(phase);
      let before = families.get(family) ?? [];
      const own = parts.map((part) => {
        const amounts = new Float64Array(CAUSES.length);
        for (const [cause, amount] of priceStagesAfter(before, [part], options)) amounts[cause] += amount;
        before = [...before, part];
        if (cold.delete(part))
          amounts[Cause.Branch] += ticks(
            coldBranchesOf(part, options.vendor, perBranch) * options.timing.branchMispredict,
          );
        return amounts;
      });
      families.set(family, before);
      payDebts(own);
      prices.set(phase, own);
    }
    return leaves.map((part) => ({ part, own: prices.get(part.phase)?.shift() as TicksByCause }));
  }

  /** Whose lines are where: laid out phase by phase, see `StagePathCost`. */
  private findLines(): void {
    this.stages.forEach((stage, id) => {
      if (this.leaves[id] === undefined) return;
      let line = this.firstLineOf(id);
      for (const parts of byPhase(leavesOf(stage)).values())
        for (const part of new Set(parts))
          for (const { offsets } of part.touches ?? [])
            for (const _ of offsets) this.lineParts[line++] = part;
    });
  }

  /** Has a part pay for what is charged meanwhile, all to one node of the ledger. */
  private measure(part: Stage, access: () => void): void {
    const { cells, base } = this.ledger;
    const before = cells.slice(base, base + CAUSES.length);
    access();
    const after = this.ledger.cells;
    let own = this.fetched.get(part);
    if (own === undefined) {
      own = new Float64Array(CAUSES.length);
      this.fetched.set(part, own);
    }
    for (let cause = 0; cause < before.length; cause++) own[cause] += after[base + cause] - before[cause];
  }
}

/**
 * A part whose instructions all have prices of their own, or one that is rounded the other way, comes out below zero for a
 * cause that others of its phase have more of: they pay.
 */
function payDebts(parts: readonly TicksByCause[]): void {
  for (let cause = 0; cause < CAUSES.length; cause++)
    for (const debtor of parts)
      for (const payer of parts) {
        if (debtor[cause] >= 0) break;
        const paid = Math.max(0, Math.min(payer[cause], -debtor[cause]));
        payer[cause] -= paid;
        debtor[cause] += paid;
      }
}

function sumOf(a: TicksByCause, b: TicksByCause): TicksByCause {
  return a.map((amount, cause) => amount + b[cause]);
}
