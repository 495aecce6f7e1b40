import { ticks } from "../cycle-ledger.js";
import type { MemoryProfile } from "../memory-profile.js";

/**
 * What an access pays beyond L1, in ticks by serving level (2 to 4): the level's latency less L1's, less the share that
 * the core hides for that kind of access.
 */
export class MissPrices {
  readonly load: Int32Array = new Int32Array(5);
  readonly store: Int32Array = new Int32Array(5);
  readonly fetch: Int32Array = new Int32Array(5);

  constructor({ l1d, l1i, l2, l3, dramLatency, overlap }: MemoryProfile) {
    const latency = [0, 0, l2.latency, l3.latency, dramLatency];
    for (let level = 2; level <= 4; level++) {
      this.load[level] = ticks((latency[level] - l1d.latency) * (1 - overlap.load));
      this.store[level] = ticks((latency[level] - l1d.latency) * (1 - overlap.store));
      this.fetch[level] = ticks((latency[level] - l1i.latency) * (1 - overlap.fetch));
    }
  }
}
