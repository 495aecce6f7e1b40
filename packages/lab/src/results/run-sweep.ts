import type { ParsedScenario } from "../scenario/parse-scenario.js";
import type { FinishedPoint } from "../sweep/run-point.js";
import type { FinishedPoints, PointSink } from "./collected-points.js";
import type { PointTask } from "./point-worker.js";

/** Which part of a sweep runs: every `of`-th point from the `part`-th, counted from 1. */
export interface Shard {
  readonly part: number;
  readonly of: number;
}

/** What runs the points of a sweep, and who is told. */
export interface SweepRunner {
  /** Points that may run at a time. */
  readonly workers: number;
  run(task: PointTask): Promise<FinishedPoint>;
  /** Called after each point. */
  onPoint?(): void;
  /** True: begin no further point. */
  isStopped?(): boolean;
}

/** Points of a shard that are not finished yet, in order. */
export function remainingPoints(
  points: number,
  shard: Shard | undefined,
  { finished: { rows } }: { readonly finished: Pick<FinishedPoints, "rows"> },
): number[] {
  const { part, of } = shard ?? { part: 1, of: 1 };
  const all = Array.from({ length: Math.ceil((points - part + 1) / of) }, (_, n) => part - 1 + n * of);
  return all.filter((index) => !rows.has(index));
}

/**
 * Runs points and hands on each as it is finished. The first point that cannot be run ends the sweep; those
 * that are running are finished.
 */
export async function runSweep(
  { parsed, text }: { readonly parsed: ParsedScenario; readonly text: string },
  points: readonly number[],
  sink: PointSink,
  runner: SweepRunner,
): Promise<void> {
  const waiting = points[Symbol.iterator]();
  let failed: { readonly error: unknown } | undefined;
  const work = async () => {
    for (const index of waiting) {
      if (failed !== undefined || runner.isStopped?.() === true) return;
      try {
        const { row, estimates } = await runner.run({ file: parsed.source.file, text, index });
        sink.add(row, estimates);
        runner.onPoint?.();
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  // Two for each worker: none waits for its next point.
  await Promise.all(Array.from({ length: 2 * runner.workers }, work));
  if (failed !== undefined) throw failed.error;
}
