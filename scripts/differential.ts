import { oneOf, wholeNumber } from "../packages/lab/src/cli/option-values.js";
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
import { positiveNumber, scriptArguments, usageFailure } from "./command-line.js";

/*
 * npm run differential: random instruction sequences on this machine's processor and on the simulated one.
 * A line a minute says how far it is; mismatches are explained as they come. --only makes the general sequences of some
 * form keys alone, --first ends at the first batch with a mismatch.
 */

/** Batches of general sequences for each one of x87 instructions only, in the set `all`. */
const GENERAL_BATCHES = 3;
const BATCH = 5000;
const REPORT_MS = 60_000;

const { values } = scriptArguments("differential", {
  minutes: { value: "N", parse: positiveNumber("--minutes"), otherwise: 1 },
  sequences: {
    value: "N",
    parse: wholeNumber("--sequences", 1, 2 ** 50),
    otherwise: Number.POSITIVE_INFINITY,
  },
  seed: { value: "S", parse: wholeNumber("--seed", 0, 2 ** 32 - 1), otherwise: 1 },
  mode: { value: "both|64|32", parse: oneOf("--mode", ["both", "64", "32"]), otherwise: "both" },
  show: { value: "N", parse: wholeNumber("--show", 0, 2 ** 20), otherwise: 5 },
  set: { value: "all|general|x87", parse: oneOf("--set", ["all", "general", "x87"]), otherwise: "all" },
  only: { value: "form,form", parse: (text: string) => text, otherwise: undefined },
  first: { parse: () => true, otherwise: false },
});

const reason = whyNotNative();
if (reason !== "") {
  console.error(`The differential test cannot run here: it ${reason}.`);
  process.exit(1);
}

const { minutes, sequences, seed } = values;
const modes = ([64, 32] as const).filter((mode) => values.mode === "both" || Number(values.mode) === mode);
const only = values.only === undefined ? undefined : new Set(values.only.split(","));
const vendor = nativeVendor();
const features = nativeFeatures();
const kinds = modes.map((mode) => {
  const options = { seed, mode, vendor, features, only };
  return { mode, options, general: new CaseGenerator(options) };
});
const keys = new Set(kinds.flatMap(({ general }) => general.forms.map(({ form }) => form.key)));
const unknown = [...(only ?? [])].filter((key) => !keys.has(key));
if (unknown.length > 0)
  usageFailure(
    `option --only: no form that runs here has the key ${unknown.join(", ")}; ` +
      "allowed: keys of packages/cpu/src/decode/opcode-tables.ts, separated by commas",
  );

const harness = new NativeHarness();
const machine = new SimulatedMachine(nativeProfile());

const runs: { readonly name: string; readonly run: DifferentialRun; shown: number }[] = [];
/** Which of the runs the next batches are for, over and over. */
const turns: number[] = [];
for (const { mode, options, general } of kinds) {
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
    if (Date.now() - reported >= REPORT_MS) report();
    const entry = runs[turns[i % turns.length]];
    const { run } = entry;
    run.batch(BATCH, values.show);
    for (; entry.shown < run.totals.kept.length; entry.shown++)
      console.log(`\n${run.explain(run.totals.kept[entry.shown])}\n`);
  }
} finally {
  harness.close();
}
report();
for (const { name, run } of runs) console.log(`\n${name}: ${run.summary()}`);
process.exitCode = total("mismatches") > 0 ? 1 : 0;
