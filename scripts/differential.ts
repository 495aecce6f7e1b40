import { parseArgs } from "node:util";
import { epyc9124, skylakeSp } from "../packages/cpu/src/profiles/index.js";
import { DifferentialRun } from "../test/differential/cpu/differential-run.js";
import { CaseGenerator } from "../test/differential/cpu/generator/case-generator.js";
import { X87Generator } from "../test/differential/cpu/generator/x87-generator.js";
import {
  NativeHarness,
  nativeFeatures,
  nativeVendor,
  whyNotNative,
} from "../test/differential/cpu/native/native-harness.js";
import { SimulatedMachine } from "../test/differential/cpu/simulated/simulated-machine.js";

/*
 * Random instruction sequences on this machine's processor and on the simulated one:
 * npm run differential -- [--minutes N] [--seed S] [--mode 64|32] [--show N] [--sequences N] [--set all|x87]
 */

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    sequences: { type: "string", default: "Infinity" },
    seed: { type: "string", default: "1" },
    mode: { type: "string", default: "both" },
    show: { type: "string", default: "5" },
    set: { type: "string", default: "all" },
  },
});

const reason = whyNotNative();
if (reason !== "") {
  console.error(`The differential test cannot run here: it ${reason}.`);
  process.exit(1);
}

const modes = ([64, 32] as const).filter((mode) => values.mode === "both" || Number(values.mode) === mode);
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (modes.length === 0 || !(minutes > 0) || !Number.isInteger(seed)) {
  console.error(
    "usage: npm run differential -- [--minutes N] [--seed S] [--mode 64|32] [--show N] [--sequences N] [--set all|x87]",
  );
  process.exit(1);
}

const vendor = nativeVendor();
const features = nativeFeatures();
const harness = new NativeHarness();
const machine = new SimulatedMachine(vendor === "AuthenticAMD" ? epyc9124 : skylakeSp);
let failed = false;
try {
  for (const mode of modes) {
    const options = { seed, mode, vendor, features };
    const cases = values.set === "x87" ? new X87Generator(seed, mode) : new CaseGenerator(options);
    const run = new DifferentialRun(options, harness, machine, cases);
    const until = Date.now() + (minutes * 60_000) / modes.length;
    while (Date.now() < until && run.totals.sequences < Number(values.sequences))
      run.batch(5000, Number(values.show));
    console.log(`${mode}-bit mode, seed ${seed}: ${run.summary()}\n`);
    for (const mismatch of run.totals.kept) console.log(`${run.explain(mismatch)}\n`);
    failed ||= run.totals.mismatches > 0;
  }
} finally {
  harness.close();
}
process.exitCode = failed ? 1 : 0;
