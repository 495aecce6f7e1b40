import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { KINDS, runCase } from "./kinds.js";

/** What the worker is given. */
export interface FuzzWork {
  readonly seed: number;
  readonly first: number;
  /** Case to stop before. */
  readonly end: number;
  readonly milliseconds: number;
}

/** Host memory after a collection, in bytes. */
export interface HostMemory {
  /** What the simulator still holds: heap, and buffers outside it. */
  readonly held: number;
  readonly resident: number;
}

/** What the worker answers with at its end. */
export interface FuzzReport {
  /** Cases by kind. */
  readonly cases: readonly number[];
  /** After every kind had its turn a few times, and at the end. */
  readonly start: HostMemory;
  readonly end: HostMemory;
  readonly failures: readonly { readonly number: number; readonly error: string }[];
}

/** Rounds of all kinds before host memory is first looked at: code is compiled, tables of the host's are made. */
const WARM_UP = 4 * KINDS.length;
const MAX_FAILURES = 10;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function hostMemory(): HostMemory {
  collect();
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { held: heapUsed + external, resident: rss };
}

// The process is told its work by its only argument, and tells its parent the number of each case before it begins.
const { seed, first, end, milliseconds } = JSON.parse(process.argv[2]) as FuzzWork;
const until = performance.now() + milliseconds;
const cases = KINDS.map(() => 0);
const failures: { number: number; error: string }[] = [];
let start: HostMemory | undefined;
for (
  let number = first;
  number < end && performance.now() < until && failures.length < MAX_FAILURES;
  number++
) {
  if (number === first + WARM_UP) start = hostMemory();
  process.send?.(number);
  const error = runCase(seed, number);
  if (error !== undefined)
    failures.push({ number, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  cases[number % KINDS.length]++;
}
const last = hostMemory();
process.send?.({ cases, start: start ?? last, end: last, failures } satisfies FuzzReport);
