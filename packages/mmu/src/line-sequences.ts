import type { RecencyClock } from "./recency-clock.js";

/** One line of a sequence: linear address of its first byte, and whether it is written. */
export interface SequenceLine {
  readonly lo: number;
  readonly hi: number;
  readonly write: boolean;
}

/** Every set of the cache, and every TLB entry. */
export const EVERY_SET: number = -1;

/** What a cache or TLB tells whoever relies on its ways or entries. */
export interface Reliance {
  /** Stamps that are due are stored: call before looking at any of a cache's set, or with -1 at any. */
  settle(set: number): void;
  /** A way or entry is about to hold something else. @param watchers its mask of watchers */
  lost(watchers: number): void;
}

const MAX_SEQUENCES = 1024;
const BUCKETS = 32; // bits of a mask of watchers
const ROW = 8;
const FIRST = 0; // of its lines, as an index into `lines`
const COUNT = 1;
const EPOCH = 2; // of the address space it was noted in; 0: not noted
const GENERATION = 3; // of its bucket when it was noted
const DUE = 4; // 1: its stamps are not stored yet
const BEFORE = 5; // recency counter before its latest run
const SETS = 6; // of the cache, modulo 64: a mask of two words
const LINE = 2; // integers of a noted line: indices of the way's and the entry's stamps

/**
 * Fixed sequences of lines that the same code touches again and again. Once every line of one is known to be a
 * first-level hit, and until a way or TLB entry that it needs is given to something else, a run of the sequence only
 * moves the recency counter: the stamps that the run owes are a function of the counter before it, and are stored
 * when somebody is about to compare stamps.
 */
export class LineSequences implements Reliance {
  readonly lines: SequenceLine[] = [];
  private readonly clock: RecencyClock;
  private readonly rows = new Int32Array(MAX_SEQUENCES * ROW);
  private noted = new Int32Array(256 * LINE);
  private readonly generations = new Int32Array(BUCKETS);
  private readonly due = new Int32Array(MAX_SEQUENCES);
  private dueCount = 0;
  /** Sets that due sequences have lines in, two words as in a row. */
  private dueLow = 0;
  private dueHigh = 0;
  private sequences = 0;

  constructor(clock: RecencyClock) {
    this.clock = clock;
    clock.beforeRanking(() => this.settle(EVERY_SET));
  }

  /** @throws RangeError beyond 1024 sequences */
  define(lines: readonly SequenceLine[]): number {
    if (this.sequences === MAX_SEQUENCES) throw new RangeError(`more than ${MAX_SEQUENCES} line sequences`);
    const id = this.sequences++;
    this.rows[id * ROW + FIRST] = this.lines.length;
    this.rows[id * ROW + COUNT] = lines.length;
    this.lines.push(...lines);
    if (this.lines.length * LINE > this.noted.length) {
      const grown = new Int32Array(2 * this.lines.length * LINE);
      grown.set(this.noted);
      this.noted = grown;
    }
    return id;
  }

  firstLine(sequence: number): number {
    return this.rows[sequence * ROW + FIRST];
  }

  lineCount(sequence: number): number {
    return this.rows[sequence * ROW + COUNT];
  }

  /** Mask bit by which ways and entries name a sequence. */
  watcher(sequence: number): number {
    return 1 << (sequence & (BUCKETS - 1));
  }

  /** Whether a sequence is noted for this epoch and nothing that it needs was lost. */
  holds(sequence: number, epoch: number): boolean {
    const row = sequence * ROW;
    return (
      this.rows[row + EPOCH] === epoch &&
      this.rows[row + GENERATION] === this.generations[sequence & (BUCKETS - 1)]
    );
  }

