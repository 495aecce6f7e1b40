import type { Arena } from "@hyperwalk/mmu";
import { ticks } from "@hyperwalk/mmu";
import type { CoreTiming, PredictorProfile } from "../profile.js";

const HISTORY_BITS = 12;

/** Plain-data copy of a predictor. */
export interface BranchPredictorSnapshot {
  readonly patterns: Uint8Array;
  readonly targets: Int32Array;
  readonly returns: Int32Array;
  readonly history: number;
  readonly top: number;
  readonly epoch: number;
}

/**
 * Branch prediction of one logical processor: a pattern table of two-bit counters indexed by address and global
 * history, a direct-mapped table of taken and indirect targets (BTB), and a return stack. Every method answers with the
 * penalty in ticks, charged by the caller to `Cause.Branch`.
 *
 * Addresses are the low words of linear addresses: a program whose branches are 4 GiB apart aliases, as partial tags do.
 */
export class BranchPredictor {
  /** Grows by one with every {@link flush}, so that modelled code can tell that its branches are cold. */
  epoch = 0;
  /** Mispredicted branches, re-steers included in neither. */
  mispredicts = 0;
  private readonly mispredict: number;
  private readonly resteer: number;
  private readonly patternMask: number;
  private readonly targetMask: number;
  private readonly returnMask: number;
  /** Two-bit counters; 2 and 3 predict taken. */
  private patterns!: Uint8Array;
  /** Pairs: address of the branch ^ 1, low word of its target. */
  private targets!: Int32Array;
  private returns!: Int32Array;
  private history = 0;
  private top = 0;

  constructor(arena: Arena, profile: PredictorProfile, timing: CoreTiming) {
    this.mispredict = ticks(timing.branchMispredict);
    this.resteer = ticks(timing.branchResteer);
    const patternCount = powerOfTwo(profile.patternEntries);
    const targetCount = powerOfTwo(profile.btbEntries);
    const returnCount = powerOfTwo(profile.returnStack);
    this.patternMask = patternCount - 1;
    this.targetMask = targetCount - 1;
    this.returnMask = returnCount - 1;
    const patternsAt = arena.reserve(patternCount);
    const targetsAt = arena.reserve(targetCount * 8);
    const returnsAt = arena.reserve(returnCount * 4);
    arena.adopt(() => {
      this.patterns = new Uint8Array(arena.memory.buffer, patternsAt, patternCount);
      this.targets = arena.int32(targetsAt, targetCount * 2);
      this.returns = arena.int32(returnsAt, returnCount);
    });
    this.patterns.fill(1);
  }

  /**
   * A conditional branch.
   * @param address low word of its address @param taken 1 or 0 @param target low word of where it goes when taken
   * @returns penalty in ticks
   */
  conditional(address: number, taken: number, target: number): number {
    const at = (address ^ (address >>> 13) ^ (this.history << 2)) & this.patternMask;
    const counter = this.patterns[at];
    this.history = ((this.history << 1) | taken) & ((1 << HISTORY_BITS) - 1);
    if (taken !== 0) {
      if (counter < 3) this.patterns[at] = counter + 1;
      if (counter >= 2) return this.direct(address, target);
      this.remember(address, target);
      this.mispredicts++;
      return this.mispredict;
    }
    if (counter > 0) this.patterns[at] = counter - 1;
    if (counter < 2) return 0;
    this.mispredicts++;
    return this.mispredict;
  }

  /** A direct jump or call, or a conditional branch rightly predicted taken: only its target may be unknown. */
  direct(address: number, target: number): number {
    const at = this.slot(address);
    const targets = this.targets;
    if (targets[at] === (address ^ 1) && targets[at + 1] === target) return 0;
    targets[at] = address ^ 1;
    targets[at + 1] = target;
    return this.resteer;
  }

  /** An indirect jump or call. */
  indirect(address: number, target: number): number {
    const at = this.slot(address);
    const targets = this.targets;
    if (targets[at] === (address ^ 1) && targets[at + 1] === target) return 0;
    targets[at] = address ^ 1;
    targets[at + 1] = target;
    this.mispredicts++;
    return this.mispredict;
  }

  /** Any call: pushes the return address. */
  call(returnAddress: number): void {
    this.top = (this.top + 1) & this.returnMask;
    this.returns[this.top] = returnAddress;
  }

  /** A near return. */
  return(target: number): number {
    const predicted = this.returns[this.top];
    this.top = (this.top - 1) & this.returnMask;
    if (predicted === target) return 0;
    this.mispredicts++;
    return this.mispredict;
  }

  /** IBPB: forgets everything. */
  flush(): void {
    this.epoch = (this.epoch + 1) | 0;
    this.patterns.fill(1);
    this.targets.fill(0);
    this.returns.fill(0);
    this.history = 0;
    this.top = 0;
  }

  /** Fills the return stack with addresses that nobody returns to. */
  overwriteReturnStack(): void {
    this.returns.fill(0);
  }

  snapshot(): BranchPredictorSnapshot {
    return {
      patterns: this.patterns.slice(),
      targets: this.targets.slice(),
      returns: this.returns.slice(),
      history: this.history,
      top: this.top,
      epoch: this.epoch,
    };
  }

  restore(snapshot: BranchPredictorSnapshot): void {
    this.patterns.set(snapshot.patterns);
    this.targets.set(snapshot.targets);
    this.returns.set(snapshot.returns);
    this.history = snapshot.history;
    this.top = snapshot.top;
    this.epoch = snapshot.epoch;
  }

  private remember(address: number, target: number): void {
    const at = this.slot(address);
    this.targets[at] = address ^ 1;
    this.targets[at + 1] = target;
  }

  private slot(address: number): number {
    return ((address ^ (address >>> 12)) & this.targetMask) << 1;
  }
}

/** Largest power of two that is not greater: tables are indexed by masks. */
function powerOfTwo(entries: number): number {
  return 2 ** Math.floor(Math.log2(Math.max(1, entries)));
}
