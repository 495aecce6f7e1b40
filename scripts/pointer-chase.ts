import { PROFILES } from "../packages/cpu/src/profiles/index.js";
import { oneOf, wholeNumber } from "../packages/lab/src/cli/option-values.js";
import { chaseMarkdown } from "../packages/lab/src/report/validation-page.js";
import { chaseTables } from "../packages/lab/src/validation/chase-curves.js";
import { Experiments } from "../packages/lab/src/validation/experiments.js";
import { scriptArguments } from "./command-line.js";

/*
 * npm run pointer-chase: cycles per dependent load, one line in each of N pages, beside published tables.
 */

const IDS = PROFILES.map((profile) => profile.id);
const { machine, most } = scriptArguments("pointer-chase", {
  machine: { value: "id", parse: oneOf("--machine", IDS), otherwise: undefined },
  most: { value: "pages", parse: wholeNumber("--most", 8, 262144), otherwise: 262144 },
}).values;
for (const id of machine === undefined ? IDS : [machine])
  console.log(`\n${chaseMarkdown(chaseTables(new Experiments(), { machine: id, most }))}`);
