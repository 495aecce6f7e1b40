import type { EstimateUsed } from "../result.js";
import type { SweepRow } from "../sweep/sweep-row.js";

/** Finished points of a sweep, in any order, and the estimates that they rest on. */
export interface FinishedPoints {
  readonly rows: ReadonlyMap<number, SweepRow>;
  /** By their JSON. */
  readonly estimates: ReadonlyMap<string, EstimateUsed>;
}

/** Takes the points of a sweep as they are finished. */
export interface PointSink {
  add(row: SweepRow, estimates: readonly EstimateUsed[]): void;
}

/** Finished points in memory. */
export class CollectedPoints implements FinishedPoints, PointSink {
  readonly rows: Map<number, SweepRow>;
  readonly estimates: Map<string, EstimateUsed>;

  constructor(finished: FinishedPoints = { rows: new Map(), estimates: new Map() }) {
    this.rows = new Map(finished.rows);
    this.estimates = new Map(finished.estimates);
  }

  /** @returns the JSON of those of its estimates that no earlier point had */
  add(row: SweepRow, estimates: readonly EstimateUsed[]): readonly string[] {
    const added: string[] = [];
    for (const estimate of estimates) {
      const key = JSON.stringify(estimate);
      if (this.estimates.has(key)) continue;
      this.estimates.set(key, estimate);
      added.push(key);
    }
    this.rows.set(row.index, row);
    return added;
  }
}
