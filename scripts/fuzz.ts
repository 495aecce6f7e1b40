import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { KINDS } from "../test/fuzz/kinds.js";
import type { FuzzReport, FuzzWork, HostMemory } from "../test/fuzz/worker.js";

/*
 * Hostile guests, tables, control structures, images and snapshots:
 * npm run fuzz -- [--minutes N] [--seed S] [--case N]
 * The same seed gives the same cases; --case runs one of them again.
 */

/** Seconds after which a case counts as hung; all of them take less than one. */
const HANG_SECONDS = 120;
/** Bytes that may be held at the end beyond what was held after warm-up. */
const MAX_GROWTH = 32 * 2 ** 20;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    case: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const single = values.case === undefined ? -1 : Number(values.case);
if (!(minutes > 0) || !Number.isInteger(seed) || !Number.isInteger(single)) {
  console.error("usage: npm run fuzz -- [--minutes N] [--seed S] [--case N]; S and N are whole numbers");
  process.exit(2);
}

const work: FuzzWork = {
  seed,
  first: Math.max(0, single),
  end: single < 0 ? 2 ** 30 : single + 1,
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
  console.log(`host memory ${memory(report.start)} after warm-up, ${memory(report.end)} at the end`);
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
