import { type SensitivityRequest, sensitivity, sensitivityFigures } from "../sensitivity/sensitivity.js";
import type { SensitivityDocument } from "../sensitivity/sensitivity-document.js";
import type { GuestPlace } from "./figures-task.js";
import { type PointPool, pointPool } from "./point-pool.js";

/** Comparisons from which on other threads are worth their start. */
const WORTH_THREADS = 12;

/** On how many threads an analysis runs, and who is told how far it is. */
export interface SharedRunning {
  readonly workers: number;
  /** Told how many comparisons there will be after the first, once that is known. */
  readonly started: (all: number) => Promise<void>;
  readonly advance: () => void;
}

/**
 * An analysis of sensitivity whose comparisons are run on several threads: the same bytes as on one.
 * @param place where other threads find the guest of the request @throws what `sensitivity` throws
 */
export async function sharedSensitivity(
  request: SensitivityRequest,
  place: GuestPlace,
  { workers, started, advance }: SharedRunning,
): Promise<SensitivityDocument> {
  const { guest: _guest, ...rest } = request;
  let pool: PointPool | undefined;
  try {
    return await sensitivity(request, {
      started: async (all) => {
        await started(all);
        if (workers > 1 && all >= WORTH_THREADS) pool = await pointPool(workers);
      },
      runAll: (runs) =>
        allOf(runs, pool !== undefined, async (run) => {
          const figures =
            (await pool?.figures({ place, request: rest, run })) ?? sensitivityFigures(request, run);
          advance();
          return figures;
        }),
    });
  } finally {
    await pool?.close();
  }
}

async function allOf<T, U>(
  items: readonly T[],
  isTogether: boolean,
  each: (item: T) => Promise<U>,
): Promise<readonly U[]> {
  if (isTogether) return Promise.all(items.map(each));
  const results: U[] = [];
  for (const item of items) results.push(await each(item));
  return results;
}
