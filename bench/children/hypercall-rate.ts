// hypercall-rate <abi>: prints { perSecond: [...] }, hypercalls per second of processor time, one figure a run
// after one to warm up.
import { type AbiName, compare, findProfile, hypercallBench } from "hyperwalk";

const abi = process.argv[2] as AbiName;
const machine = findProfile("epyc-9124");
if (!machine) throw new Error("no profile epyc-9124");
// Enough that boot and set-up (some 50 ms) hardly count.
const iterations = 2 ** 19;

const perSecond: number[] = [];
for (let run = 0; run < 6; run++) {
  const start = process.cpuUsage();
  const { runs } = compare({ guest: hypercallBench, machine, abis: [abi], iterations });
  const { user, system } = process.cpuUsage(start);
  const seconds = (user + system) / 1e6;
  if (!runs[0].exit.ok) throw new Error(`the guest ended badly: ${JSON.stringify(runs[0].exit)}`);
  if (run > 0) perSecond.push(iterations / seconds);
}
console.log(JSON.stringify({ perSecond }));
