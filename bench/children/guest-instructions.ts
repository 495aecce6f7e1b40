// guest-instructions <image> <command line>: prints { instructions }, what a guest executes from its start to its end.
import { readFileSync } from "node:fs";
import { createXenSystem } from "@hyperwalk/xen";
import { findProfile } from "hyperwalk";

const [file, cmdline] = process.argv.slice(2);
const profile = findProfile("epyc-9124");
if (!profile) throw new Error("no profile epyc-9124");
const system = createXenSystem({
  profile,
  xen: {},
  domain: { image: readFileSync(file), memoryBytes: 64 * 2 ** 20, cmdline, abi: "linear" },
});
const outcome = system.run({ maxInstructions: 2 ** 31 });
if (outcome.reason !== "shutdown") throw new Error(`the guest ended badly: ${JSON.stringify(outcome)}`);
console.log(JSON.stringify({ instructions: system.counters().guestInstructions }));
