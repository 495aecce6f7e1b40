const STEPS = 10_000_000;

/** Four chains that do not depend on one another: what shares this core's units is seen too, not the clock alone. */
function chains(steps: number): number {
  let [a, b, c, d] = [88172645, 362436069, 521288629, 123456789];
  for (let i = 0; i < steps; i++) {
    a ^= a << 13;
    b ^= b << 13;
    c ^= c << 13;
    d ^= d << 13;
    a ^= a >>> 17;
    b ^= b >>> 17;
    c ^= c >>> 17;
    d ^= d >>> 17;
    a ^= a << 5;
    b ^= b << 5;
    c ^= c << 5;
    d ^= d << 5;
  }
  return a ^ b ^ c ^ d;
}

/**
 * How fast this processor is just now: million steps a second of a loop of shifts and exclusive ors, which V8 makes
 * machine code of and which needs no memory. Processor time, as the figures that stand beside it; what still moves it is
 * the clock frequency and what else runs on the core.
 */
export class Calibration {
  /** Keeps V8 from leaving the work out. */
  result = 0;

  constructor() {
    // V8 compiles it on the way.
    for (let i = 0; i < 3; i++) this.measure();
  }

  /** @returns million steps a second of processor time */
  measure(): number {
    const start = process.cpuUsage();
    this.result ^= chains(STEPS);
    const { user, system } = process.cpuUsage(start);
    return STEPS / (user + system);
  }
}
