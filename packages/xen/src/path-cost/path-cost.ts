import type { Stage } from "./stage.js";

/** A stage prepared for one processor and one build: an index into integer tables. */
export type StageId = number;

/**
 * Prices the modelled hypervisor on one processor. Stages are compiled once; running one is a handful of additions to
 * the ledger and touches of its lines through the caches. Charges go to the ledger phase that is on top of the stack:
 * `run` enters the stage's own phase around itself.
 */
export interface PathCost {
  /** Prepares a stage; the same stage object gives the same number. */
  compile(stage: Stage): StageId;
  /** Executes a stage once: instructions, serialising costs, cold branches after a predictor barrier, its lines. */
  run(stage: StageId): void;
  /** Reads or writes a real object by host-physical address, through the caches; returns its arena offset. */
  access(frame: number, offset: number, bytes: number, write: boolean): number;
  /** Instructions of modelled hypervisor code retired so far. */
  readonly instructions: number;
  /** Stages that ran at least once and rest on an estimate. */
  estimates(): readonly {
    readonly key: string;
    readonly value: number;
    readonly unit: string;
    readonly range: readonly [number, number] | undefined;
    readonly source: string;
  }[];
}

/** A price list that can also say in which phase accesses are made that belong to no stage. */
export interface PhasedPathCost extends PathCost {
  /** Number of a ledger phase, for {@link enter}; the same on all processors of a machine. */
  phase(name: string): number;
  /** Charges go to this phase until {@link leave}; one already on top is not entered twice. */
  enter(phase: number): void;
  leave(): void;
}
