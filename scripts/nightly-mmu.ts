import fc from "fast-check";
import { wholeNumber } from "../packages/lab/src/cli/option-values.js";
import { Bench } from "../packages/mmu/test/reference/bench.js";
import { type Seen, Sequence } from "../packages/mmu/test/reference/sequence.js";
import { PROFILES, sequences } from "../packages/mmu/test/reference/sequences.js";
import { scriptArguments } from "./command-line.js";

/*
 * npm run nightly:mmu: random table trees, edits, invalidations and accesses through the Mmu and through the reference model.
 */

const { sequences: wanted, seed: firstSeed } = scriptArguments("nightly:mmu", {
  sequences: { value: "N", parse: wholeNumber("--sequences", 1, 2 ** 50), otherwise: 100_000 },
  seed: { value: "S", parse: wholeNumber("--seed", 0, 2 ** 31 - 1), otherwise: 1 },
}).values;

const CHUNK = 1000;
const seen: Seen = { outcomes: new Set(), stale: 0, accesses: 0, logged: 0, untimed: [0, 0] };
const benches = Object.entries(PROFILES).map(([name, profile]) => ({ name, bench: new Bench(profile) }));
let done = 0;
for (let chunk = 0; done < wanted; chunk++) {
  const { name, bench } = benches[chunk % benches.length];
  const numRuns = Math.min(CHUNK, wanted - done);
  const seed = firstSeed + chunk;
  const result = fc.check(
    fc.property(sequences, ({ seed: world, steps }) => {
      new Sequence(world, bench, seen).run(steps);
    }),
    { numRuns, seed },
  );
  if (result.failed) {
    console.error(`Caches "${name}", fast-check seed ${seed}, after ${result.numRuns} sequences of it:`);
    console.error(JSON.stringify(result.counterexample));
    console.error(String(result.errorInstance));
    process.exit(1);
  }
  done += numRuns;
  if (done % 10_000 === 0) console.log(`${done} sequences, ${seen.accesses} accesses`);
}
console.log(
  `${done} sequences, no disagreement: ${seen.accesses} accesses, ${seen.outcomes.size} kinds of outcome, ` +
    `${seen.stale} through translations that the tables no longer held, ${seen.logged} log entries`,
);