  /**
   * Runs a sequence if it is noted for this epoch and nothing that it needs was lost.
   * @param i32 the arena's 32-bit view
   * @returns false when nothing was done
   */
  run(sequence: number, epoch: number, i32: Int32Array): boolean {
    const { rows, clock } = this;
    const row = sequence * ROW;
    if (rows[row + EPOCH] !== epoch || rows[row + GENERATION] !== this.generations[sequence & (BUCKETS - 1)])
      return false;
    const before = i32[clock.at];
    const after = before + rows[row + COUNT];
    if (after >= clock.limit) return false;
    i32[clock.at] = after;
    rows[row + BEFORE] = before;
    if (rows[row + DUE] === 0) {
      rows[row + DUE] = 1;
      this.due[this.dueCount++] = sequence;
      this.dueLow |= rows[row + SETS];
      this.dueHigh |= rows[row + SETS + 1];
    }
    return true;
  }

  /** A sequence is about to be noted: until {@link complete} it does not run. */
  begin(sequence: number): void {
    this.settle(EVERY_SET);
    const row = sequence * ROW;
    this.rows[row + EPOCH] = 0;
    this.rows[row + SETS] = 0;
    this.rows[row + SETS + 1] = 0;
  }

  /** Where one line of it is: set of the cache, indices of the way's and the TLB entry's stamps. */
  noteLine(sequence: number, line: number, set: number, wayStamp: number, entryStamp: number): void {
    this.rows[sequence * ROW + SETS + ((set >> 5) & 1)] |= 1 << (set & 31);
    this.noted[line * LINE] = wayStamp;
    this.noted[line * LINE + 1] = entryStamp;
  }

  complete(sequence: number, epoch: number): void {
    const row = sequence * ROW;
    this.rows[row + EPOCH] = epoch;
    this.rows[row + GENERATION] = this.generations[sequence & (BUCKETS - 1)];
  }

  settle(set: number): void {
    if (set === EVERY_SET) {
      for (let i = 0; i < this.dueCount; i++) this.store(this.due[i] * ROW);
      this.dueCount = 0;
      this.dueLow = 0;
      this.dueHigh = 0;
      return;
    }
    const high = (set >> 5) & 1;
    const bit = 1 << (set & 31);
    if (((high === 0 ? this.dueLow : this.dueHigh) & bit) !== 0) this.settleSet(SETS + high, bit);
  }

  /** Stores what sequences with lines in one set owe; `word` and `bit` are the set's in a row's mask. */
  private settleSet(word: number, bit: number): void {
    const { rows, due } = this;
    let kept = 0;
    for (let i = 0; i < this.dueCount; i++) {
      const row = due[i] * ROW;
      if ((rows[row + word] & bit) === 0) due[kept++] = due[i];
      else this.store(row);
    }
    this.dueCount = kept;
    if (word === SETS) this.dueLow &= ~bit;
    else this.dueHigh &= ~bit;
  }

  /** A way may meanwhile hold a newer line, whose stamp then stays: stamps only grow. */
  private store(row: number): void {
    const { rows, noted } = this;
    const i32 = this.clock.view;
    rows[row + DUE] = 0;
    let stamp = rows[row + BEFORE];
    let at = rows[row + FIRST] * LINE;
    for (let lines = rows[row + COUNT]; lines > 0; lines--) {
      stamp++;
      const way = noted[at];
      const entry = noted[at + 1];
      if (i32[way] < stamp) i32[way] = stamp;
      if (i32[entry] < stamp) i32[entry] = stamp;
      at += LINE;
    }
  }

  lost(watchers: number): void {
    for (let rest = watchers; rest !== 0; rest &= rest - 1) this.generations[31 - Math.clz32(rest & -rest)]++;
  }

  /** Every sequence has to be noted anew. */
  forgetAll(): void {
    this.lost(-1);
  }

  /** State was replaced: what was due is void. */
  discard(): void {
    for (let i = 0; i < this.dueCount; i++) this.rows[this.due[i] * ROW + DUE] = 0;
    this.dueCount = 0;
    this.dueLow = 0;
    this.dueHigh = 0;
    this.forgetAll();
  }
}
