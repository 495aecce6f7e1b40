// hypercall-rate <abi> <which>: prints { perSecond: [...] }, hypercalls per second of processor time: of the process's
// `first` system, one figure, once V8 has compiled what it runs; or of `later` ones, five, each a whole comparison with
// boot and report, after one to warm up.
import { type AbiName, compare, findProfile, hypercallBench } from "hyperwalk";
import { PIECE, warmSystem } from "./warm-system.js";

const abi = process.argv[2] as AbiName;
// Enough that boot and set-up (some 50 ms) hardly count.
const ITERATIONS = 2 ** 19;

/** Processor time since an earlier reading, seconds. */
function since(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

const perSecond: number[] = [];
if (process.argv[3] === "first") {
  const system = warmSystem(abi);
  const before = system.counters().hypercalls;
  const start = process.cpuUsage();
  while (system.counters().hypercalls - before < ITERATIONS) {
    const { reason } = system.run({ maxInstructions: PIECE });
    if (reason !== "budget") throw new Error(`the guest ended before its time: ${reason}`);
  }
  perSecond.push((system.counters().hypercalls - before) / since(start));
} else {
  const machine = findProfile("epyc-9124");
  if (!machine) throw new Error("no profile epyc-9124");
  for (let run = 0; run < 6; run++) {
    const start = process.cpuUsage();
    const { runs } = compare({ guest: hypercallBench, machine, abis: [abi], iterations: ITERATIONS });
    const seconds = since(start);
    if (!runs[0].exit.ok) throw new Error(`the guest ended badly: ${JSON.stringify(runs[0].exit)}`);
    if (run > 0) perSecond.push(ITERATIONS / seconds);
  }
}
console.log(JSON.stringify({ perSecond }));
