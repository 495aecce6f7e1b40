import type { CacheHierarchy } from "../cache/cache-hierarchy.js";
import { lineHigh, lineLow } from "../cache/line-number.js";
import { Cause, type CycleLedger, ticks } from "../cycle-ledger.js";
import type { MemoryProfile } from "../memory-profile.js";
import { MmuCounter } from "../mmu-counter.js";
import type { PhysicalMemory } from "../physical-memory.js";
import type { RecencyClock } from "../recency-clock.js";

/**
 * The only way in which walkers touch tables: every reference goes through the data side of the caches and is charged
 * the whole latency of the level that serves it (cause walk), because each reference depends on the one before. While
 * timing is off it reads and writes the tables and does nothing else.
 */
export class TablePort {
  /** By {@link MmuCounter}; while timing is off, others that nobody reads. */
  counters: Float64Array;
  private readonly timedCounters: Float64Array;
  private readonly untimedCounters = new Float64Array(MmuCounter.Length);
  private timed = true;
  private readonly memory: PhysicalMemory;
  private readonly caches: CacheHierarchy;
  private readonly ledger: CycleLedger;
  private readonly clock: RecencyClock;
  /** Price in ticks by serving level, 1 to 4. */
  private readonly price = new Int32Array(5);
  private i32!: Int32Array;

  constructor(
    memory: PhysicalMemory,
    caches: CacheHierarchy,
    ledger: CycleLedger,
    clock: RecencyClock,
    counters: Float64Array,
    profile: MemoryProfile,
  ) {
    this.memory = memory;
    this.caches = caches;
    this.ledger = ledger;
    this.clock = clock;
    this.counters = counters;
    this.timedCounters = counters;
    this.price[1] = ticks(profile.l1d.latency);
    this.price[2] = ticks(profile.l2.latency);
    this.price[3] = ticks(profile.l3.latency);
    this.price[4] = ticks(profile.dramLatency);
    memory.arena.adopt(() => {
      this.i32 = memory.arena.i32;
    });
  }

  setTimed(on: boolean): void {
    this.timed = on;
    this.counters = on ? this.timedCounters : this.untimedCounters;
  }

  /**
   * Reads the entry at byte `offset` of a machine frame.
   * @returns its index in the arena's 32-bit view, or -1 when no RAM answers
   */
  reference(frame: number, offset: number): number {
    const at = this.memory.frameOffset(frame);
    if (at < 0) return -1;
    if (!this.timed) return (at + offset) >>> 2;
    const level = this.caches.data(lineLow(frame, offset >>> 6), lineHigh(frame), false, this.clock.next());
    this.counters[MmuCounter.WalkReferences]++;
    this.counters[MmuCounter.WalkL1 - 1 + level]++;
    this.ledger.charge(Cause.Walk, this.price[level]);
    return (at + offset) >>> 2;
  }

  /** Stores 8 bytes of the processor's own (page-modification log); nothing where no RAM answers. */
  store(frame: number, offset: number, lo: number, hi: number): void {
    const memory = this.memory;
    const page = memory.frameOffset(frame);
    if (page < 0) return;
    if (memory.codeSlots[page >>> 12] !== 0) memory.onCodeWrite?.(page);
    this.i32[(page + offset) >>> 2] = lo;
    this.i32[(page + offset + 4) >>> 2] = hi;
    if (!this.timed) return;
    const level = this.caches.data(lineLow(frame, offset >>> 6), lineHigh(frame), true, this.clock.next());
    this.ledger.charge(Cause.Walk, this.price[level]);
  }

  /**
   * Sets accessed and dirty flags in an entry that was just read, a locked read-modify-write of a line that is in L1;
   * no reference of its own in the counters.
   */
  setFlags(frame: number, offset: number, at: number, flags: number): void {
    const memory = this.memory;
    const slot = at >>> 10;
    if (memory.codeSlots[slot] !== 0) memory.onCodeWrite?.(slot << 12);
    this.i32[at] |= flags;
    if (!this.timed) return;
    const level = this.caches.data(lineLow(frame, offset >>> 6), lineHigh(frame), true, this.clock.next());
    this.counters[MmuCounter.AccessedDirtyUpdates]++;
    this.ledger.charge(Cause.Walk, this.price[level]);
  }
}
