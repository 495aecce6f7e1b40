// measured-loop <abi>: warms a guest up, runs it for a while, and prints { from, to, hypercalls } of that while.

import { createXenSystem } from "@hyperwalk/xen";
import { findProfile, hypercallBench } from "hyperwalk";

const abi = process.argv[2] as "linear" | "physaddr" | "fastabi";
const profile = findProfile("epyc-9124");
if (!profile) throw new Error("no profile epyc-9124");
const settings = {
  abi,
  vendor: profile.vendor,
  iterations: 2 ** 24,
  guestPage: "4k",
  operation: "get_runstate_info",
  cmdline: "",
} as const;
const system = createXenSystem({
  profile,
  xen: {},
  domain: {
    image: hypercallBench.image(settings),
    cmdline: hypercallBench.cmdline(settings),
    memoryBytes: 64 * 2 ** 20,
    abi,
  },
});

/** Host time passes and nothing happens: parts the loop from what is before and after, whatever V8's clock says. */
function rest(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
}

// In pieces, so that the way out of `run` is warm too.
for (let piece = 0; piece < 20; piece++) system.run({ maxInstructions: 250_000 });
// What compiling and warming up left behind is not the loop's.
(globalThis as { gc?: () => void }).gc?.();
const before = system.counters().hypercalls;
rest();
const from = performance.now() - 100;
system.run({ maxInstructions: 5_000_000 });
const to = performance.now() + 100;
rest();
console.log(JSON.stringify({ from, to, hypercalls: system.counters().hypercalls - before }));
