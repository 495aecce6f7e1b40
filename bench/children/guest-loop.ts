// guest-loop <image> <loop> <iterations>: prints { mips, seconds, checksum }, one figure a run after one to warm
// up. Seconds are processor time of this process: a busy machine changes them little.
import { readFileSync } from "node:fs";
import { createXenSystem } from "@hyperwalk/xen";
import { findProfile } from "hyperwalk";

const [file, loop, iterations] = process.argv.slice(2);
const profile = findProfile("epyc-9124");
if (!profile) throw new Error("no profile epyc-9124");
const image = readFileSync(file);

const mips: number[] = [];
const seconds: number[] = [];
let checksum = "";
for (let run = 0; run < 4; run++) {
  const system = createXenSystem({
    profile,
    xen: {},
    domain: {
      image,
      memoryBytes: 64 * 2 ** 20,
      cmdline: `loop=${loop} iterations=${iterations}`,
      abi: "linear",
    },
  });
  const start = process.cpuUsage();
  const outcome = system.run({ maxInstructions: 2 ** 31 });
  const { user, system: kernel } = process.cpuUsage(start);
  const elapsed = (user + kernel) / 1e6;
  checksum = /checksum=(\S+)/.exec(system.console)?.[1] ?? "";
  if (outcome.reason !== "shutdown" || checksum === "")
    throw new Error(`the guest ended badly: ${JSON.stringify(outcome)}\n${system.console}`);
  if (run === 0) continue;
  seconds.push(elapsed);
  mips.push(system.counters().guestInstructions / elapsed / 1e6);
}
console.log(JSON.stringify({ mips, seconds, checksum }));
