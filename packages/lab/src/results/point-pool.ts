import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { Tinypool } from "tinypool";
import { ScenarioError } from "../scenario/scenario-error.js";
import type { FinishedPoint } from "../sweep/run-point.js";
import type { PointAnswer, PointTask } from "./point-worker.js";

/** Runs points of sweeps. */
export interface PointPool {
  /** How many run at a time. */
  readonly workers: number;
  /** @throws ScenarioError for a point that cannot be run */
  run(task: PointTask): Promise<FinishedPoint>;
  close(): Promise<void>;
}

/** As many workers as this machine has processors. */
export function defaultWorkers(): number {
  return availableParallelism();
}

/** A pool of threads, each with a simulator of its own. */
export async function pointPool(workers: number): Promise<PointPool> {
  const { Tinypool } = await import("tinypool");
  const pool: Tinypool = new Tinypool({
    ...workerFile("point-worker"),
    runtime: "worker_threads",
    minThreads: workers,
    maxThreads: workers,
    isolateWorkers: false,
  });
  return {
    workers,
    run: async (task) => {
      const answer = (await pool.run(task)) as PointAnswer;
      if ("point" in answer) return answer.point;
      throw new ScenarioError(...answer.refused);
    },
    close: () => pool.destroy(),
  };
}

/** A worker's program: beside the built command line, or its source, which needs what this process was started with. */
function workerFile(name: string): { readonly filename: string; readonly execArgv: string[] } {
  const isSource = import.meta.url.endsWith(".ts");
  const filename = fileURLToPath(new URL(`./${name}.${isSource ? "ts" : "cjs"}`, import.meta.url));
  return { filename, execArgv: isSource ? process.execArgv : [] };
}
