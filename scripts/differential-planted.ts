import { wholeNumber } from "../packages/lab/src/cli/option-values.js";
import { whyNotNative } from "../test/differential/cpu/native/native-harness.js";
import { hunt } from "../test/differential/cpu/planted/hunt.js";
import { PLANTED_BUGS } from "../test/differential/cpu/planted/planted-bugs.js";
import { ScratchCopy } from "../test/differential/cpu/planted/scratch-copy.js";
import { scriptArguments } from "./command-line.js";

/*
 * npm run differential:planted: whether the differential test finds bugs. Each of the list is planted in a copy of the
 * processor, which then has to differ from this machine's; without a bug the same sequences must not.
 */

const { seed } = scriptArguments("differential:planted", {
  seed: { value: "S", parse: wholeNumber("--seed", 0, 2 ** 32 - 1), otherwise: 1 },
}).values;
const reason = whyNotNative();
if (reason !== "") {
  console.error(`The differential test cannot run here: it ${reason}.`);
  process.exit(1);
}

const copy = new ScratchCopy();
let caught = 0;
let clean = true;
try {
  for (const bug of PLANTED_BUGS) {
    const takeOut = copy.plant(bug);
    const { sequences, mismatches } = hunt(copy, bug, seed);
    takeOut();
    if (mismatches > 0) caught++;
    const verdict = mismatches > 0 ? `caught, ${mismatches} mismatches` : "NOT CAUGHT";
    console.log(`${bug.name}: ${verdict} in ${sequences} sequences`);
  }
  const keys = PLANTED_BUGS.flatMap((bug) => bug.keys);
  const { sequences, mismatches } = hunt(copy, { ...PLANTED_BUGS[0], keys }, seed);
  clean = mismatches === 0;
  console.log(`no bug: ${mismatches} mismatches in ${sequences} sequences of the same forms`);
} finally {
  copy.remove();
}
console.log(`${caught} of ${PLANTED_BUGS.length} planted bugs caught`);
process.exitCode = caught === PLANTED_BUGS.length && clean ? 0 : 1;
