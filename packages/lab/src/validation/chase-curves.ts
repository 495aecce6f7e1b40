import { PROFILES } from "@hyperwalk/cpu";
import type { Experiments } from "./experiments.js";
import type { ChaseOptions } from "./pointer-chase.js";
import { PUBLISHED_CURVES } from "./published/pointer-chase.js";

/** 4 KiB pages chased. */
export const CHASE_SIZES: readonly number[] = [
  8, 32, 96, 128, 512, 1024, 2048, 3072, 6144, 16384, 65536, 131072, 262144,
];

/** What is chased, by heading. The error is that of the first two. */
export const CHASE_CURVES: readonly (readonly [heading: string, options: Omit<ChaseOptions, "pages">])[] = [
  ["same line", { placement: "same line", leaf: "4k", nested: undefined }],
  ["random line", { placement: "random line", leaf: "4k", nested: undefined }],
  ["2 MiB", { placement: "random line", leaf: "2m", nested: undefined }],
  ["nested 4k/4k", { placement: "random line", leaf: "4k", nested: "4k" }],
  ["nested 4k/2m", { placement: "random line", leaf: "4k", nested: "2m" }],
  ["nested 2m/2m", { placement: "random line", leaf: "2m", nested: "2m" }],
];

/** Latency of one load by curve, and what was published for so many pages. */
export interface ChasePoint {
  readonly pages: number;
  readonly published: number | null;
  /** Load-to-use cycles, same line, random line, 2 MiB, then nested 4k/4k, 4k/2m and 2m/2m. */
  readonly latencies: readonly number[];
  /** What the engine charges for "random line". */
  readonly charged: number;
}

/** Curves of one machine beside the published one. */
export interface ChaseTable {
  readonly machine: string;
  readonly name: string;
  readonly part: string;
  readonly source: string;
  readonly points: readonly ChasePoint[];
}

/** One row of a table. @param most pages that the machine is built for */
export function chasePoint(
  experiments: Experiments,
  machine: string,
  pages: number,
  most: number,
): ChasePoint {
  const found = CHASE_CURVES.map(([, options]) => experiments.chase(machine, most, { pages, ...options }));
  return {
    pages,
    published: PUBLISHED_CURVES[machine].cycles[pages] ?? null,
    latencies: found.map(({ latency }) => latency),
    charged: found[1].charged,
  };
}

/** Curves of every machine, or of one; with up to 262,144 pages they take a minute each, and a gigabyte. */
export function chaseTables(
  experiments: Experiments,
  { machine, most = 262144 }: { readonly machine?: string | undefined; readonly most?: number } = {},
): ChaseTable[] {
  const chosen = PROFILES.filter(({ id }) => machine === undefined || id === machine);
  return chosen.map(({ id, name }) => {
    const { part, source } = PUBLISHED_CURVES[id];
    const sizes = CHASE_SIZES.filter((size) => size <= most);
    const points = sizes.map((pages) => chasePoint(experiments, id, pages, most));
    experiments.forgetChases();
    return { machine: id, name, part, source, points };
  });
}
