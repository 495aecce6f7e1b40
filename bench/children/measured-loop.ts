// measured-loop <abi>: warms a guest up, runs it for a while, and prints { from, to, hypercalls } of that while.
import type { AbiName } from "hyperwalk";
import { warmSystem } from "./warm-system.js";

/** Host time passes and nothing happens: parts the loop from what is before and after, whatever V8's clock says. */
function rest(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
}

const system = warmSystem(process.argv[2] as AbiName);
// What compiling and warming up left behind is not the loop's.
(globalThis as { gc?: () => void }).gc?.();
const before = system.counters().hypercalls;
rest();
const from = performance.now() - 100;
system.run({ maxInstructions: 5_000_000 });
const to = performance.now() + 100;
rest();
console.log(JSON.stringify({ from, to, hypercalls: system.counters().hypercalls - before }));
