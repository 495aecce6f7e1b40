import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { wholeNumber } from "../packages/lab/src/cli/option-values.js";
import { KINDS } from "../test/fuzz/kinds.js";
import type { FuzzReport, FuzzWork, HostMemory } from "../test/fuzz/worker.js";
import { positiveNumber, scriptArguments } from "./command-line.js";

/*
 * npm run fuzz: hostile guests, tables, control structures, images and snapshots.
 * The same seed gives the same cases; --case runs one of them again.
 */

/** Seconds after which a case counts as hung; all of them take less than one. */
const HANG_SECONDS = 120;
/** Bytes that may be held at the end beyond what was held after warm-up. */
const MAX_GROWTH = 32 * 2 ** 20;
/** More than a run gets through. */
const MOST_CASES = 2 ** 30;

const { values } = scriptArguments("fuzz", {
  minutes: { value: "N", parse: positiveNumber("--minutes"), otherwise: 1 },
  seed: { value: "S", parse: wholeNumber("--seed", 0, 2 ** 32 - 1), otherwise: 1 },
  case: { value: "N", parse: wholeNumber("--case", 0, MOST_CASES - 1), otherwise: undefined },
});
const { minutes, seed, case: single } = values;

const work: FuzzWork = {
  seed,
  first: single ?? 0,
  end: single === undefined ? MOST_CASES : single + 1,
  milliseconds: minutes * 60_000,
};
const worker = fork(
  fileURLToPath(new URL("../test/fuzz/worker.ts", import.meta.url)),
  [JSON.stringify(work)],
  {
    execArgv: ["--conditions=@hyperwalk/source", "--import", "tsx"],
  },
);
let latest = work.first;
let since = performance.now();
let reported = false;
const watch = setInterval(() => {
  if (performance.now() - since < HANG_SECONDS * 1000) return;
  console.error(`hangs: ${named(latest)}`);
  worker.kill("SIGKILL");
  process.exit(1);
}, 1000);

worker.on("exit", (code) => {
  clearInterval(watch);
  if (reported) return;
  console.error(`the process ended with ${code} in ${named(latest)}`);
  process.exitCode = 1;
});
worker.on("message", (message: number | FuzzReport) => {
  if (typeof message === "number") {
    latest = message;
    since = performance.now();
    return;
  }
  reported = true;
  const report = message;
  const grown = report.end.held - report.start.held;
  console.log(`seed ${seed}, ${report.cases.reduce((sum, count) => sum + count, 0)} cases`);
  KINDS.forEach(({ name }, i) => {
    console.log(`  ${String(report.cases[i]).padStart(7)} ${name}`);
  });
  console.log(`host memory ${memory(report.start)} after warm-up; ${memory(report.end)} at the end`);
  for (const { number, error } of report.failures) console.error(`\n${named(number)}\n${error}`);
  if (grown > MAX_GROWTH) console.error(`\nhost memory grew by ${mebibytes(grown)}`);
  process.exitCode = report.failures.length > 0 || grown > MAX_GROWTH ? 1 : 0;
});

function named(number: number): string {
  return `${KINDS[number % KINDS.length].name}: npm run fuzz -- --seed ${seed} --case ${number}`;
}

function memory({ held, resident }: HostMemory): string {
  return `${mebibytes(held)} held, ${mebibytes(resident)} resident`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
