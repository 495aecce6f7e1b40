import type { EventEmitter } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { Tinypool } from "tinypool";
import { FileError } from "../file-error.js";
import type { SensitivityFigure } from "../sensitivity/sensitivity-document.js";
import type { FinishedPoint } from "../sweep/run-point.js";
import type { FiguresTask } from "./figures-task.js";
import type { PointAnswer, PointTask } from "./point-worker.js";

/** Runs points of sweeps, and the comparisons that an analysis of sensitivity is made of. */
export interface PointPool {
  /** How many run at a time. */
  readonly workers: number;
  /** @throws FileError for a point that cannot be run */
  run(task: PointTask): Promise<FinishedPoint>;
  figures(task: FiguresTask): Promise<readonly SensitivityFigure[]>;
  close(): Promise<void>;
}

/** As many workers as this machine has processors. */
export function defaultWorkers(): number {
  return availableParallelism();
}

/** What dies with its point is then never copied: a point makes several MiB of garbage. */
const YOUNG_MIB = 64;

/** A pool of threads, each with a simulator of its own. */
export async function pointPool(workers: number): Promise<PointPool> {
  const { Tinypool } = await import("tinypool");
  const pool: Tinypool = new Tinypool({
    ...workerProgram(),
    runtime: "worker_threads",
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    minThreads: workers,
    maxThreads: workers,
    isolateWorkers: false,
  });
  // A thread that dies between two tasks (out of memory) has no task to say so.
  const died = new Promise<never>((_, reject) => {
    (pool as unknown as EventEmitter).on("error", reject);
  });
  died.catch(() => undefined);
  const answer = (task: PointTask | FiguresTask): Promise<unknown> => Promise.race([pool.run(task), died]);
  return {
    workers,
    run: async (task) => {
      const point = (await answer(task)) as PointAnswer;
      if ("point" in point) return point.point;
      throw new FileError(...point.refused);
    },
    figures: async (task) => (await answer(task)) as readonly SensitivityFigure[],
    close: () => pool.destroy(),
  };
}

/** A worker's program: beside the built command line, or its source. */
function workerProgram(): { readonly filename: string; readonly execArgv: string[] } {
  const isSource = import.meta.url.endsWith(".ts");
  const file = isSource ? "./source-worker.mjs" : "./point-worker.cjs";
  return {
    filename: fileURLToPath(new URL(file, import.meta.url)),
    execArgv: isSource ? ["--conditions=@hyperwalk/source"] : [],
  };
}
