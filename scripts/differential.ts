import { parseArgs } from "node:util";
import { DifferentialRun } from "../test/differential/cpu/differential-run.js";
import { CaseGenerator } from "../test/differential/cpu/generator/case-generator.js";
import { X87Generator } from "../test/differential/cpu/generator/x87-generator.js";
import {
  NativeHarness,
  nativeFeatures,
  nativeVendor,
  whyNotNative,
} from "../test/differential/cpu/native/native-harness.js";
import { nativeProfile } from "../test/differential/cpu/native/native-profile.js";
import { SimulatedMachine } from "../test/differential/cpu/simulated/simulated-machine.js";

/*
 * Random instruction sequences on this machine's processor and on the simulated one:
 * npm run differential -- [--minutes N] [--seed S] [--mode 64|32] [--show N] [--sequences N] [--set all|general|x87]
 * [--only form,form] [--first]
 * A line a minute says how far it is; mismatches are explained as they come. --only makes the general sequences of some
 * form keys alone, --first ends at the first batch with a mismatch.
 */

const USAGE =
  "usage: npm run differential -- [--minutes N] [--seed S] [--mode 64|32] [--show N] [--sequences N] [--set all|general|x87]";
/** Batches of general sequences for each one of x87 instructions only, in the set `all`. */
const GENERAL_BATCHES = 3;
const BATCH = 5000;
const REPORT_MS = 60_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    sequences: { type: "string", default: "Infinity" },
    seed: { type: "string", default: "1" },
    mode: { type: "string", default: "both" },
    show: { type: "string", default: "5" },
    set: { type: "string", default: "all" },
    only: { type: "string" },
    first: { type: "boolean", default: false },
  },
});

const reason = whyNotNative();
if (reason !== "") {
  console.error(`The differential test cannot run here: it ${reason}.`);
  process.exit(1);
}

const modes = ([64, 32] as const).filter((mode) => values.mode === "both" || Number(values.mode) === mode);
const minutes = Number(values.minutes);
const sequences = Number(values.sequences);
const seed = Number(values.seed);
const known = ["all", "general", "x87"].includes(values.set);
if (modes.length === 0 || !(minutes > 0) || !(sequences > 0) || !Number.isInteger(seed) || !known) {
  console.error(USAGE);
  process.exit(1);
}

const vendor = nativeVendor();
const features = nativeFeatures();
const harness = new NativeHarness();
const machine = new SimulatedMachine(nativeProfile());

const runs: { readonly name: string; readonly run: DifferentialRun; shown: number }[] = [];
/** Which of the runs the next batches are for, over and over. */
const turns: number[] = [];
for (const mode of modes) {
  const only = values.only === undefined ? undefined : new Set(values.only.split(","));
  const options = { seed, mode, vendor, features, only };
  const general = new CaseGenerator(options);
  if (values.set !== "x87" && general.forms.length > 0) {
    const run = new DifferentialRun(options, harness, machine, general);
    const turn = runs.push({ name: `${mode}-bit mode`, run, shown: 0 }) - 1;
    for (let i = 0; i < (values.set === "all" ? GENERAL_BATCHES : 1); i++) turns.push(turn);
  }
  if (values.set !== "general") {
    const run = new DifferentialRun(options, harness, machine, new X87Generator(seed, mode));
    turns.push(runs.push({ name: `${mode}-bit mode, x87 only`, run, shown: 0 }) - 1);
  }
}

function total(of: "sequences" | "mismatches" | "unrepeated"): number {
  return runs.reduce((sum, { run }) => sum + run.totals[of], 0);
}

if (runs.length === 0) {
  console.error("no form has such a key");
  process.exit(1);
}
const started = Date.now();
let reported = started;

function report(): void {
  const seconds = Math.max(1, Math.round((Date.now() - started) / 1000));
  const count = total("sequences");
  const rate = Math.round(count / seconds);
  const now = new Date().toISOString();
  const counts = `${total("mismatches")} mismatches, ${total("unrepeated")} not repeated`;
  console.log(`${now} seed ${seed}: ${count} sequences, ${counts}, ${rate}/s`);
  reported = Date.now();
}

try {
  for (let i = 0; total("sequences") < sequences; i++) {
    if (Date.now() - started >= minutes * 60_000 || (values.first && total("mismatches") > 0)) break;
    const entry = runs[turns[i % turns.length]];
    const { run } = entry;
    run.batch(BATCH, Number(values.show));
    for (; entry.shown < run.totals.kept.length; entry.shown++)
      console.log(`\n${run.explain(run.totals.kept[entry.shown])}\n`);
    if (Date.now() - reported >= REPORT_MS) report();
  }
} finally {
  harness.close();
}
report();
for (const { name, run } of runs) console.log(`\n${name}: ${run.summary()}`);
process.exitCode = total("mismatches") > 0 ? 1 : 0;
