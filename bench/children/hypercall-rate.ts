// hypercall-rate <abi> <which>: prints { perSecond: [...] }, hypercalls per second of processor time: of the process's
// `first` system, one figure, once V8 has compiled what it runs; or of `later` ones, five, each a whole comparison with
// boot and report, after one to warm up.
import { createXenSystem } from "@hyperwalk/xen";
import { type AbiName, compare, findProfile, hypercallBench } from "hyperwalk";

const abi = process.argv[2] as AbiName;
const machine = findProfile("epyc-9124");
if (!machine) throw new Error("no profile epyc-9124");
// Enough that boot and set-up (some 50 ms) hardly count.
const ITERATIONS = 2 ** 19;
/** Pieces before the clock starts, so that the way in and out of `run` is warm too, and of what instructions. */
const WARM_UPS = 24;
const PIECE = 250_000;

/** Processor time since an earlier reading, seconds. */
function since(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

const perSecond: number[] = [];
if (process.argv[3] === "first") {
  const settings = {
    abi,
    vendor: machine.vendor,
    iterations: 2 ** 24,
    guestPage: "4k",
    operation: "get_runstate_info",
    cmdline: "",
  } as const;
  const image = hypercallBench.image(settings);
  const domain = { image, cmdline: hypercallBench.cmdline(settings), memoryBytes: 64 * 2 ** 20, abi };
  const system = createXenSystem({ profile: machine, xen: {}, domain });
  for (let piece = 0; piece < WARM_UPS; piece++) system.run({ maxInstructions: PIECE });
  const before = system.counters().hypercalls;
  const start = process.cpuUsage();
  while (system.counters().hypercalls - before < ITERATIONS) {
    const { reason } = system.run({ maxInstructions: PIECE });
    if (reason !== "budget") throw new Error(`the guest ended before its time: ${reason}`);
  }
  perSecond.push((system.counters().hypercalls - before) / since(start));
} else
  for (let run = 0; run < 6; run++) {
    const start = process.cpuUsage();
    const { runs } = compare({ guest: hypercallBench, machine, abis: [abi], iterations: ITERATIONS });
    const seconds = since(start);
    if (!runs[0].exit.ok) throw new Error(`the guest ended badly: ${JSON.stringify(runs[0].exit)}`);
    if (run > 0) perSecond.push(ITERATIONS / seconds);
  }
console.log(JSON.stringify({ perSecond }));
