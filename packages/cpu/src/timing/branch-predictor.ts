import type { Arena } from "@hyperwalk/mmu";
import { ticks } from "@hyperwalk/mmu";
import type { CoreTiming, PredictorProfile } from "../profile.js";

const HISTORY_BITS = 12;
const GENERATION_LIMIT = 2 ** 28;
const RETURN_WORDS = 2;
const TARGET_SHIFT = 2;
const TARGET_WORDS = 1 << TARGET_SHIFT; // branch address, target, generation, unused

/** Plain-data copy of a predictor. */
export interface BranchPredictorSnapshot {
  readonly patterns: Int32Array;
  readonly targets: Int32Array;
  readonly returns: Int32Array;
  readonly generation: number;
  readonly returnGeneration: number;
  readonly history: number;
  readonly top: number;
  readonly epoch: number;
  readonly mispredicts: number;
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
  /** While false every branch is right and nothing is learnt; barriers go on emptying the tables. */
  timed = true;
  /**
   * A conditional branch.
   * @param address low word of its address @param taken 1 or 0 @param target low word of where it goes when taken
   * @returns penalty in ticks
   */
  conditional!: (address: number, taken: number, target: number) => number;
  private readonly mispredict: number;
  private readonly resteer: number;
  private readonly patternMask: number;
  private readonly targetMask: number;
  private readonly returnMask: number;
  /** `generation << 2 | two-bit counter`; counters 2 and 3 predict taken, one of an older generation is worth 1. */
  private patterns!: Int32Array;
  /**
   * Rows of address of the branch, low word of its target, generation; an older generation is an empty row. Hot code
   * reaches them as what follows the patterns.
   */
  private targets!: Int32Array;
  private tables!: Int32Array;
  private readonly targetsFrom: number;
  /** Renewed by {@link flush}, so that emptying the tables costs the host nothing. */
  private generation = 1;
  /** Return address and generation of each place; one of an older generation is address 0. */
  private returns!: Int32Array;
  /** Renewed when the return stack is overwritten. */
  private returnGeneration = 1;
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
    const patternsAt = arena.reserve(patternCount * 4);
    const targetsAt = arena.reserve(targetCount * TARGET_WORDS * 4);
    this.targetsFrom = (targetsAt - patternsAt) >>> 2;
    const returnsAt = arena.reserve(returnCount * RETURN_WORDS * 4);
    arena.adopt(() => {
      this.patterns = arena.int32(patternsAt, patternCount);
      this.targets = arena.int32(targetsAt, targetCount * TARGET_WORDS);
      this.tables = arena.int32(patternsAt, this.targetsFrom + targetCount * TARGET_WORDS);
      this.returns = arena.int32(returnsAt, returnCount * RETURN_WORDS);
      this.conditional = this.conditionalBranch(arena.i32, patternsAt >>> 2);
    });
  }

  /** A direct jump or call, or a conditional branch rightly predicted taken: only its target may be unknown. */
  direct(address: number, target: number): number {
    return !this.timed || this.knows(address, target) ? 0 : this.resteer;
  }

  /** An indirect jump or call. */
  indirect(address: number, target: number): number {
    if (!this.timed || this.knows(address, target)) return 0;
    this.mispredicts++;
    return this.mispredict;
  }

  /** Any call: pushes the return address. */
  call(returnAddress: number): void {
    if (!this.timed) return;
    this.top = (this.top + 1) & this.returnMask;
    this.returns[2 * this.top] = returnAddress;
    this.returns[2 * this.top + 1] = this.returnGeneration;
  }

  /** A near return. */
  return(target: number): number {
    if (!this.timed) return 0;
    const { returns } = this;
    const predicted = returns[2 * this.top + 1] === this.returnGeneration ? returns[2 * this.top] : 0;
    this.top = (this.top - 1) & this.returnMask;
    if (predicted === target) return 0;
    this.mispredicts++;
    return this.mispredict;
  }

  /** IBPB: forgets everything. */
  flush(): void {
    this.epoch = (this.epoch + 1) | 0;
    if (++this.generation === GENERATION_LIMIT) {
      this.generation = 1;
      this.patterns.fill(0);
      this.targets.fill(0);
    }
    this.overwriteReturnStack();
    this.history = 0;
    this.top = 0;
  }

  /** Fills the return stack with addresses that nobody returns to. */
  overwriteReturnStack(): void {
    if (++this.returnGeneration < GENERATION_LIMIT) return;
    this.returnGeneration = 1;
    this.returns.fill(0);
  }

  snapshot(): BranchPredictorSnapshot {
    return {
      patterns: this.patterns.slice(),
      targets: this.targets.slice(),
      returns: this.returns.slice(),
      generation: this.generation,
      returnGeneration: this.returnGeneration,
      history: this.history,
      top: this.top,
      epoch: this.epoch,
      mispredicts: this.mispredicts,
    };
  }

  restore(snapshot: BranchPredictorSnapshot): void {
    this.patterns.set(snapshot.patterns);
    this.targets.set(snapshot.targets);
    this.returns.set(snapshot.returns);
    this.generation = snapshot.generation;
    this.returnGeneration = snapshot.returnGeneration;
    this.history = snapshot.history;
    this.top = snapshot.top;
    this.epoch = snapshot.epoch;
    this.mispredicts = snapshot.mispredicts;
  }

  /** Makes {@link conditional}: a closure, because V8 takes what the first one of a process captures for constants. */
  private conditionalBranch(arena32: Int32Array, patternsAt: number): BranchPredictor["conditional"] {
    const { mispredict, resteer, patternMask, targetMask } = this;
    const targetsAt = patternsAt + this.targetsFrom;
    return (address, taken, target) => {
      if (!this.timed) return 0;
      // Captured names are checked for being there at each use, locals are not.
      const i32 = arena32;
      const { generation, history } = this;
      const at = (patternsAt + ((address ^ (address >>> 13) ^ (history << 2)) & patternMask)) | 0;
      const pattern = i32[at];
      const counter = pattern >> 2 === generation ? pattern & 3 : 1;
      this.history = ((history << 1) | taken) & ((1 << HISTORY_BITS) - 1);
      if (taken === 0) {
        if (counter > 0) i32[at] = (generation << 2) | (counter - 1);
        if (counter < 2) return 0;
        this.mispredicts++;
        return mispredict;
      }
      if (counter < 3) i32[at] = (generation << 2) | (counter + 1);
      const row = (targetsAt + (((address ^ (address >>> 12)) & targetMask) << TARGET_SHIFT)) | 0;
      const known =
        i32[row] === address && i32[(row + 1) | 0] === target && i32[(row + 2) | 0] === generation;
      if (!known) {
        i32[row] = address;
        i32[(row + 1) | 0] = target;
        i32[(row + 2) | 0] = generation;
      }
      if (counter >= 2) return known ? 0 : resteer;
      this.mispredicts++;
      return mispredict;
    };
  }

  /** Is that the target on record? It is from now on. */
  private knows(address: number, target: number): boolean {
    const at = (this.targetsFrom + (((address ^ (address >>> 12)) & this.targetMask) << TARGET_SHIFT)) | 0;
    const { tables, generation } = this;
    if (tables[at] === address && tables[(at + 1) | 0] === target && tables[(at + 2) | 0] === generation)
      return true;
    tables[at] = address;
    tables[(at + 1) | 0] = target;
    tables[(at + 2) | 0] = generation;
    return false;
  }
}

/** Largest power of two that is not greater: tables are indexed by masks. */
function powerOfTwo(entries: number): number {
  return 1 << (31 - Math.clz32(Math.max(1, entries)));
}
