import { WAIT } from "../src/host/kvm/kernel-steps.ts";

type Thread = Generator<string, unknown>;

/**
 * Runs threads step by step in the order that a chooser says, until all have ended. A thread that waits is chosen again
 * once another one has made a step. @param choose one of so many @returns the order, as numbers of threads
 */
export function interleave(threads: readonly Thread[], choose: (options: number) => number): number[] {
  const order: number[] = [];
  let ready = threads.map((_, i) => i);
  let waiting: number[] = [];
  while (ready.length + waiting.length > 0) {
    if (ready.length === 0) throw new Error(`deadlock after ${order.join(" ")}`);
    const thread = ready[choose(ready.length)];
    order.push(thread);
    const { value, done } = threads[thread].next();
    if (done !== true && value === WAIT) {
      ready = ready.filter((each) => each !== thread);
      waiting.push(thread);
      continue;
    }
    ready = [...ready.filter((each) => each !== thread || done !== true), ...waiting].sort();
    waiting = [];
  }
  return order;
}

/** Calls back with a chooser for every order there is: depth first, each from the beginning. @returns how many there were */
export function everyInterleaving(run: (choose: (options: number) => number) => void): number {
  const prefix: { choice: number; options: number }[] = [];
  for (let runs = 1; ; runs++) {
    let depth = 0;
    run((options) => {
      if (depth === prefix.length) prefix.push({ choice: 0, options });
      return prefix[depth++].choice;
    });
    while (prefix.length > 0 && prefix[prefix.length - 1].choice === prefix[prefix.length - 1].options - 1)
      prefix.pop();
    if (prefix.length === 0) return runs;
    prefix[prefix.length - 1].choice++;
  }
}
